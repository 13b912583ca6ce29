import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import HostFiles

/// Backs up the paths in a file, and everything in those that are directories.
package struct PathList: SourceKind {
  /// The absolute path of the file. It has absolute paths on the volume, each followed by a zero byte.
  let file: [UInt8]

  package init(file: [UInt8]) { self.file = file }

  package func prepare(_ tree: SourceTree) throws -> any PreparedSource {
    let touched = try TouchedPaths()
    let base = tree.base.path
    var count = 0
    var lastParent: VolumePath?
    try forEachPath { path in
      let path = VolumePath(absolute: path)
      guard let path, base.contains(path) else {
        throw failure("names \(printable(path?.bytes ?? [])), which is not below the directory of the plugin line")
      }
      // The entry counts as changed only if it has changed, and a directory is crawled.
      try touched.add(path, [.look, .new, .named])
      count += 1
      // The directories above it are backed up alone.
      var above = path.parent
      guard path != base, above != lastParent else { return }
      lastParent = above
      while base.contains(above) {
        try touched.add(above, .parent)
        guard !above.isRoot else { break }
        above = above.parent
      }
    }
    guard count > 0 else { throw failure("names nothing") }
    return Prepared(file: file, count: count, tree: tree, touched: touched)
  }

  struct Prepared: PreparedSource {
    let file: [UInt8]
    let count: Int
    let tree: SourceTree
    let touched: TouchedPaths

    var words: String { "paths in \(printable(file))" }

    func begin(_ job: SourceJob) throws -> any EntrySource {
      let walk = try job.calls.run { [touched, tree] in
        try ListWalk(touched, base: tree.base.path, volume: tree.volume, tree.rules)
      }
      let count = count
      return ListSource(job.calls, walk, tree.rules, ListedPaths(touched: touched, base: tree.base.path)) { _ in "; \(count) paths named" }
    }
  }

  private func failure(_ text: String) -> ListFailure {
    ListFailure(message: JobMessage("GFD-045", "the list of paths \(printable(file)) \(text)"))
  }

  private func forEachPath(_ body: ([UInt8]) throws -> Void) throws {
    let descriptor: Int32
    do { descriptor = try HostFile.open(file, O_RDONLY) } catch { throw failure("cannot be read: \(error)") }
    defer { close(descriptor) }
    var rest: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      guard count >= 0 else { throw failure("cannot be read: \(String(cString: strerror(errno)))") }
      if count == 0 { break }
      rest += buffer[..<count]
      while let end = rest.firstIndex(of: 0) {
        if end > 0 { try body(Array(rest[..<end])) }
        rest.removeFirst(end + 1)
      }
      guard rest.count <= SourceFailure.longestPath else { throw failure("has a path that is too long, or no zero bytes") }
    }
    guard rest.isEmpty else { throw failure("is cut off: its last path has no zero byte after it") }
  }
}
