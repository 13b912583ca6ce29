import CSysXattr
import Encodings
import Glibc

/// Finds the directories that a brick no longer knows by their identities.
///
/// A brick keeps a symbolic link for each directory, `.glusterfs/ab/cd/GFID`. If the rename of a directory fails, for instance onto a
/// directory with content, the link is gone until the brick has forgotten the directory and somebody looks it up by name (10.3, 11.1).
enum LostDirectories {
  private static let slash = UInt8(ascii: "/")

  /// Returns the paths of these directories on the volume, by their identities as text.
  ///
  /// All directories of the brick are read: for a million files this takes seconds.
  ///
  /// - Throws: ``Changelogs/Gap`` if a directory cannot be read.
  static func find(onBrick brick: String) throws(Changelogs.Gap) -> [[UInt8]: [UInt8]] {
    var lost: [[UInt8]: [UInt8]] = [:]
    var pending: [[UInt8]] = [[]]
    while let path = pending.popLast() {
      let place = Array(brick.utf8) + path
      if !path.isEmpty, let gfid = identity(place), !hasLink(gfid, brick) { lost[gfid] = path }
      for name in try directories(in: place) where !path.isEmpty || name != Array(".glusterfs".utf8) {
        pending.append(path + [slash] + name)
      }
    }
    return lost
  }

  /// The names of the directories in a directory. One that was deleted a moment ago has none.
  private static func directories(in place: [UInt8]) throws(Changelogs.Gap) -> [[UInt8]] {
    guard let directory = place.withCString({ opendir($0) }) else {
      if errno == ENOENT { return [] }
      throw Changelogs.Gap(reason: "cannot read \(String(decoding: place, as: UTF8.self)): \(String(cString: strerror(errno)))")
    }
    defer { closedir(directory) }
    var found: [[UInt8]] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else { break }
      guard [UInt8(DT_DIR), UInt8(DT_UNKNOWN)].contains(entry.pointee.d_type) else { continue }
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
      guard name != [UInt8(ascii: ".")], name != [UInt8(ascii: "."), UInt8(ascii: ".")] else { continue }
      if entry.pointee.d_type == UInt8(DT_UNKNOWN) {
        var status = stat()
        let isThere = name.withCString { fstatat(dirfd(directory), $0, &status, AT_SYMLINK_NOFOLLOW) == 0 }
        guard isThere, status.st_mode & S_IFMT == S_IFDIR else { continue }
      }
      found.append(name)
    }
    return found
  }

  /// The identity of a directory, as text; nil if it has none.
  private static func identity(_ place: [UInt8]) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 16)
    guard place.withCString({ lgetxattr($0, "trusted.gfid", &bytes, 16) }) == 16 else { return nil }
    return Array(Hex.uuid(bytes).utf8)
  }

  private static func hasLink(_ gfid: [UInt8], _ brick: String) -> Bool {
    var status = stat()
    return BrickNames.place(of: gfid, onBrick: brick).map { lstat($0, &status) == 0 } ?? false
  }
}

extension [UInt8] {
  fileprivate func withCString<R>(_ body: (UnsafePointer<CChar>) -> R) -> R {
    (self + [0]).withUnsafeBytes { body($0.assumingMemoryBound(to: CChar.self).baseAddress!) }
  }
}
