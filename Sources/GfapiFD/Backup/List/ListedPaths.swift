import Gluster

/// Answers for the entries that a backup from a list has not reported, when an accurate job looks for deleted entries.
package struct ListedPaths: UnseenEntries {
  let touched: TouchedPaths
  package let base: VolumePath

  /// Returns true if an entry that the daemon knows, and that this backup has not reported, still exists.
  ///
  /// Such an entry exists if neither the entry nor a directory above it was touched. A touched entry that exists has been reported, with
  /// everything in it. The exceptions are the directories that were reported alone.
  package func keep(_ path: VolumePath) -> Bool {
    guard base.contains(path) else { return false }
    if touched.isEmpty { return true }
    var path = path
    do {
      guard try touched.marks(of: path) == nil else { return false }
      while !path.isRoot {
        path = path.parent
        guard base.contains(path) else { break }
        if let marks = try touched.marks(of: path), !marks.contains(.pending) { return false }
      }
      return true
    } catch {
      // After an error, keep the entry: one entry too many is better than one too few.
      return true
    }
  }
}
