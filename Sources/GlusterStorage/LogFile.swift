import Glibc
import HostFiles

/// The file of the option `logfile`. It contains libgfapi's own log and the errors of this program.
struct LogFile {
  private let path: String

  init(_ path: String) { self.path = path }

  /// Creates the file, unless it exists.
  ///
  /// - Throws: ``HostFile/Failure`` if no lines can be appended.
  func make() throws(HostFile.Failure) { close(try opened()) }

  /// Appends a line, in the format of libgfapi's own lines.
  func append(_ line: String) {
    guard let descriptor = try? opened() else { return }
    defer { close(descriptor) }
    var (now, fields) = (time(nil), tm())
    gmtime_r(&now, &fields)
    let stamp = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
      strftime(buffer.baseAddress!, buffer.count, "[%F %T +0000]", &fields)
      return String(cString: buffer.baseAddress!)
    }
    write(to: descriptor, "\(stamp) E bareos-gluster-storage[\(getpid())]: \(line)\n")
  }

  private func opened() throws(HostFile.Failure) -> Int32 { try HostFile.open(path.utf8, O_WRONLY | O_APPEND | O_CREAT) }
}

/// Writes text with one call. The rest is lost if the descriptor takes only a part.
func write(to descriptor: Int32, _ text: String) {
  let bytes = Array(text.utf8)
  _ = Glibc.write(descriptor, bytes, bytes.count)
}
