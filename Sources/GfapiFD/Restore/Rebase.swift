import GfapiJob
/// Maps the paths of one plugin line's entries in a restore: from the base directory of the backup to that of the override.
package struct Rebase: Sendable {
  /// Directories on the volume, in raw bytes; empty: the volume's root.
  private let from: [UInt8]
  private let to: [UInt8]

  /// - Parameters:
  ///   - original: base directory of the definition that the backup was made with.
  ///   - overridden: base directory of an override; empty: entries keep their paths.
  package init(original: [UInt8], overridden: [UInt8]) {
    from = original
    to = overridden.isEmpty ? original : overridden
  }

  /// True if entries get other paths.
  package var moves: Bool { from != to }

  /// Returns the path of an entry on the volume; nil if the entry is not in the plugin line's base directory.
  ///
  /// - Parameters:
  ///   - path: as the daemon passes it. The path of a hard link's first name may lack `prefix`.
  ///   - prefix: the daemon's *where*.
  package func callAsFunction(_ path: [UInt8], under prefix: [UInt8]) -> [UInt8]? {
    let prefix = prefix.last == UInt8(ascii: "/") ? Array(prefix.dropLast()) : prefix
    let inner = path.starts(with: prefix) ? path.dropFirst(prefix.count) : path[...]
    guard inner.starts(with: from) else { return nil }
    let rest = inner.dropFirst(from.count)
    // Compare whole components: /dir is not a parent of /dir2.
    guard rest.isEmpty || rest.first == UInt8(ascii: "/") else { return nil }
    return (path.starts(with: prefix) ? prefix : []) + to + rest
  }

  /// The warning for a path that the override does not move.
  static let isOutside = JobMessage(
    "GFD-077",
    "the directory of the override is not used: this path, as RegexWhere or the backup made it, is not below the "
      + "directory of the backup's plugin line")
}
