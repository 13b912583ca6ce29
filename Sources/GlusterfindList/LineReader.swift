import Glibc
import HostFiles

/// Reads the lines of a file one after another, and keeps only one of them in memory.
public final class LineReader {
  /// The longest line that is accepted, in bytes. It has room for two paths of 4,095 bytes, each byte encoded as three, and for the rest of
  /// the line.
  public static let longestLine = 32 << 10

  public struct Line: Sendable {
    /// The number of the line. The first line has number 1.
    public let number: Int
    /// The line without its newline; only the beginning of a line that is too long.
    public let bytes: [UInt8]
    public let isTooLong: Bool
    /// True if the file ends within this line: there is no newline.
    public let isCutOff: Bool
  }

  public typealias Failure = HostFile.Failure

  private let descriptor: Int32
  /// The time of the file's last modification, in seconds since 1970.
  public let modified: Int
  private var buffer: [UInt8] = []
  private var used = 0
  private var number = 0
  private var atEnd = false

  /// Opens a regular file, with the checks of ``HostFile``.
  public init(_ path: [UInt8]) throws(Failure) {
    descriptor = try HostFile.open(path, O_RDONLY)
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Failure(call: "fstat", errno: errno) }
    modified = status.st_mtim.tv_sec
  }

  deinit { close(descriptor) }

  /// Returns the next line; nil after the last.
  public func next() throws(Failure) -> Line? {
    var line: [UInt8] = []
    var isTooLong = false
    while true {
      if used == buffer.count {
        guard try fill() else {
          guard !line.isEmpty else { return nil }
          number += 1
          return Line(number: number, bytes: line, isTooLong: isTooLong, isCutOff: true)
        }
      }
      let end = buffer[used...].firstIndex(of: UInt8(ascii: "\n"))
      let part = buffer[used..<(end ?? buffer.count)]
      used = end.map { $0 + 1 } ?? buffer.count
      if line.count + part.count > Self.longestLine { isTooLong = true }
      line += part.prefix(Self.longestLine - line.count)
      if end != nil {
        number += 1
        return Line(number: number, bytes: line, isTooLong: isTooLong, isCutOff: false)
      }
    }
  }

  private func fill() throws(Failure) -> Bool {
    guard !atEnd else { return false }
    var count = 0
    var failed: Int32 = 0
    buffer = [UInt8](unsafeUninitializedCapacity: 64 << 10) { memory, filled in
      repeat { count = read(descriptor, memory.baseAddress!, memory.count) } while count < 0 && Glibc.errno == EINTR
      failed = count < 0 ? Glibc.errno : 0
      filled = max(count, 0)
    }
    used = 0
    if failed != 0 { throw Failure(call: "read", errno: failed) }
    atEnd = count == 0
    return !atEnd
  }
}
