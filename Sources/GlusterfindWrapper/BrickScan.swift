import Encodings
import Glibc
import GlusterfindList

/// Finds the files of a local brick that may have changed since a time, by the times that the brick's own file system keeps.
///
/// A brick does not log `fallocate`, punched holes and zeroed ranges (GlusterFS 10.3 and 11.1: the translator `changelog` has no such
/// calls). It also does not log that a file lost a name because another file was renamed over it. Gluster's own times do not change when a
/// hole is punched.
///
/// The brick's file system dates all of these changes. New data change both the modification time and the status change time. A rebalance
/// or a heal sets the modification time of the files that it writes to the time that Gluster keeps. A file that was moved to this brick
/// may have had a hole punched on its former brick. A file of which only the status change time is new is therefore listed as `LOOK`: the
/// plugin compares it as a crawl does.
///
/// The brick keeps each file under its identity, `.glusterfs/01/23/0123abcd-…`. The scan lists all these directories and reads the status
/// of each file.
struct BrickScan {
  let brick: String

  /// Reports the files whose status changed since a time.
  ///
  /// - Parameters:
  ///   - since: in seconds since 1970, by the clock of this node.
  ///   - tell: called with the identity of each such file, and with true if data were written to it.
  /// - Returns: the number of files on the brick.
  @discardableResult
  func files(since: Int, _ tell: (_ gfid: [UInt8], _ isWritten: Bool) throws -> Void) throws -> Int {
    var count = 0
    for first in UInt8.min ... .max {
      let folder = "\(brick)/.glusterfs/\(Hex.text([first]))"
      guard access(folder, F_OK) == 0 else { continue }
      for second in UInt8.min ... .max { count += try scan("\(folder)/\(Hex.text([second]))", since, tell) }
    }
    return count
  }

  private func scan(_ folder: String, _ since: Int, _ tell: (_ gfid: [UInt8], _ isWritten: Bool) throws -> Void) throws -> Int {
    guard let directory = opendir(folder) else {
      if errno == ENOENT { return 0 }
      throw Failure("GFD-107", "cannot read \(folder): \(String(cString: strerror(errno)))")
    }
    defer { closedir(directory) }
    var count = 0
    while true {
      errno = 0
      guard let entry = readdir(directory) else { break }
      // Skip symbolic links, which stand for directories here.
      guard [UInt8(DT_REG), UInt8(DT_UNKNOWN)].contains(entry.pointee.d_type) else { continue }
      try withUnsafePointer(to: &entry.pointee.d_name) {
        try $0.withMemoryRebound(to: CChar.self, capacity: 256) { name in
          var status = stat()
          guard fstatat(dirfd(directory), name, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
          count += 1
          // An empty file does not count as written: Gluster makes such files itself, for example a shard when a hole is read. The
          // creation of an empty file is logged.
          guard status.st_ctim.tv_sec >= since else { return }
          let isWritten = status.st_mtim.tv_sec >= since && status.st_size > 0
          let length = strlen(name)
          guard length == 36 else { return }
          try tell((0..<length).map { UInt8(bitPattern: name[$0]) }, isWritten)
        }
      }
    }
    guard errno == 0 else { throw Failure("GFD-107", "cannot read \(folder): \(String(cString: strerror(errno)))") }
    return count
  }
}
