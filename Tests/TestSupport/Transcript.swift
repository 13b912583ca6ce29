import Foundation

/// A transcript in one of the documents: a code block with commands and with the lines that they print, or with lines of a job's log.
///
/// A line `* command` is a command of bconsole, `$ command` a command of its selection of files, and `# command` or `$ gfapi-fd …` one of a shell. A
/// question of bconsole has its answer after it. In the other lines, `…` stands for any text, and a number for any number.
public struct Transcript: Sendable {
  public enum Kind: Sendable {
    case console, shell
    /// Lines of a job's log, without commands.
    case log
  }

  public let kind: Kind
  /// The heading above it.
  public let heading: String
  /// The commands and the answers, in their order.
  public let inputs: [String]
  /// The lines that must be printed, in this order.
  public let expected: [String]

  /// The questions of bconsole that the documents answer.
  private static var question: Regex<(Substring, Substring, Substring)> {
    /^((?:OK to run\?|Use above plugin configuration\?|Select parameter to modify|Please enter a value for).*?: )(\S.*)$/
  }

  /// All transcripts of a document.
  ///
  /// - Parameter replacing: names of the document, and the names of the test that take their place.
  public static func all(in document: String, replacing names: [(String, String)] = []) -> [Transcript] {
    var found: [Transcript] = []
    var heading = ""
    var block: [String]?
    var isOtherBlock = false
    for line in document.split(separator: "\n", omittingEmptySubsequences: false) {
      let text = line.trimmingPrefix { $0 == " " }
      if text.hasPrefix("```") {
        if let lines = block {
          if let transcript = Transcript(heading, lines) { found.append(transcript) }
          block = nil
        } else if isOtherBlock || text != "```" {
          // A block with a language is a script.
          isOtherBlock.toggle()
        } else {
          block = []
        }
      } else if block != nil {
        block!.append(names.reduce(String(text)) { $0.replacing($1.0, with: $1.1) })
      } else if text.hasPrefix("#") {
        heading = String(text.drop { "# ".contains($0) })
      }
    }
    return found
  }

  private init?(_ heading: String, _ lines: [String]) {
    guard let first = lines.first else { return nil }
    switch first {
    case _ where first.hasPrefix("* "): kind = .console
    case _ where first.hasPrefix("# ") || first.hasPrefix("$ gfapi-fd"): kind = .shell
    case _ where first.hasPrefix("… ") && first.contains("gfapi: ") || first.hasPrefix("… ClientBeforeJob: "): kind = .log
    default: return nil
    }
    var (inputs, expected): ([String], [String]) = ([], [])
    for line in lines {
      if let command = line.wholeMatch(of: /[*$#] (.+)/)?.1 {
        inputs.append(String(command))
      } else if let match = line.wholeMatch(of: Self.question) {
        expected.append(String(match.1))
        inputs.append(String(match.2))
      } else {
        expected.append(line)
      }
    }
    (self.heading, self.inputs, self.expected) = (heading, inputs, expected)
  }

  /// The first expected line that an output does not have after the lines before it; nil if it has all.
  public func missingLine(in output: String) -> String? {
    var rest = Self.words(output)[...]
    for line in expected where line != "…" && !line.isEmpty {
      guard let match = try? Self.pattern(line).firstMatch(in: rest) else { return line }
      rest = rest[match.range.upperBound...]
    }
    return nil
  }

  private static func words(_ text: String) -> String { text.replacing(#/[ \t\r]+/#, with: " ").replacing("\n ", with: "\n") }

  /// Matches a line of the document, and in it any number for a number and any text for `…`.
  private static func pattern(_ line: String) throws -> Regex<AnyRegexOutput> {
    let number = "[0-9][0-9.,:TZ-]*(?: (?:[KMG]i)?B)?"
    var pattern = ""
    var rest = Self.words(line).trimmingCharacters(in: .whitespaces)[...]
    while let match = rest.firstMatch(of: #/[0-9][0-9.,:TZ-]*(?: (?:[KMG]i)?B)?|…/#) {
      pattern += NSRegularExpression.escapedPattern(for: String(rest[..<match.range.lowerBound]))
      pattern += match.0 == "…" ? "[^\\n]*?" : number
      rest = rest[match.range.upperBound...]
    }
    return try Regex(pattern + NSRegularExpression.escapedPattern(for: String(rest)))
  }
}
