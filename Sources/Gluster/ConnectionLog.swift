import CGFAPI
import Glibc
import SystemPackage

/// The log of libgfapi while it connects, kept in memory. libgfapi reports problems with TLS nowhere else.
public final class ConnectionLog: Sendable {
  private let descriptor: FileDescriptor
  /// Offset, in bytes, at which new messages begin.
  private let start: Int
  private let isFile: Bool

  /// Reads the messages that are added to a log file from now on.
  ///
  /// - Parameter file: path of the log file that the configuration names. The result is nil if the file cannot be read.
  public init?(file: String) {
    guard let descriptor = try? FileDescriptor.open(file, .readOnly, options: .closeOnExec) else { return nil }
    self.descriptor = descriptor
    start = Int((try? descriptor.seek(offset: 0, from: .end)) ?? 0)
    isFile = true
  }

  /// Makes a log in memory; nil if the system does not provide the memory.
  public init?() {
    let descriptor = memfd_create("gfapi-log", CGFAPI_MFD_CLOEXEC | CGFAPI_MFD_ALLOW_SEALING)
    guard descriptor >= 0 else { return nil }
    self.descriptor = FileDescriptor(rawValue: descriptor)
    (start, isFile) = (0, false)
  }

  deinit { try? descriptor.close() }

  /// Path under which libgfapi opens the log.
  var path: String { "/proc/self/fd/\(descriptor.rawValue)" }

  /// Ends a log in memory once the connection is established: the connection may last for days, and the log must not grow with it.
  func end() { if !isFile { _ = fcntl(descriptor.rawValue, CGFAPI_F_ADD_SEALS, CGFAPI_F_SEAL_GROW) } }

  /// The reason why the client could not connect to the bricks, as libgfapi logged it.
  enum Problem: Equatable {
    /// A problem with TLS, in libgfapi's words.
    case tls(String)
    /// The bricks refused this client.
    case refused
    /// glusterd knows no port of a brick, because the brick does not run.
    case noBrickRuns
  }

  /// The problem that libgfapi has logged; nil if it has logged none.
  var problem: Problem? {
    var text = [UInt8](repeating: 0, count: 64 << 10)
    let count = text.withUnsafeMutableBytes { pread(descriptor.rawValue, $0.baseAddress, $0.count, start) }
    return Self.problem(String(decoding: text.prefix(max(count, 0)), as: UTF8.self))
  }

  /// Finds the problem in the text of a log.
  ///
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
