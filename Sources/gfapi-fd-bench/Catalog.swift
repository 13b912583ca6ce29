import FDPluginABI
import Glibc
import MiniDaemon

/// A file with the entries of a job, as a daemon's catalog has them for the next one. A line for each: modification time, size, number of the
/// delta, path.
final class Catalog {
  struct Failure: Error {
    let path: String
    let code = errno
  }

  private let file: UnsafeMutablePointer<FILE>

  /// Makes the file.
  init(_ path: String) throws {
    guard let file = fopen(path, "w") else { throw Failure(path: path) }
    self.file = file
  }

  func add(_ entry: SavedEntry) {
    let isDirectory = entry.type == FD_FT_DIREND && entry.path.last != UInt8(ascii: "/")
    let status = entry.status
    let line =
      Array("\(status.st_mtim.tv_sec) \(status.st_size) \(entry.delta) ".utf8) + entry.path + (isDirectory ? [UInt8(ascii: "/")] : []) + [
        10
      ]
    fwrite(line, 1, line.count, file)
  }

  deinit { fclose(file) }

  /// Reads a file, for ``MiniJob/Options/accurate``.
  static func entries(_ path: String) throws -> [[UInt8]: (mtime: Int, size: Int, delta: UInt32)] {
    guard let file = fopen(path, "r") else { throw Failure(path: path) }
    defer { fclose(file) }
    var entries: [[UInt8]: (mtime: Int, size: Int, delta: UInt32)] = [:]
    var (line, capacity) = (UnsafeMutablePointer<CChar>?.none, 0)
    defer { free(line) }
    while case let count = getline(&line, &capacity, file), count > 0 {
      let fields = UnsafeRawBufferPointer(start: line, count: count - 1).split(separator: UInt8(ascii: " "), maxSplits: 3)
      let numbers = fields.prefix(3).map { Int(String(decoding: $0, as: UTF8.self)) ?? 0 }
      guard fields.count == 4 else { continue }
      entries[Array(fields[3])] = (mtime: numbers[0], size: numbers[1], delta: UInt32(numbers[2]))
    }
    return entries
  }
}
