import Glibc

extension stat {
  var type: mode_t { st_mode & S_IFMT }
  var isDirectory: Bool { type == S_IFDIR }
  var isRegular: Bool { type == S_IFREG }
  var isSymbolicLink: Bool { type == S_IFLNK }
}
