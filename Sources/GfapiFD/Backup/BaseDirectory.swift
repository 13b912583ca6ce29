import Gluster

/// The base directory of a backup.
package struct BaseDirectory: Sendable {
  /// The absolute path; `/` for the root.
  package let path: [UInt8]

  package init(_ path: [UInt8]) { self.path = path }

  /// The base directory that a plugin line names.
  package init(of uri: VolumeURI) { self.init(uri.directory.bytes) }

  /// Returns true if `other` is this directory or is below it. Only whole components are compared.
  package func contains(_ other: some Collection<UInt8>) -> Bool {
    if path.count == 1 { return true }
    return other.starts(with: path)
      && (other.count == path.count || other.dropFirst(path.count).first == UInt8(ascii: "/"))
  }

  /// Returns true if this directory is below `other`.
  func isInside(_ other: [UInt8]) -> Bool { path != other && BaseDirectory(other).contains(path) }
}

/// Returns the path of the directory that contains `path`. The root contains itself.
func parent(of path: [UInt8]) -> ArraySlice<UInt8> {
  let slash = path.lastIndex(of: UInt8(ascii: "/")) ?? 0
  return path[..<max(slash, 1)]
}
