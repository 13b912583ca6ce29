import GfapiDefinition
import GfapiJob

/// How many entries and bytes were backed up, and how many entries were left out.
package struct BackupCounts: Sendable {
  /// Regular files that were backed up. The next three numbers count the other types of entries that were backed up.
  package var files = 0
  package var directories = 0
  package var symbolicLinks = 0
  package var special = 0
  package var backedUp: Int { files + directories + symbolicLinks + special }
  package var unchanged = 0
  /// Entries that have changed although their times have not.
  package var undated = 0
  package var excluded = 0
  package var failed = 0
  /// Names of a source that do not exist on the volume any more.
  package var vanished = 0
  package var bytes = 0
  /// The part of `bytes` that was in holes, and so was not fetched from the volume.
  package var holes = 0

  /// Counts an entry as backed up.
  ///
  /// - Parameter step: -1 to take it back.
  mutating func countBackedUp(_ kind: SaveRecord.Kind, by step: Int = 1) {
    switch kind {
    case .regular: files += step
    case .symbolicLink: symbolicLinks += step
    case .special: special += step
    default: directories += step
    }
  }

  /// The numbers of entries as text for the job's log.
  ///
  /// - Parameter source: the part of the source.
  func summary(_ source: String) -> String {
    "\(backedUp) entries and \(bytes) bytes read, \(unchanged) unchanged, \(excluded) excluded, \(failed) failed" + source
      + (undated > 0 ? "; \(undated) have changed without a new time" : "")
  }

  /// What was backed up, as text for the job's log.
  ///
  /// - Parameter pace: how fast, and where the time went.
  func account(_ pace: String) -> String {
    "\(files) files, \(directories) directories, \(symbolicLinks) symbolic links, \(special) special files; "
      + "\(sizeInWords(Double(holes))) of holes not fetched; " + pace
  }
}
