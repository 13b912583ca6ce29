/// The format of a list of changes that glusterfind or the wrapper around it writes.
public struct ListFormat: Equatable, Sendable {
  /// The encoding of names.
  public enum Encoding: String, CaseIterable, Sendable {
    /// Current glusterfind: `%25`, `%20` and `%0A` stand for a percent sign, a space and a newline.
    case percent
    /// Very old glusterfind: as in a web form, `+` stands for a space and `%XX` for any byte.
    case plus
    /// glusterfind `--no-encode`: names are not encoded.
    case none
  }

  public var encoding: Encoding
  /// The separator between the fields of a line, of at least one byte.
  public var separator: [UInt8]

  public init(encoding: Encoding = .percent, separator: [UInt8] = [UInt8(ascii: " ")]) {
    self.encoding = encoding
    self.separator = separator
  }

  /// Decodes a name from a line. Returns nil if the name is not encoded in this format.
  public func decode(_ name: some Collection<UInt8>) -> [UInt8]? {
    if encoding == .none { return Array(name) }
    var decoded: [UInt8] = []
    decoded.reserveCapacity(name.count)
    var rest = name.makeIterator()
    while let byte = rest.next() {
      switch byte {
      case UInt8(ascii: "%"):
        guard let high = rest.next().flatMap(Self.hexadecimal), let low = rest.next().flatMap(Self.hexadecimal) else {
          return nil
        }
        decoded.append(high << 4 | low)
      case UInt8(ascii: "+") where encoding == .plus: decoded.append(UInt8(ascii: " "))
      default: decoded.append(byte)
      }
    }
    return decoded
  }

  /// Encodes a name as current glusterfind does.
  public static func encode(_ name: some Collection<UInt8>) -> [UInt8] {
    var encoded: [UInt8] = []
    encoded.reserveCapacity(name.count)
    for byte in name {
      switch byte {
      case UInt8(ascii: "%"): encoded += "%25".utf8
      case UInt8(ascii: " "): encoded += "%20".utf8
      case UInt8(ascii: "\n"): encoded += "%0A".utf8
      default: encoded.append(byte)
      }
    }
    return encoded
  }

  private static func hexadecimal(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    default: nil
    }
  }
}
