import Glibc

/// Checks whether a server listens where glusterd should be.
public enum ServerProbe {
  /// Port of glusterd if the URI names none.
  private static let defaultPort = 24007

  /// A server's name in messages, and the time that connecting took or the reason why it failed.
  typealias Answer = (name: String, result: Result<Duration, Reason>)

  /// The name of a server in messages.
  public static func name(_ server: VolumeURI.Server, _ transport: VolumeURI.Transport) -> String {
    transport == .unix ? server.host : "\(server.host):\(server.port == 0 ? defaultPort : server.port)"
  }

  /// Connects to a server, and closes the connection.
  ///
  /// - Parameter seconds: how long to wait for each address of the server.
  /// - Returns: the time that connecting took, or the reason why it failed.
  public static func connect(
    to server: VolumeURI.Server, _ transport: VolumeURI.Transport, within seconds: Int
  ) -> Result<Duration, Reason> {
    let began = ContinuousClock.now
    if transport == .unix {
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let path = Array(server.host.utf8)
      guard path.count < MemoryLayout.size(ofValue: address.sun_path) else { return .failure(Reason(text: "its path is too long")) }
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
      let error = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect($0, socklen_t(MemoryLayout<sockaddr_un>.size), AF_UNIX, 0, seconds)
        }
      }
      return error.map { .failure($0) } ?? .success(ContinuousClock.now - began)
    }
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    let port = server.port == 0 ? defaultPort : server.port
    let result = getaddrinfo(server.host, "\(port)", &hints, &found)
    guard result == 0 else { return .failure(Reason(text: String(cString: gai_strerror(result)), isOfName: true)) }
    defer { freeaddrinfo(found) }
    var last = Reason(text: "no address")
    var next = found
    while let address = next?.pointee {
      guard let error = connect(address.ai_addr, address.ai_addrlen, address.ai_family, address.ai_protocol, seconds) else {
        return .success(ContinuousClock.now - began)
      }
      (last, next) = (error, address.ai_next)
    }
    return .failure(last)
  }

  public struct Reason: Error {
    public let text: String
    /// True if this host cannot resolve the server's name.
    public var isOfName = false
  }

  /// Connects to one address. Returns nil if the connection was accepted.
  private static func connect(
    _ address: UnsafePointer<sockaddr>, _ length: socklen_t, _ family: Int32, _ proto: Int32, _ seconds: Int
  ) -> Reason? {
    func reason(_ number: Int32) -> Reason { Reason(text: String(cString: strerror(number))) }
    let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), proto)
    guard descriptor >= 0 else { return reason(errno) }
    defer { close(descriptor) }
    if Glibc.connect(descriptor, address, length) == 0 { return nil }
    guard errno == EINPROGRESS else { return reason(errno) }
    var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    guard Glibc.poll(&poll, 1, Int32(seconds) * 1000) > 0 else { return Reason(text: "no answer within \(seconds) s") }
    var number: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size)
    return number == 0 ? nil : reason(number)
  }
}
