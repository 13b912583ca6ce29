import Glibc
import Gluster

/// The directories above the entry that a list has named last, and whether the FileSet takes them. A crawl asks about each directory before
/// it enters the directory. A list names an entry without the directories above it.
struct DirectoriesAbove {
  private var known: [(directory: VolumePath, isTaken: Bool)] = []

  /// Returns true if the FileSet takes all directories from the base directory down to an entry.
  ///
  /// - Parameters:
  ///   - path: the path of an entry in the base directory.
  ///   - base: the path of the base directory, and its attributes.
  ///   - accepts: asks the FileSet. Called only for directories that are not known from the entry before.
  mutating func areTaken(
    _ path: VolumePath, base: (path: VolumePath, status: stat), accepts: (_ path: VolumePath, _ status: stat) -> Bool
  ) -> Bool {
    guard path != base.path else { return true }
    var above = path.parent
    while let last = known.last, !last.directory.contains(above) { known.removeLast() }
    if known.isEmpty { known.append((base.path, accepts(base.path, base.status))) }
    var unknown: [VolumePath] = []
    while above != known.last!.directory {
      unknown.append(above)
      above = above.parent
    }
    while known.last!.isTaken, let next = unknown.popLast() {
      // The patterns of a FileSet use only the type of a directory, so no other attributes are needed.
      var status = stat()
      status.st_mode = S_IFDIR | 0o755
      known.append((next, accepts(next, status)))
    }
    return known.last!.isTaken
  }
}
