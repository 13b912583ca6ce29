/// A string literal of Swift source code.
struct StringLiteral: Equatable {
  /// The fixed parts of the text; an interpolation stands between two parts.
  var parts: [String]
  /// The code directly before the literal, without the white space before the quote: at most 40 characters.
  var before: String

  /// Returns every string literal of a source file, also those inside interpolations of others. Comments are skipped.
  static func all(in source: String) -> [StringLiteral] {
    var scanner = Scanner(text: Array(source.unicodeScalars))
    scanner.code(untilParenthesis: false)
    return scanner.found
  }

  private struct Scanner {
    let text: [Unicode.Scalar]
    var position = 0
    var found: [StringLiteral] = []

    init(text: [Unicode.Scalar]) { self.text = text }

    private func starts(_ prefix: some StringProtocol, at index: Int) -> Bool {
      text[min(index, text.count)...].starts(with: prefix.unicodeScalars)
    }

    /// Skips code up to the end of the text, or up to the parenthesis that closes an interpolation.
    mutating func code(untilParenthesis: Bool) {
      var depth = 0
      while position < text.count {
        if starts("//", at: position) {
          while position < text.count, text[position] != "\n" { position += 1 }
        } else if starts("/*", at: position) {
          comment()
        } else if let hashes = hashesBeforeQuote() {
          literal(hashes)
        } else {
          if untilParenthesis, text[position] == "(" { depth += 1 }
          if untilParenthesis, text[position] == ")" { depth -= 1 }
          position += 1
          if depth < 0 { return }
        }
      }
    }

    private mutating func comment() {
      var depth = 0
      repeat {
        if starts("/*", at: position) {
          (depth, position) = (depth + 1, position + 2)
        } else if starts("*/", at: position) {
          (depth, position) = (depth - 1, position + 2)
        } else {
          position += 1
        }
      } while depth > 0 && position < text.count
    }

    /// Returns the number of `#` before the quote of a literal, or nil if no literal begins here.
    private func hashesBeforeQuote() -> Int? {
      let hashes = text[position...].prefix { $0 == "#" }.count
      return starts("\"", at: position + hashes) ? hashes : nil
    }

    private mutating func literal(_ hashes: Int) {
      let code = String(String.UnicodeScalarView(text[..<position].suffix(80)))
      let before = String(String(code.reversed().drop { $0.isWhitespace }.reversed()).suffix(40))
      position += hashes
      let quote = starts("\"\"\"", at: position) ? "\"\"\"" : "\""
      position += quote.count
      let end = quote + String(repeating: "#", count: hashes)
      let escape = "\\" + String(repeating: "#", count: hashes)
      var parts = [""]
      while position < text.count, !starts(end, at: position) {
        guard starts(escape, at: position) else {
          parts[parts.count - 1].unicodeScalars.append(text[position])
          position += 1
          continue
        }
        position += escape.count
        switch position < text.count ? text[position] : "\n" {
        case "(":
          position += 1
          self.code(untilParenthesis: true)
          parts.append("")
          continue
        case "n", "t", "r", "0": parts[parts.count - 1] += " "
        // An escaped newline: the line continues.
        case "\n": break
        case "u":
          while position < text.count, text[position] != "}" { position += 1 }
        case let character: parts[parts.count - 1].unicodeScalars.append(character)
        }
        position += 1
      }
      position += end.count
      found.append(StringLiteral(parts: parts, before: before))
    }
  }
}
