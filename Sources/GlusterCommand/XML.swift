extension String {
  /// Returns the content of each element with a name. The elements have no attributes: `gluster --xml` writes those that are used here
  /// without any.
  package func elements(_ name: String) -> [String] {
    var found: [String] = []
    var rest = self[...]
    while let start = rest.firstRange(of: "<\(name)") {
      rest = rest[start.upperBound...]
      // Skip an element whose name is longer.
      guard let end = rest.first, end == ">" || end == " ", let open = rest.firstIndex(of: ">") else { continue }
      guard let close = rest.firstRange(of: "</\(name)>") else { break }
      found.append(Self.unescaped(rest[rest.index(after: open)..<close.lowerBound]))
      rest = rest[close.upperBound...]
    }
    return found
  }

  /// Replaces the XML escapes in a text. `&amp;` comes last, because the ampersand that replaces it does not begin another escape.
  private static func unescaped(_ text: Substring) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")].reduce(String(text)) {
      $0.replacing($1.0, with: $1.1)
    }
  }
}
