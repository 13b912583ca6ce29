/// What a backup from a list says of the entries that it has not told: asked when an accurate job looks for what is gone.
package struct ListedPaths: Sendable {
  let touched: TouchedPaths
  let base: BaseDirectory

  /// Whether an entry that the daemon has, and that this backup has not told, is still there: it is if neither it nor a
  /// directory above it was touched. What was touched has been told if it is there, and so has all in it, but for the
  /// directories that were told alone.
  ///
  /// - Parameter path: absolute; a slash at its end does not count.
  package func keep(_ path: [UInt8]) -> Bool {
    guard base.contains(path) else { return false }
    if touched.isEmpty { return true }
    let slash = UInt8(ascii: "/")
    var path = path.count > 1 && path.last == slash ? path.dropLast() : path[...]
    do {
      guard try touched.marks(of: path) == nil else { return false }
      while path.count > 1 {
        path = parent(of: Array(path))
        guard base.contains(path) else { break }
        if let marks = try touched.marks(of: path), !marks.contains(.pending) { return false }
      }
      return true
    } catch {
      // Rather an entry too many than one too few.
      return true
    }
  }
}
