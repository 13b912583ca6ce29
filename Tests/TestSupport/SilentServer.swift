import Foundation
import Testing

/// A server that accepts connections and never sends anything. With `dropsPackets` it does not even accept connections: its queue is
/// full, and the kernel drops the packets of each further connection.
public final class SilentServer {
  private let descriptor: Int32
  public let port: Int
  private var waiting: [Int32] = []

  public init(dropsPackets: Bool = false) throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
        bind(descriptor, pointer, length) == 0 && listen(descriptor, dropsPackets ? 0 : 8) == 0
          && getsockname(descriptor, pointer, &length) == 0
      }
    }
    try #require(bound)
    self.descriptor = descriptor
    port = Int(UInt16(bigEndian: address.sin_port))
    guard dropsPackets else { return }
    for _ in 0..<8 {
      let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
      _ = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(client, $0, length) }
      }
      waiting.append(client)
    }
  }

  deinit {
    for client in waiting { close(client) }
    close(descriptor)
  }
}
