import Glibc

/// The file of the option `logfile`, which has libgfapi's own log in it and what went wrong.
struct LogFile {
  private let path: String

  init(_ path: String) { self.path = path }

  /// Whether lines can be appended; if not, `errno` says why. The file is made.
  var isWritable: Bool {
    let descriptor = opened()
    if descriptor >= 0 { close(descriptor) }
    return descriptor >= 0
  }

  /// Appends a line, in the form of libgfapi's own.
  func append(_ line: String) {
    let descriptor = opened()
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    var (now, fields) = (time(nil), tm())
    gmtime_r(&now, &fields)
    let stamp = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
      strftime(buffer.baseAddress!, buffer.count, "[%F %T +0000]", &fields)
      return String(cString: buffer.baseAddress!)
    }
    write(to: descriptor, "\(stamp) E bareos-gluster-storage[\(getpid())]: \(line)\n")
  }

  private func opened() -> Int32 { open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o640) }
}

/// Writes text, as far as it is taken.
func write(to descriptor: Int32, _ text: String) {
  let bytes = Array(text.utf8)
  _ = Glibc.write(descriptor, bytes, bytes.count)
}
