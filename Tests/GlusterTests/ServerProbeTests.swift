import Foundation
import Testing

@testable import Gluster

@Suite("The probe of a server")
struct ServerProbeTests {
  /// A listening socket on a free port of 127.0.0.1.
  final class Listener {
    let descriptor: Int32
    private(set) var port = 0

    init() throws {
      descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = inet_addr("127.0.0.1")
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let result = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          bind(descriptor, $0, length) + listen(descriptor, 1) + getsockname(descriptor, $0, &length)
        }
      }
      try #require(result == 0)
      port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(descriptor) }
  }

  @Test("The probe of a TCP port succeeds if a server listens, and else gives the reason")
  func tcp() throws {
    var listener: Listener? = try Listener()
    let server = VolumeURI.Server(host: "127.0.0.1", port: listener!.port)
    #expect(throws: Never.self) { try ServerProbe.connect(to: server, .tcp, within: 5).get() }
    listener = nil
    let reason = #expect(throws: ServerProbe.Reason.self) { try ServerProbe.connect(to: server, .tcp, within: 5).get() }
    #expect(reason?.text == "Connection refused")
  }

  @Test("The probe of a Unix socket gives the reason why it cannot connect")
  func unix() {
    for (path, words) in [
      ("/nonexistent/socket", "No such file or directory"), ("/" + String(repeating: "s", count: 200), "its path is too long"),
    ] {
      let reason = #expect(throws: ServerProbe.Reason.self) {
        try ServerProbe.connect(to: VolumeURI.Server(host: path, port: 0), .unix, within: 5).get()
      }
      #expect(reason?.text == words)
    }
  }

  @Test("The probe names a server with its port, by default that of glusterd")
  func names() {
    #expect(ServerProbe.name(.init(host: "server.example.com", port: 0), .tcp) == "server.example.com:24007")
    #expect(ServerProbe.name(.init(host: "server.example.com", port: 1), .tcp) == "server.example.com:1")
    #expect(ServerProbe.name(.init(host: "/socket", port: 0), .unix) == "/socket")
  }
}
