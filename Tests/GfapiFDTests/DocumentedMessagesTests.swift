import Foundation
import TestSupport
import Testing

@Suite("docs/troubleshooting.md")
struct DocumentedMessagesTests {
  /// The texts of the messages that a file's code tells, with their fixed parts, in which interpolations leave gaps.
  static func messages(in source: String) -> [[String]] {
    let callers = [
      #"tell\(\s*\.\w+,\s*"#, #"tell\(current, "#, #"tellFailure\(\s*[^"]*?,\s*"#, #"RestoreProblem\(\s*"#, #"Ended\(message:\s*"#,
      #"ListFailure\(\s*description:\s*"#, #"(?<!\w)failure\(\s*"#, #"ConnectionFailure\(description:\s*"#, #"notOurs\("#,
    ]
    let literal = #""((?:[^"\\]|\\[^(]|\\\((?:[^()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*\))*)""#
    let expression = try! NSRegularExpression(pattern: "(?:" + callers.joined(separator: "|") + ")" + literal)
    let gap = try! NSRegularExpression(pattern: #"\\\((?:[^()]|\([^()]*(?:\([^()]*\)[^()]*)*\))*\)"#)
    let text = source as NSString
    return expression.matches(in: source, range: NSRange(location: 0, length: text.length)).map { match in
      let message = text.substring(with: match.range(at: 1))
      let marked = gap.stringByReplacingMatches(
        in: message, range: NSRange(location: 0, length: (message as NSString).length), withTemplate: "\u{0}")
      return marked.replacingOccurrences(of: "\\\"", with: "\"").split(separator: "\u{0}").map {
        $0.trimmingCharacters(in: CharacterSet(charactersIn: " :,;()"))
      }
    }
  }

  @Test("has each message that the plugin can tell")
  func complete() throws {
    let text = try String(contentsOf: Fixtures.package.appendingPathComponent("docs/troubleshooting.md"), encoding: .utf8)
    let folder = Fixtures.package.appendingPathComponent("Sources/GfapiFD")
    let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)).compactMap { $0 as? URL }
    var count = 0
    for file in files where file.pathExtension == "swift" {
      for parts in Self.messages(in: try String(contentsOf: file, encoding: .utf8)) {
        // What says something by itself.
        guard let longest = parts.max(by: { $0.count < $1.count }), longest.count >= 6 else { continue }
        count += 1
        let isThere = text.contains(longest)
        #expect(isThere, "\(file.lastPathComponent): \(longest)")
      }
    }
    #expect(count > 50)
  }
}
