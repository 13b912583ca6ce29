import GfapiDefinition
import GfapiJob
import Gluster
import GlusterfindList

/// Backs up the entries that a list of changes names: the list, and what the job requires of it.
package struct ListTerms: SourceKind {
  /// The absolute path of the list.
  package let file: [UInt8]
  package let format: ListFormat
  /// True if the job is a full backup.
  package let isFull: Bool
  /// Seconds since 1970; the job needs all changes after this time. 0: all changes.
  package let since: Int

  package init(file: [UInt8], format: ListFormat, isFull: Bool, since: Int) {
    self.file = file
    self.format = format
    self.isFull = isFull
    self.since = since
  }

  package func prepare(_ tree: SourceTree) throws -> any PreparedSource {
    PreparedList(terms: self, tree: tree, loader: try ListLoader(self, base: tree.base.path, isSharded: tree.rules.isSharded))
  }
}

/// A list whose file is open.
struct PreparedList: PreparedSource {
  let terms: ListTerms
  let tree: SourceTree
  let loader: ListLoader

  var words: String { "listed by \(printable(terms.file))" }

  /// Loads the list. If the list asks for a crawl, returns a crawler.
  func begin(_ job: SourceJob) throws -> any EntrySource {
    let daemon = job.daemon
    if !terms.isFull, job.options.stripsPaths == true, daemon.isAccurate {
      throw JobCalls.Ended(
        message: JobMessage(
          "GFD-029",
          "Strip Path, Accurate and gffilelist cannot be combined: the daemon would record entries that the list \(printable(terms.file)) does not name as deleted: remove one of the three"
        ))
    }
    var isRead = false
    while !isRead {
      let (problems, atEnd) = try job.calls.run { [loader] in try loader.load(lines: 10_000) }
      for problem in problems { daemon.report(.warning, "GFD-035", problem) }
      isRead = atEnd
    }
    if let reason = loader.crawlReason {
      daemon.report(.warning, "GFD-028", "the list \(printable(terms.file)) is not complete, so the job crawls the volume: \(reason)")
      return Crawler(job.calls, base: tree.base, tree.rules)
    }
    let isSnapshot = tree.volume.uri.snapshot != nil
    if isSnapshot, loader.hasEverything {
      // The list was made at another moment, and may have other names than the snapshot.
      daemon.inform("the list \(printable(terms.file)) has everything, so the job crawls the snapshot")
      return Crawler(job.calls, base: tree.base, tree.rules)
    }
    let counts = loader.counts
    if counts.isUnexplainedlyEmpty {
      daemon.report(
        .warning, "GFD-031",
        "the list \(printable(terms.file)) is empty: nothing has changed, or the program that writes it failed; a list of bareos-glusterfind-wrapper says which"
      )
    }
    if counts.removed > 0, !terms.isFull, !daemon.isAccurate {
      daemon.report(
        .info, "GFD-032",
        "the list names \(counts.removed) deleted or renamed: without accurate mode a backup cannot record that, and a restore brings them back"
      )
    }
    let walk = try job.calls.run { [loader, tree] in try ListWalk(loader.touched, base: tree.base.path, volume: tree.volume, tree.rules) }
    return ListSource(job.calls, walk, tree.rules, ListedPaths(touched: loader.touched, base: tree.base.path)) { vanished in
      "; list: \(counts.changes) changes, \(vanished) \(isSnapshot ? "not in the snapshot" : "deleted since")"
        + (counts.unreadable > 0 ? ", \(counts.unreadable) lines left out" : "")
        + (counts.outside > 0 ? ", \(counts.outside) names outside the base directory" : "")
    }
  }
}
