import Encodings

/// The name on a Gluster volume of one of the storage daemon's volumes, or of a part of one.
///
/// The stored name is the daemon's name. Only bytes that a file name cannot contain, or that have a special meaning in it, are escaped as
/// `%XX`: `/`, `%`, control characters, and a leading `.`. Different names have different stored names. No stored name begins with a dot:
/// such names are reserved for parts that are being uploaded.
public struct StoredName: Hashable, Sendable {
  /// The storage daemon's name, in raw bytes.
  public let name: [UInt8]
  /// The name on the volume, in raw bytes.
  public let stored: [UInt8]

  /// - Parameter name: the storage daemon's name, in raw bytes.
  public init(_ name: some Collection<UInt8>) {
    self.name = Array(name)
    var isFirst = true
    stored = PercentEscapes.encode(self.name) { byte in
      defer { isFirst = false }
      return switch byte {
      case UInt8(ascii: "/"), UInt8(ascii: "%"), 0..<0x20, 0x7f: true
      case UInt8(ascii: "."): isFirst
      default: false
      }
    }
  }

  /// - Parameter stored: a name found on a volume.
  /// - Returns: nil if no name of the storage daemon has this stored form.
  public init?(stored: [UInt8]) {
    guard let name = PercentEscapes.decode(stored) else { return nil }
    self.init(name)
    // This type never writes such an escape (`%41` or `%2f`), so something else has put the file there.
    guard self.stored == stored, !stored.isEmpty else { return nil }
  }
}

extension StoredName: CustomStringConvertible {
  /// The storage daemon's name, for messages; the stored name if the daemon's has control characters.
  public var description: String { String(decoding: name.contains { $0 < 0x20 || $0 == 0x7f } ? stored : name, as: UTF8.self) }
}
