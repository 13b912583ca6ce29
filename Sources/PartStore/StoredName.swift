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
    var stored: [UInt8] = []
    for (index, byte) in self.name.enumerated() {
      switch byte {
      case UInt8(ascii: "/"), UInt8(ascii: "%"), 0..<0x20, 0x7f: stored += Self.escaped(byte)
      case UInt8(ascii: ".") where index == 0: stored += Self.escaped(byte)
      default: stored.append(byte)
      }
    }
    self.stored = stored
  }

  /// - Parameter stored: a name found on a volume.
  /// - Returns: nil if no name of the storage daemon has this stored form.
  public init?(stored: [UInt8]) {
    var name: [UInt8] = []
    var rest = stored[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%") {
        guard rest.count >= 2, let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16) else { return nil }
        rest = rest.dropFirst(2)
        name.append(value)
      } else {
        name.append(byte)
      }
    }
    self.init(name)
    // This type never writes such an escape (`%41` or `%2f`), so something else has put the file there.
    guard self.stored == stored, !stored.isEmpty else { return nil }
  }

  private static func escaped(_ byte: UInt8) -> [UInt8] {
    let digits = Array("0123456789ABCDEF".utf8)
    return [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
  }
}

extension StoredName: CustomStringConvertible {
  /// The storage daemon's name, for messages; the stored name if the daemon's has control characters.
  public var description: String { String(decoding: name.contains { $0 < 0x20 || $0 == 0x7f } ? stored : name, as: UTF8.self) }
}
