/// One change: a line of a list.
public struct Change: Equatable, Sendable {
  public enum Kind: String, CaseIterable, Sendable {
    case new = "NEW", modify = "MODIFY", delete = "DELETE", rename = "RENAME"
    /// Written by the wrapper only. The entry may have changed, and the job compares it as a crawl does.
    case look = "LOOK"
  }

  public let kind: Kind
  /// The path of the entry that changed; for a rename, its old path. It is absolute on the volume, in raw bytes: `/dir/file`.
  public let path: [UInt8]
  /// The new path of a rename; nil for other changes.
  public let newPath: [UInt8]?
  /// True if the line can be read in several ways, and this is one of them.
  public let isGuess: Bool

  public init(_ kind: Kind, _ path: [UInt8], to newPath: [UInt8]? = nil, isGuess: Bool = false) {
    self.kind = kind
    self.path = path
    self.newPath = newPath
    self.isGuess = isGuess
  }

  /// A change of the entry with an identity, whatever its names are: `MODIFY .gfid/0123abcd-…`. A client that is mounted with
  /// `aux-gfid-mount` shows entries under such paths.
  ///
  /// - Parameter gfid: the identity, as text of 36 characters.
  public init(_ kind: Kind, identity gfid: some Collection<UInt8>) { self.init(kind, Array("/.gfid/".utf8) + gfid) }

  /// Thrown if a line has no valid change. `description` says why.
  public struct Unreadable: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
  }

  /// Reads a line: `NEW p`, `MODIFY p`, `DELETE p` or `RENAME old new`.
  ///
  /// - Parameters:
  ///   - line: the line in raw bytes, without its newline.
  ///   - format: the format of the list.
  /// - Returns: one change, or several for a rename whose names are not encoded and contain the separator.
  /// - Throws: ``Unreadable`` if the line has no valid change.
  public static func read(_ line: some Collection<UInt8>, _ format: ListFormat) throws(Unreadable) -> [Change] {
    let line = Array(line)
    guard !line.contains(0) else { throw Unreadable("a zero byte in it") }
    guard let kind = Kind.allCases.first(where: { line.starts(with: Array($0.rawValue.utf8) + format.separator) }) else {
      throw Unreadable("it begins with none of NEW, MODIFY, DELETE, RENAME and the field separator")
    }
    let rest = line[(kind.rawValue.utf8.count + format.separator.count)...]
    guard kind == .rename else { return [Change(kind, try path(rest, format))] }
    let splits = rest.occurrences(of: format.separator)
    guard !splits.isEmpty else { throw Unreadable("a RENAME with one name") }
    guard splits.count == 1 || format.encoding == .none else { throw Unreadable("a RENAME with more than two names") }
    var changes: [Change] = []
    for split in splits where split > rest.startIndex && split + format.separator.count < rest.endIndex {
      changes.append(
        Change(
          .rename, try path(rest[..<split], format), to: try path(rest[(split + format.separator.count)...], format),
          isGuess: splits.count > 1))
    }
    guard !changes.isEmpty else { throw Unreadable("a RENAME with an empty name") }
    return changes
  }

  private static func path(_ name: ArraySlice<UInt8>, _ format: ListFormat) throws(Unreadable) -> [UInt8] {
    guard !name.isEmpty else { throw Unreadable("an empty name") }
    guard let decoded = format.decode(name) else { throw Unreadable("a % in it that no two hexadecimal digits follow") }
    guard !decoded.contains(0) else { throw Unreadable("a zero byte in the name") }
    var path: [UInt8] = []
    for component in decoded.split(separator: UInt8(ascii: "/")) where !component.elementsEqual(".".utf8) {
      guard !component.elementsEqual("..".utf8) else { throw Unreadable("a .. in the name") }
      path.append(UInt8(ascii: "/"))
      path += component
    }
    return path.isEmpty ? [UInt8(ascii: "/")] : path
  }

  /// The line with this change as current glusterfind writes it, with its newline.
  public var line: [UInt8] {
    let names = [path] + (newPath.map { [$0] } ?? [])
    // The root has no name: a dot stands for it.
    return Array(kind.rawValue.utf8)
      + names.flatMap { [UInt8(ascii: " ")] + ($0.count == 1 ? [UInt8(ascii: ".")] : ListFormat.encode($0.dropFirst())) }
      + [UInt8(ascii: "\n")]
  }
}

extension ArraySlice<UInt8> {
  /// Returns the indices at which `part` begins in these bytes.
  fileprivate func occurrences(of part: [UInt8]) -> [Index] {
    guard count >= part.count else { return [] }
    return (startIndex...(endIndex - part.count)).filter { self[$0...].starts(with: part) }
  }
}
