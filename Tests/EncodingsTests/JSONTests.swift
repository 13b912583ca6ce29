import Encodings
import Foundation
import Testing

@Suite("JSON texts")
struct JSONTests {
  @Test(
    "JSON values are written on one line, with the members of an object in their order",
    arguments: [
      (nil, "null"), ("text", "\"text\""), ("", "\"\""), (0, "0"), (-7, "-7"), (.integer(.max), "9223372036854775807"),
      (.number(1.5), "1.5"), (.number(0.001), "0.001"), (.number(3), "3.0"), (.number(.infinity), "null"), (.number(.nan), "null"),
      ([], "[]"), ([1], "[1]"), ([1, "two", [nil]], "[1, \"two\", [null]]"), ([:], "{}"),
      (["z": 1, "a": ["b": []], "z": nil], "{\"z\": 1, \"a\": {\"b\": []}, \"z\": null}"),
    ] as [(JSON, String)])
  func form(_ value: JSON, _ text: String) { #expect("\(value)" == text) }

  @Test(
    "JSON strings have escapes for quotes, backslashes and control characters, and nothing else",
    arguments: [
      ("\"", #"\""#), ("\\", #"\\"#), ("\\\"\\", #"\\\"\\"#), ("\0", #"\u0000"#), ("\n", #"\u000a"#), ("\r\n", #"\u000d\u000a"#),
      ("\t\u{8}\u{c}", #"\u0009\u0008\u000c"#), ("\u{f}\u{10}\u{1f}", #"\u000f\u0010\u001f"#), (" \u{7f}", " \u{7f}"),
      ("\u{2028}\u{2029}", "\u{2028}\u{2029}"), ("ü€😀", "ü€😀"), ("e\u{301}\u{301}\"", "e\u{301}\u{301}\\\""), ("/", "/"),
      ("\u{fffd}\u{ffff}\u{10ffff}", "\u{fffd}\u{ffff}\u{10ffff}"),
    ])
  func escapes(_ string: String, _ text: String) {
    // The bytes are compared, because Swift calls texts equal that differ in their normal form.
    #expect(Array(JSON.string(string).description.utf8) == Array("\"\(text)\"".utf8))
    #expect(Array(JSON.object([(name: string, value: 1)]).description.utf8) == Array("{\"\(text)\": 1}".utf8))
  }

  @Test("A JSON string keeps each character when another parser reads it")
  func parsed() throws {
    let scalars = Array(0..<0xd800) + Array(0xe000..<0x11000) + [0x10ffff]
    let string = String(String.UnicodeScalarView(scalars.compactMap { Unicode.Scalar(UInt32($0)) }))
    let read = try JSONDecoder().decode([String: String].self, from: Data("\(["a": .string(string)] as JSON)".utf8))
    #expect(read["a"].map { Array($0.unicodeScalars) } == Array(string.unicodeScalars))
  }
}
