import GfapiJob
import Glibc
import Gluster

/// Decides which entries a backup saves: asks the daemon what the FileSet takes and what has changed. Used only on the job's thread.
final class EntryChoice: EntryFilter {
  /// The decision about an entry.
  enum Decision {
    /// The entry has changed, or everything is backed up.
    case save
    /// The times have not changed, but the entry may have.
    case candidate
    case unchanged
  }

  private unowned let daemon: any Daemon
  private let session: BackupSession
  private let since: Int
  /// The time since which an entry counts as changed whatever the daemon says; 0: none does. (An accurate daemon compares times in whole
  /// seconds, and does not notice a change in the second of the last job's snapshot.)
  private let searched: Int
  /// True if the job compares fingerprints.
  private let comparesSigns: Bool
  /// True if the job also compares attributes, ACLs and holes of entries with unchanged times. Where the translator `utime` keeps the
  /// times, a change of these sets no new time.
  let checksAttributes: Bool
  /// True if the FileSet's options decide which entries count as changed: in a job with a since time, and in an accurate job.
  private lazy var comparesByOptions = since > 0 || daemon.isAccurate
  private var directoriesAbove = DirectoriesAbove()

  private(set) var options = FileSetOptions()
  /// The attributes and ACLs that the FileSet wants of any entry, as far as is known. At first the daemon gives the options of all parts of
  /// the FileSet together.
  private(set) var wantedOfAny = EntryFetcher.Wanted()
  /// How often the daemon has been asked whether it accepts an entry. Each such call sets the daemon's current options.
  private(set) var acceptances = 0
  /// The number of the delta in the last record of the entry that was decided about last: see ``Comparison/number``.
  private(set) var deltaBase: Int?
  /// The number of entries that the FileSet has excluded.
  private(set) var excluded = 0
  /// See ``EntrySource/reachesPastDirectories``.
  var reachesPastDirectories = false

  init(_ session: BackupSession, _ daemon: any Daemon, since: Int, searched: Int, comparesSigns: Bool, checksAttributes: Bool) {
    (self.session, self.daemon, self.since) = (session, daemon, since)
    self.searched = searched < since ? searched : 0
    self.comparesSigns = comparesSigns
    self.checksAttributes = checksAttributes && session.fetcher.timesAreExact
  }

  /// Takes the options that the daemon has given with its request for a record.
  func take(_ options: FileSetOptions) {
    self.options = options
    wantedOfAny.formUnion(options.wanted)
  }

  // MARK: The FileSet

  func enters(_ directory: SourceEntry) -> Bool { options.recurses || directory.path == session.base.path }

  func takes(_ entry: SourceEntry) -> Bool {
    guard isReached(entry.path), accepts(entry.path, entry.status) else {
      excluded += 1
      return false
    }
    return true
  }

  func accepts(_ path: VolumePath, _ status: stat) -> Bool {
    acceptances += 1
    return daemon.accepts(path, status)
  }

  /// Returns true if a crawl would have reached an entry.
  private func isReached(_ path: VolumePath) -> Bool {
    let base = session.base
    guard reachesPastDirectories, path != base.path else { return true }
    guard options.recurses || path.parent == base.path else { return false }
    return directoriesAbove.areTaken(path, base: (base.path, base.status), accepts: accepts)
  }

  // MARK: Changes

  /// Decides about an entry that the FileSet takes.
  func decision(on entry: SourceEntry, _ record: SaveRecord) -> Decision {
    // Ask again, to set the options: the entry that the daemon was last asked about may have others.
    if comparesByOptions { _ = accepts(entry.path, entry.status) }
    // Always ask the daemon: it marks every entry that it is asked about as seen.
    let comparison = daemon.compare(record, since: since)
    deltaBase = comparison.number
    if comparison.hasChanged || entry.isNamedByList { return .save }
    if searched > 0, max(entry.status.st_mtim.tv_sec, entry.status.st_ctim.tv_sec) >= searched { return .save }
    return comparesSigns && mayHaveChanged(entry.status) ? .candidate : .unchanged
  }

  /// Returns true if an entry may have changed although its times have not.
  private func mayHaveChanged(_ status: stat) -> Bool {
    checksAttributes || status.isRegular && session.fetcher.shardSize.map { status.st_size > $0 } ?? false
  }
}
