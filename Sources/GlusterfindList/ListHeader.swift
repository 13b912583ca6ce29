/// The lines that the wrapper adds to the changes in a list. They begin with `#`, which no line of glusterfind does:
///
///     #begin 1 level=changes since=1700000000 until=1700003600
///     …
///     #end 1234
///
/// `level` is `full` or `changes`. The times are seconds since 1970. The number at the end is the number of lines in between. Instead of
/// changes there may be a line `#crawl REASON`: no complete list can be made, and the job crawls the volume.
public struct ListHeader: Equatable, Sendable {
  /// True if everything on the volume is listed, not only changes.
  public var isFull: Bool
  /// Changes after this time are listed, in seconds since 1970; 0 in a full list.
  public var since: Int
  /// The time at which glusterfind was asked, in seconds since 1970.
  public var until: Int

  public init(isFull: Bool, since: Int, until: Int) {
    self.isFull = isFull
    self.since = since
    self.until = until
  }

  /// A line of a list that begins with `#`.
  public enum Directive: Equatable, Sendable {
    case begin(ListHeader)
    case crawl(reason: String)
    case end(lines: Int)
    /// A line that is not supported, such as one of another version.
    case unknown
    case comment
  }

  static let version = "1"

  /// Reads a line. Returns nil if it does not begin with `#`.
  public static func directive(_ line: some Collection<UInt8>) -> Directive? {
    guard line.first == UInt8(ascii: "#") else { return nil }
    let words = String(decoding: line, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
    switch words[0] {
    case "#begin":
      var values: [Substring: Substring] = [:]
      for word in words.dropFirst(2) {
        let parts = word.split(separator: "=", maxSplits: 1)
        if parts.count == 2 { values[parts[0]] = parts[1] }
      }
      guard words.count > 1, words[1] == version, let level = values["level"], ["full", "changes"].contains(level),
        let since = values["since"].flatMap({ Int($0) }), let until = values["until"].flatMap({ Int($0) })
      else { return .unknown }
      return .begin(ListHeader(isFull: level == "full", since: since, until: until))
    case "#crawl": return .crawl(reason: words.dropFirst().joined(separator: " "))
    case "#end":
      guard words.count == 2, let lines = Int(words[1]) else { return .unknown }
      return .end(lines: lines)
    default: return .comment
    }
  }

  /// The first line of the list, with its newline.
  public var line: String {
    "#begin \(Self.version) level=\(isFull ? "full" : "changes") since=\(since) until=\(until)\n"
  }

  public static func crawlLine(_ reason: String) -> String {
    "#crawl \(reason.split(whereSeparator: \.isNewline).joined(separator: " "))\n"
  }

  public static func endLine(_ lines: Int) -> String { "#end \(lines)\n" }
}
