/// The options of a FileSet that affect a backup.
package struct FileSetOptions: Sendable {
  package var wanted = EntryFetcher.Wanted()
  package var recurses = true
  /// True if the daemon knows entries by paths without their first components (`Strip Path`); nil if the daemon does not report this option.
  package var stripsPaths: Bool?
  /// True if the daemon checks after each file whether something has changed at the same path on its own host (`CheckFileChanges`).
  package var looksForChanges = false
  package init() {}
}
