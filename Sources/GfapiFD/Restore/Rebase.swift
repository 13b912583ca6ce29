/// Where the entries of one plugin line go in a restore: from the base directory that they were backed up from to that of the override.
package struct Rebase: Sendable {
  /// Directories on the volume, in raw bytes; empty: its root.
  private let from: [UInt8]
  private let to: [UInt8]

  /// - Parameters:
  ///   - original: base directory of the definition that the backup was made with.
  ///   - overridden: base directory of an override; empty: entries go where they were.
  package init(original: [UInt8], overridden: [UInt8]) {
    from = original
    to = overridden.isEmpty ? original : overridden
  }

  /// Whether entries get another path.
  package var moves: Bool { from != to }

  /// The path that an entry gets; nil if it is not in the line's base directory.
  ///
  /// - Parameters:
  ///   - path: as the daemon gives it. That of a hard link's first name may be without `place`.
  ///   - place: the daemon's `where` prefix.
  package func callAsFunction(_ path: [UInt8], under place: [UInt8]) -> [UInt8]? {
    let prefix = place.last == UInt8(ascii: "/") ? Array(place.dropLast()) : place
    let inner = path.starts(with: prefix) ? path.dropFirst(prefix.count) : path[...]
    guard inner.starts(with: from) else { return nil }
    let rest = inner.dropFirst(from.count)
    // Whole components only: /dir is no beginning of /dir2.
    guard rest.isEmpty || rest.first == UInt8(ascii: "/") else { return nil }
    return (path.starts(with: prefix) ? prefix : []) + to + rest
  }
}
