import Glibc

/// The directories above the entry that a list has named last, and whether the FileSet takes them. A crawl asks about each directory before
/// it enters the directory. A list names an entry without the directories above it.
struct DirectoriesAbove {
  private var known: [(directory: BaseDirectory, isTaken: Bool)] = []

  /// Returns true if the FileSet takes all directories from the base directory down to an entry.
  ///
  /// - Parameters:
  ///   - path: the path of an entry in the base directory.
  ///   - base: the path of the base directory, and its attributes.
  ///   - accepts: asks the FileSet. Called only for directories that are not known from the entry before.
  mutating func areTaken(_ path: [UInt8], base: (path: [UInt8], status: stat), accepts: (_ path: [UInt8], _ status: stat) -> Bool) -> Bool {
    guard path != base.path else { return true }
    let above = parent(of: path)
    while let last = known.last, !last.directory.contains(above) { known.removeLast() }
    if known.isEmpty { known.append((BaseDirectory(base.path), accepts(base.path, base.status))) }
    while known.last!.isTaken, known.last!.directory.path.count < above.count {
      let length = known.last!.directory.path.count
      let end = above[(length == 1 ? 1 : length + 1)...].firstIndex(of: UInt8(ascii: "/")) ?? above.endIndex
      // The patterns of a FileSet use only the type of a directory, so no other attributes are needed.
      var status = stat()
      status.st_mode = S_IFDIR | 0o755
      known.append((BaseDirectory(Array(above[..<end])), accepts(Array(above[..<end]), status)))
    }
    return known.last!.isTaken
  }
}
