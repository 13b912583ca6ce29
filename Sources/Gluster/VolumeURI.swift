import Encodings

/// The servers and the name of a volume, and the base directory on it:
///
///     gluster[+transport]://[server[:port]][,server[:port]…]/volname[/dir][?socket=path]
///
/// - transport: `tcp` (the default), `unix` or `rdma`.
/// - server: host name, IPv4 address, or IPv6 address in brackets. Several servers, separated by commas, are tried in turn. Default:
///   `localhost`. Not allowed with `unix`.
/// - port: port of glusterd. Default: Gluster's own default (24007). Not allowed with `unix`.
/// - dir: the base directory on the volume. Default: the volume's root. `%XX` stands for one byte; a `%` that is not followed by two
///   hexadecimal digits stands for itself.
/// - socket: path of glusterd's Unix domain socket, `%XX` as above. Required with `unix`, not allowed with another transport.
public struct VolumeURI: Equatable, Sendable {
  /// How to reach glusterd.
  public enum Transport: String, CaseIterable, Sendable {
    case tcp, unix, rdma
  }

  /// A glusterd that is asked for the volume's description.
  public struct Server: Equatable, Sendable {
    /// Name or address without brackets; with `unix`, the socket's path.
    public let host: String
    /// Port of glusterd; 0 means Gluster's default.
    public let port: Int

    public init(host: String, port: Int = 0) {
      self.host = host
      self.port = port
    }
  }

  /// A part of a URI that is wrong, and the reason.
  public struct ParseError: Error, Equatable, Sendable, CustomStringConvertible {
    public let part: String
    public let reason: String

    public var description: String { "\"\(part)\": \(reason)" }
  }

  /// The grammar in one line, for messages.
  public static let grammar = "gluster[+tcp|+unix|+rdma]://[server[:port]][,server[:port]...]/volname[/dir][?socket=path]"

  public let transport: Transport
  /// At least one.
  public let servers: [Server]
  public let volume: String
  /// The base directory.
  public let directory: VolumePath
  /// The snapshot of the volume that is meant; nil: the volume itself. A URI does not name it.
  public var snapshot: String?

  /// Parses a URI.
  ///
  /// - Parameter bytes: the URI as it stands in a plugin definition, after the definition's own escapes.
  /// - Throws: ``ParseError``.
  public init(_ bytes: some Sequence<UInt8>) throws(ParseError) {
    let text = Array(bytes)
    guard let schemeEnd = text.firstRange(of: Array("://".utf8)) else {
      throw ParseError(part: show(text), reason: "no \"://\" after the protocol")
    }
    transport = try Self.transport(of: text[..<schemeEnd.lowerBound])

    let rest = text[schemeEnd.upperBound...]
    guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else {
      throw ParseError(part: show(text), reason: "the volume is missing: it follows the server, after a slash")
    }
    let queryStart = rest.firstIndex(of: UInt8(ascii: "?"))
    if let queryStart, queryStart < slash {
      throw ParseError(part: show(text), reason: "the volume is missing: it comes before the question mark")
    }
    let path = rest[(slash + 1)..<(queryStart ?? rest.endIndex)]
    let volumeEnd = path.firstIndex(of: UInt8(ascii: "/")) ?? path.endIndex
    let volumeBytes = path[..<volumeEnd]
    guard !volumeBytes.isEmpty else {
      throw ParseError(part: show(text), reason: "the volume is missing: it follows the server, after a slash")
    }
    guard volumeBytes.allSatisfy(Self.isVolumeCharacter) else {
      throw ParseError(
        part: show(volumeBytes), reason: "not a volume's name: letters, digits, \"-\", \"_\" and \".\" make one")
    }
    volume = String(decoding: volumeBytes, as: UTF8.self)
    directory = try Self.directory(path[volumeEnd...])

    let authority = rest[..<slash]
    let socket = try queryStart.map { start throws(ParseError) in try Self.socket(rest[(start + 1)...]) }
    if transport == .unix {
      guard authority.isEmpty else {
        throw ParseError(part: show(authority), reason: "no server and no port with unix: the socket says where glusterd is")
      }
      guard let socket else {
        throw ParseError(part: show(text), reason: "unix needs the socket of glusterd: ?socket=/path/of/socket")
      }
      servers = [Server(host: socket)]
    } else {
      guard socket == nil else {
        throw ParseError(part: show(rest[queryStart!...]), reason: "a socket goes with unix, not with \(transport.rawValue)")
      }
      servers = try Self.servers(authority)
    }
  }

  /// Parses a URI given as text.
  public init(_ text: String) throws(ParseError) {
    try self.init(text.utf8)
  }

  // MARK: Parts

  private static func transport(of scheme: ArraySlice<UInt8>) throws(ParseError) -> Transport {
    let parts = scheme.split(separator: UInt8(ascii: "+"), maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.first.map(show) == "gluster" else {
      throw ParseError(part: show(scheme), reason: "not the protocol \"gluster\"")
    }
    guard parts.count > 1 else { return .tcp }
    guard let transport = Transport(rawValue: show(parts[1])) else {
      throw ParseError(part: show(parts[1]), reason: "unknown transport: tcp, unix and rdma are known")
    }
    return transport
  }

  private static func servers(_ authority: ArraySlice<UInt8>) throws(ParseError) -> [Server] {
    guard !authority.isEmpty else { return [Server(host: "localhost")] }
    var servers: [Server] = []
    for part in authority.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      servers.append(try server(part))
    }
    return servers
  }

  private static func server(_ part: ArraySlice<UInt8>) throws(ParseError) -> Server {
    let host: ArraySlice<UInt8>
    var portPart: ArraySlice<UInt8>?
    if part.first == UInt8(ascii: "[") {
      guard let close = part.firstIndex(of: UInt8(ascii: "]")) else {
        throw ParseError(part: show(part), reason: "the bracket around the IPv6 address is not closed")
      }
      host = part[(part.startIndex + 1)..<close]
      guard host.allSatisfy({ Hex.value($0) != nil || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "%") }),
        host.contains(UInt8(ascii: ":"))
      else {
        throw ParseError(part: show(part), reason: "not an IPv6 address in brackets")
      }
      let after = part[(close + 1)...]
      if !after.isEmpty {
        guard after.first == UInt8(ascii: ":") else {
          throw ParseError(part: show(part), reason: "only a port may follow the bracket, after a colon")
        }
        portPart = after.dropFirst()
      }
    } else {
      let pieces = part.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
      guard pieces.count <= 2 else {
        throw ParseError(part: show(part), reason: "an IPv6 address stands in brackets: [1:2:3:4:5:6:7:8]")
      }
      host = pieces[0]
      portPart = pieces.count == 2 ? pieces[1] : nil
    }
    guard !host.isEmpty else { throw ParseError(part: show(part), reason: "a server without a name") }
    guard let portPart else { return Server(host: show(host)) }
    guard !portPart.isEmpty, portPart.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
      throw ParseError(part: show(portPart), reason: "the port is not a number")
    }
    guard let port = Int(show(portPart)), (1...65535).contains(port) else {
      throw ParseError(part: show(portPart), reason: "the port is out of range: 1 to 65535")
    }
    return Server(host: show(host), port: port)
  }

  private static func directory(_ path: ArraySlice<UInt8>) throws(ParseError) -> VolumePath {
    var directory: [ArraySlice<UInt8>] = []
    for component in PercentEscapes.decodeWhatIsEscaped(path).split(separator: UInt8(ascii: "/")) {
      if component.elementsEqual(".".utf8) { continue }
      guard !component.elementsEqual("..".utf8) else {
        throw ParseError(part: show(path), reason: "\"..\" is not allowed in the directory")
      }
      guard !component.contains(0) else {
        throw ParseError(part: show(path), reason: "a zero byte is not allowed in the directory")
      }
      guard component.count <= 255 else {
        throw ParseError(part: show(component), reason: "longer than a name on a volume can be: 255 bytes")
      }
      directory.append(component)
    }
    return VolumePath(components: directory)
  }

  private static func socket(_ query: ArraySlice<UInt8>) throws(ParseError) -> String {
    let key = Array("socket=".utf8)
    guard query.starts(with: key) else {
      throw ParseError(part: show(query), reason: "only socket= is known after the question mark")
    }
    let path = PercentEscapes.decodeWhatIsEscaped(query.dropFirst(key.count))
    guard path.first == UInt8(ascii: "/"), !path.contains(0), let text = String(validating: path, as: UTF8.self) else {
      throw ParseError(part: show(query), reason: "the socket's path is absolute: socket=/path/of/socket")
    }
    return text
  }

  private static func isVolumeCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
      true
    default: false
    }
  }
}

extension VolumeURI {
  /// The name by which libgfapi knows the volume, or its snapshot.
  var clientName: String { snapshot.map { "/snaps/\($0)/\(volume)" } ?? volume }

  /// The URI of a directory of this volume: `gluster+tcp://server:24007/vol/dir`.
  ///
  /// - Parameter directory: any directory.
  public func text(directory: VolumePath) -> String {
    func encoded(_ bytes: some Collection<UInt8>) -> String {
      show(PercentEscapes.encode(bytes) { !Self.isVolumeCharacter($0) && $0 != UInt8(ascii: "/") })
    }
    let place = "/\(volume)\(encoded(directory.stem))"
    guard transport != .unix else { return "gluster+unix://\(place)?socket=\(encoded(servers[0].host.utf8))" }
    let authority = servers.map { server in
      (server.host.contains(":") ? "[\(server.host)]" : server.host) + (server.port == 0 ? "" : ":\(server.port)")
    }
    return "gluster+\(transport.rawValue)://\(authority.joined(separator: ","))\(place)"
  }
}

extension VolumeURI: CustomStringConvertible {
  /// Transport, servers and volume, for messages: `tcp server:24007, volume vol, directory /dir`.
  public var description: String {
    let where_ = servers.map { $0.port == 0 ? $0.host : "\($0.host):\($0.port)" }.joined(separator: ", ")
    return "\(transport.rawValue) \(where_)\(transport != .unix && servers.allSatisfy { $0.port == 0 } ? " (default port)" : "")"
      + ", volume \(volume)" + (snapshot.map { ", snapshot \($0)" } ?? "")
      + (directory.isRoot ? "" : ", directory \(show(directory.bytes))")
  }
}

// MARK: Bytes

private func show(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }
