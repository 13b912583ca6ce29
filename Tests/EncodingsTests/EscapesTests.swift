import Encodings
import Testing

@Suite("Hexadecimal digits")
struct HexTests {
  @Test("Each byte is two digits, and digits of either case are that byte")
  func each() {
    for byte in 0...255 as ClosedRange<UInt8> {
      let text = (byte < 16 ? "0" : "") + String(byte, radix: 16)
      #expect(Hex.text([byte]) == text)
      #expect(Hex.bytes(text.utf8) == [byte] && Hex.bytes(text.uppercased().utf8) == [byte])
      #expect([Hex.digit(byte >> 4, isUpperCase: true), Hex.digit(byte & 15, isUpperCase: true)] == Array(text.uppercased().utf8))
    }
    #expect(Hex.text([]) == "" && Hex.bytes([]) == [] && Hex.text([0, 1, 255]) == "0001ff")
  }

  @Test("A byte is a digit only if it is 0 to 9, a to f or A to F")
  func digits() {
    let digits = Array("0123456789abcdefABCDEF".utf8)
    for byte in 0...255 as ClosedRange<UInt8> {
      #expect((Hex.value(byte) != nil) == digits.contains(byte))
      if let value = Hex.value(byte) { #expect([Hex.digit(value), Hex.digit(value, isUpperCase: true)].contains(byte)) }
    }
  }

  @Test("Half a pair and other characters are no bytes", arguments: ["0", "000", "0g", "g0", "+1", "-1", " 1", "1 ", "0x", "٣٣", "ff "])
  func bad(_ text: String) { #expect(Hex.bytes(text.utf8) == nil) }
}

@Suite("Percent escapes")
struct PercentEscapesTests {
  @Test(
    "Percent escapes are decoded once",
    arguments: [("", ""), ("abc", "abc"), ("%41", "A"), ("a%20b", "a b"), ("%2f%2F", "//"), ("%25", "%"), ("%2541", "%41"), ("ü%41", "üA")])
  func decode(_ text: String, _ decoded: String) {
    #expect(PercentEscapes.decode(text.utf8) == Array(decoded.utf8))
    #expect(PercentEscapes.decodeWhatIsEscaped(text.utf8) == Array(decoded.utf8))
  }

  @Test(
    "A percent sign that no two digits follow is an error, or stands for itself",
    arguments: [
      ("%", "%"), ("%4", "%4"), ("100%", "100%"), ("%%41", "%A"), ("%4%41", "%4A"), ("%g1", "%g1"), ("%1g", "%1g"), ("%+1", "%+1"),
      ("% 1", "% 1"), ("a%", "a%"), ("%%", "%%"), ("%%%", "%%%"),
    ])
  func stray(_ text: String, _ decoded: String) {
    #expect(PercentEscapes.decode(text.utf8) == nil)
    #expect(PercentEscapes.decodeWhatIsEscaped(text.utf8) == Array(decoded.utf8))
  }

  @Test("Bytes that are no UTF-8 are decoded and escaped like others, also in a part of an array")
  func bytes() {
    #expect(PercentEscapes.decode([0xff, 0x25, 0x66, 0x46, 0x00]) == [0xff, 0xff, 0x00])
    let part = ([1, 2, 0x25, 0x34, 0x31, 3] as [UInt8])[2..<5]
    #expect(PercentEscapes.decode(part) == [0x41] && PercentEscapes.decodeWhatIsEscaped(part) == [0x41])
    #expect(PercentEscapes.decodeWhatIsEscaped(part.dropLast()) == [0x25, 0x34])
    #expect(PercentEscapes.encode([0xff, 0x41, 0x0a]) { $0 > 0x7f || $0 < 0x20 } == Array("%FFA%0A".utf8))
  }

  @Test("What is escaped is decoded to the same bytes")
  func both() {
    let bytes = Array(0...255 as ClosedRange<UInt8>)
    for isEscaped in [{ _ in true }, { $0 == UInt8(ascii: "%") }] as [(UInt8) -> Bool] {
      let encoded = PercentEscapes.encode(bytes, where: isEscaped)
      #expect(PercentEscapes.decode(encoded) == bytes && PercentEscapes.decodeWhatIsEscaped(encoded) == bytes)
    }
    #expect(PercentEscapes.encode(bytes) { _ in false } == bytes)
  }
}
