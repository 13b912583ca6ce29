/// Escapes of the form `%XX`: a percent sign and two hexadecimal digits stand for a byte.
///
/// The callers have different rules for a percent sign that no two digits follow.
package enum PercentEscapes {
  /// Decodes the escapes. Digits may have either case.
  ///
  /// - Returns: nil if two digits do not follow each percent sign.
  @inlinable
  package static func decode(_ bytes: some Collection<UInt8>) -> [UInt8]? {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var rest = bytes.makeIterator()
    while let byte = rest.next() {
      guard byte == UInt8(ascii: "%") else {
        decoded.append(byte)
        continue
      }
      guard let high = rest.next().flatMap(Hex.value), let low = rest.next().flatMap(Hex.value) else { return nil }
      decoded.append(high << 4 | low)
    }
    return decoded
  }

  /// Decodes the escapes. Digits may have either case. A percent sign that no two digits follow stands for itself.
  package static func decodeWhatIsEscaped(_ bytes: some Collection<UInt8>) -> [UInt8] {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(bytes.count)
    var rest = bytes[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), let high = rest.first.flatMap(Hex.value), let low = rest.dropFirst().first.flatMap(Hex.value) {
        decoded.append(high << 4 | low)
        rest = rest.dropFirst(2)
      } else {
        decoded.append(byte)
      }
    }
    return decoded
  }

  /// Escapes the bytes for which a function returns true, with digits in upper case. To make the result unique, it must return true for
  /// the percent sign.
  @inlinable
  package static func encode(_ bytes: some Collection<UInt8>, where isEscaped: (UInt8) -> Bool) -> [UInt8] {
    var encoded: [UInt8] = []
    encoded.reserveCapacity(bytes.count)
    for byte in bytes {
      if isEscaped(byte) {
        encoded.append(UInt8(ascii: "%"))
        encoded.append(Hex.digit(byte >> 4, isUpperCase: true))
        encoded.append(Hex.digit(byte & 15, isUpperCase: true))
      } else {
        encoded.append(byte)
      }
    }
    return encoded
  }
}
