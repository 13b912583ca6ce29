import CGFAPI
import Glibc
import SystemPackage

/// What libgfapi logs while it connects, in memory: of what goes wrong with TLS it tells nothing else.
public final class ConnectionLog: Sendable {
  private let descriptor: FileDescriptor

  /// nil: the system gives no such memory.
  public init?() {
    let descriptor = memfd_create("gfapi-log", CGFAPI_MFD_CLOEXEC | CGFAPI_MFD_ALLOW_SEALING)
    guard descriptor >= 0 else { return nil }
    self.descriptor = FileDescriptor(rawValue: descriptor)
  }

  deinit { try? descriptor.close() }

  /// To be opened by libgfapi.
  var path: String { "/proc/self/fd/\(descriptor.rawValue)" }

  /// Lets nothing more be added: the connection stands, and may last for days.
  func end() { _ = fcntl(descriptor.rawValue, CGFAPI_F_ADD_SEALS, CGFAPI_F_SEAL_GROW) }

  /// For the end of a message: what kept the client from speaking TLS; empty if nothing is known to have.
  public var tlsWords: String { tlsProblem.map { "; TLS: \($0)" } ?? "" }

  /// What kept the client from speaking TLS, in libgfapi's words; nil if nothing is known to have.
  var tlsProblem: String? {
    var text = [UInt8](repeating: 0, count: 64 << 10)
    let count = text.withUnsafeMutableBytes { pread(descriptor.rawValue, $0.baseAddress, $0.count, 0) }
    return Self.tlsProblem(String(decoding: text.prefix(max(count, 0)), as: UTF8.self))
  }

  /// - Parameter log: lines of the form `[time] E [file:line:function] 0-translator: text`.
  static func tlsProblem(_ log: String) -> String? {
    for line in log.split(separator: "\n") {
      if line.contains(":ssl_setup_connection_params]"), line.contains("] E ["), let text = line.split(separator: ": ").last {
        return String(text)
      }
      if line.contains("certificate verify failed") { return "the server's certificate is not signed by what glusterfs.ca holds" }
    }
    return nil
  }
}
