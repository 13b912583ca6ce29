import Glibc

/// The type of an entry.
extension stat {
  /// One of `S_IFREG`, `S_IFDIR` …
  package var type: mode_t { st_mode & S_IFMT }
  package var isDirectory: Bool { type == S_IFDIR }
  package var isRegular: Bool { type == S_IFREG }
  package var isSymbolicLink: Bool { type == S_IFLNK }
}
