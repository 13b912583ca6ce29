import GfapiJob
import Gluster

/// Maps the paths of one plugin line's entries in a restore: from the base directory of the backup to that of the override.
package struct Rebase: Sendable {
  private let from: VolumePath
  private let to: VolumePath

  /// - Parameters:
  ///   - original: base directory of the definition that the backup was made with.
  ///   - overridden: base directory of an override; the root: entries keep their paths.
  package init(original: VolumePath, overridden: VolumePath) {
    from = original
    to = overridden.isRoot ? original : overridden
  }

  /// True if entries get other paths.
  package var moves: Bool { from != to }

  /// Returns the new path of an entry, in the daemon's form; nil if the entry is not in the plugin line's base directory.
  ///
  /// - Parameters:
  ///   - path: as the daemon passes it, in raw bytes. The path of a hard link's first name may lack `prefix`.
  ///   - prefix: the daemon's *where*.
  package func callAsFunction(_ path: [UInt8], under prefix: [UInt8]) -> [UInt8]? {
    let prefix = prefix.last == UInt8(ascii: "/") ? Array(prefix.dropLast()) : prefix
    let inner = path.starts(with: prefix) ? path.dropFirst(prefix.count) : path[...]
    guard inner.starts(with: from.stem) else { return nil }
    let rest = inner.dropFirst(from.stem.count)
    // Compare whole components: /dir is not a parent of /dir2.
    guard rest.isEmpty || rest.first == UInt8(ascii: "/") else { return nil }
    return (path.starts(with: prefix) ? prefix : []) + to.stem + rest
  }

  /// The warning for a path that the override does not move.
  static let isOutside = JobMessage(
    "GFD-077",
    "the directory of the override is not used: this path, as RegexWhere or the backup made it, is not below the "
      + "directory of the backup's plugin line")
}
