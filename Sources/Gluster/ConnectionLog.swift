import CGFAPI
import Glibc
import SystemPackage

/// What libgfapi logs while it connects, in memory: of what goes wrong with TLS it tells nothing else.
public final class ConnectionLog: Sendable {
  private let descriptor: FileDescriptor
  /// Where what is logged from now on begins, in bytes.
  private let start: Int
  private let isFile: Bool

  /// The log that a definition names: what is added to it.
  ///
  /// - Parameter file: path of a file; nil: it cannot be read.
  public init?(file: String) {
    guard let descriptor = try? FileDescriptor.open(file, .readOnly, options: .closeOnExec) else { return nil }
    self.descriptor = descriptor
    start = Int((try? descriptor.seek(offset: 0, from: .end)) ?? 0)
    isFile = true
  }

  /// nil: the system gives no such memory.
  public init?() {
    let descriptor = memfd_create("gfapi-log", CGFAPI_MFD_CLOEXEC | CGFAPI_MFD_ALLOW_SEALING)
    guard descriptor >= 0 else { return nil }
    self.descriptor = FileDescriptor(rawValue: descriptor)
    (start, isFile) = (0, false)
  }

  deinit { try? descriptor.close() }

  /// To be opened by libgfapi.
  var path: String { "/proc/self/fd/\(descriptor.rawValue)" }

  /// Lets nothing more be added: the connection stands, and may last for days.
  func end() { if !isFile { _ = fcntl(descriptor.rawValue, CGFAPI_F_ADD_SEALS, CGFAPI_F_SEAL_GROW) } }

  /// What kept the client from the bricks, as libgfapi logged it.
  enum Problem: Equatable {
    /// With TLS, in libgfapi's words.
    case tls(String)
    /// The bricks refused this client.
    case refused
    /// glusterd knows no port of a brick: the brick does not run.
    case noBrickRuns
  }

  /// nil: nothing is known to have kept it.
  var problem: Problem? {
    var text = [UInt8](repeating: 0, count: 64 << 10)
    let count = text.withUnsafeMutableBytes { pread(descriptor.rawValue, $0.baseAddress, $0.count, start) }
    return Self.problem(String(decoding: text.prefix(max(count, 0)), as: UTF8.self))
  }

  /// - Parameter log: lines of the form `[time] E [file:line:function] 0-translator: text`.
  static func problem(_ log: String) -> Problem? {
    var found: Problem?
    for line in log.split(separator: "\n") where line.contains("] E [") {
      if line.contains(":ssl_setup_connection_params]"), let text = line.split(separator: ": ").last { return .tls(String(text)) }
      if line.contains("certificate verify failed") { return .tls("the server's certificate is not signed by what glusterfs.ca holds") }
      if line.contains("SETVOLUME on remote-host failed"), line.contains("Authentication failed") { found = .refused }
      if found == nil, line.contains("failed to get the port number for remote subvolume") { found = .noBrickRuns }
    }
    return found
  }
}
