/// Hexadecimal digits, as ASCII bytes.
package enum Hex {
  /// Returns the value of a digit of either case; nil if the byte is no digit. A sign is no digit.
  @inlinable
  package static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  /// Returns the bytes that pairs of digits stand for; nil if there is another byte or half a pair.
  package static func bytes(_ digits: some Collection<UInt8>) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    var rest = digits.makeIterator()
    while let first = rest.next() {
      guard let high = value(first), let low = rest.next().flatMap(value) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  /// Returns the digit for a value below 16.
  @inlinable
  package static func digit(_ value: UInt8, isUpperCase: Bool = false) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: isUpperCase ? "A" : "a") + value - 10
  }

  /// Returns two digits for each byte, in lower case.
  package static func text(_ bytes: some Sequence<UInt8>) -> String {
    String(decoding: bytes.flatMap { [digit($0 >> 4), digit($0 & 15)] }, as: UTF8.self)
  }

  /// Returns a UUID, such as Gluster's identity of an entry, as text: `01234567-89ab-…`.
  ///
  /// - Parameter bytes: 16 bytes.
  package static func uuid(_ bytes: [UInt8]) -> String {
    let text = Array(text(bytes))
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(text[$0]) }.joined(separator: "-")
  }
}
