/// The name of a part until it is complete: `.PART.upload-NUMBER`.
enum UploadName {
  /// The text between the part's name and the 16 hexadecimal digits.
  private static let mark = Array(".upload-".utf8)

  /// Returns a name that no other upload has.
  static func make(for part: StoredName) -> [UInt8] {
    let digits = String(UInt64.random(in: 0 ... .max), radix: 16)
    return Array(".".utf8) + part.stored + mark + Array((String(repeating: "0", count: 16 - digits.count) + digits).utf8)
  }

  /// Returns true if a name has the form of these names.
  static func matches(_ name: [UInt8]) -> Bool {
    let end = name.suffix(mark.count + 16)
    guard name.first == UInt8(ascii: "."), name.count > 1 + end.count else { return false }
    return end.starts(with: mark) && end.suffix(16).allSatisfy { Character(Unicode.Scalar($0)).isHexDigit }
  }
}
