import Glibc
import GlusterfindList

/// Finds the files of a brick of this node that may have changed since a time, by the times that the brick's own file system keeps.
///
/// A brick logs no `fallocate`, no hole and no zeroed range (GlusterFS 10.3 and 11.1: the translator `changelog` has no such calls), and
/// not that a file has lost a name because another one was renamed over it. Gluster dates no hole. The file system dates all of them: with
/// new data both of its times are new. A rebalance and a healing set the modification time of what they write to the one that Gluster
/// keeps; what they have moved here may have had a hole made where it was before. So where only the status has a new time the plugin is to
/// look, as a crawl does.
///
/// The brick has each file under its identity, `.glusterfs/01/23/0123abcd-…`: all folders are listed, and each file's status is asked.
struct BrickScan {
  let brick: String

  /// Tells the identities of files whose status changed since a time, and whether they were written to.
  ///
  /// - Parameter since: in seconds since 1970, by the clock of this node.
  /// - Returns: how many files there are.
  @discardableResult
  func files(since: Int, _ tell: (_ gfid: [UInt8], _ isWritten: Bool) throws -> Void) throws -> Int {
    var count = 0
    for first in 0..<256 {
      let folder = "\(brick)/.glusterfs/\(Self.digits(first))"
      guard access(folder, F_OK) == 0 else { continue }
      for second in 0..<256 { count += try scan("\(folder)/\(Self.digits(second))", since, tell) }
    }
    return count
  }

  private static func digits(_ number: Int) -> String { (number < 16 ? "0" : "") + String(number, radix: 16) }

  private func scan(_ folder: String, _ since: Int, _ tell: (_ gfid: [UInt8], _ isWritten: Bool) throws -> Void) throws -> Int {
    guard let directory = opendir(folder) else {
      if errno == ENOENT { return 0 }
      throw Failure("cannot read \(folder): \(String(cString: strerror(errno)))")
    }
    defer { closedir(directory) }
    var count = 0
    while true {
      errno = 0
      guard let entry = readdir(directory) else { break }
      // Directories are symbolic links.
      guard [UInt8(DT_REG), UInt8(DT_UNKNOWN)].contains(entry.pointee.d_type) else { continue }
      try withUnsafePointer(to: &entry.pointee.d_name) {
        try $0.withMemoryRebound(to: CChar.self, capacity: 256) { name in
          var status = stat()
          guard fstatat(dirfd(directory), name, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
          count += 1
          // Empty files with new data are Gluster's own, such as a shard that was made by reading a hole; making an empty file is logged.
          guard status.st_ctim.tv_sec >= since else { return }
          let isWritten = status.st_mtim.tv_sec >= since && status.st_size > 0
          let length = strlen(name)
          guard length == 36 else { return }
          try tell((0..<length).map { UInt8(bitPattern: name[$0]) }, isWritten)
        }
      }
    }
    guard errno == 0 else { throw Failure("cannot read \(folder): \(String(cString: strerror(errno)))") }
    return count
  }
}
