import Encodings

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
    switch encoding {
    case .percent: PercentEscapes.decode(name)
    case .plus: PercentEscapes.decode(name.lazy.map { $0 == UInt8(ascii: "+") ? UInt8(ascii: " ") : $0 })
    case .none: Array(name)
    }
  }

  /// Encodes a name as current glusterfind does.
  public static func encode(_ name: some Collection<UInt8>) -> [UInt8] {
    PercentEscapes.encode(name) { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
  }
}
