import GfapiAttributes
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster

/// One backup (or estimate) of one plugin line. Gives the daemon one record after another and answers its calls for the current record.
/// Used only on the job's thread.
///
/// The entries come from an ``EntrySource``. ``EntryChoice`` decides which of them are saved, ``ReadAheadQueue`` has their data and attributes
/// fetched, and ``CurrentRecord`` answers for the record that the daemon processes.
package final class BackupRun {
  unowned let daemon: any Daemon
  private let session: BackupSession
  private let calls: JobCalls
  private let choice: EntryChoice
  private let queue: ReadAheadQueue
  private let undated: UndatedChanges?
  private let deltas: Deltas?
  package let isEstimate: Bool
  var found = BackupCounts()
  let failures: BackupFailures
  private var source: (any EntrySource)?
  private var isAtEnd = false
  private(set) var current: CurrentRecord?
  private var pace = JobPace()
  private var hasReportedLooking = false

  /// How many listed names that do not exist any more are reported one by one.
  private static let reportedVanished = 1000

  /// - Parameters:
  ///   - since: the daemon's time, in seconds since 1970; an entry counts as changed if it changed after this time. 0: all entries are backed
  ///     up.
  ///   - searched: the time since which changes are searched for: `since`, or earlier.
  ///   - undated: finds changes that set no new time.
  package init(
    _ session: BackupSession, _ volume: JobVolume, daemon: any Daemon, isEstimate: Bool, since: Int, searched: Int, undated: UndatedChanges?
  ) {
    (self.session, self.daemon, self.isEstimate, self.undated) = (session, daemon, isEstimate, undated)
    calls = JobCalls(volume, daemon)
    deltas =
      volume.definition.makesDeltas && !isEstimate ? Deltas(undated, session, calls, daemon, since: since) : nil
    failures = BackupFailures(daemon, calls)
    choice = EntryChoice(
      session, daemon, since: since, searched: searched, comparesSigns: undated != nil, checksAttributes: volume.definition.checksAttributes
    )
    queue = ReadAheadQueue(calls, session.fetcher, isEstimate: isEstimate, deltas)
  }

  /// Ends the backup. Call this once, also after a failure.
  package func finish() {
    deltas?.end()
    undated?.end()
  }

  package var options: FileSetOptions { choice.options }
  /// The places that the backup could not read.
  package var unread: UnreadPlaces { failures.unread }
  /// True if all entries have been handed to the daemon.
  package var isComplete: Bool { isAtEnd && queue.isEmpty }
  /// Answers for entries that this backup does not return; nil: it returns every entry that exists.
  package var unseen: (any UnseenEntries)? { source?.unseen }

  package var counts: BackupCounts {
    var counts = found
    counts.excluded = choice.excluded
    counts.failed = failures.count
    return counts
  }

  /// The numbers of entries as text for the job's log.
  package var summary: String { counts.summary(source?.summary ?? "") }
  /// What was backed up, how fast, and where the time went, as text for the job's log.
  package var account: String { found.account(paceWords) + (deltas?.account ?? "") }

  private var paceWords: String { pace.words(entries: found.backedUp, bytes: found.bytes, waited: calls.waited) }

  // MARK: Records

  /// Returns the next record and makes it the current one.
  package func start(_ options: FileSetOptions) throws -> SaveRecord {
    choice.take(options)
    if options.looksForChanges, !hasReportedLooking, !isEstimate {
      hasReportedLooking = true
      daemon.report(
        .warning, "GFD-015",
        "CheckFileChanges in the FileSet makes the daemon look for each file on its own disk, where it is not: the messages of this come from the daemon, and the plugin does that check itself: remove the option"
      )
    }
    if source == nil { try begin(options) }
    guard var next = queue.popFirst() else { throw JobCalls.Ended(message: nil) }
    var details = EntryFetcher.Details()
    if let entry = next.entry, let ahead = next.details {
      next.details = nil
      details = try complete(&next, entry, ahead)
    }
    let image = try beginImage(&next)
    current = CurrentRecord(next, details, image, calls, session.fetcher, budget: queue.budget)
    return next.record
  }

  /// Decides how a file of several shards is stored.
  private func beginImage(_ next: inout ReadAheadQueue.Item) throws -> ImageRecord? {
    guard let deltas, let entry = next.entry, next.record.isSaved else { return nil }
    do {
      let image = try failures.orEnd { try deltas.begin(entry, number: next.deltaBase, mayBeImage: next.mayBeImage) }
      next.record.deltaBase = image?.deltaBase
      return image
    } catch let error as GlusterError {
      try failures.endIfGone(error)
      return nil
    }
  }

  private func imageMayHaveChanged(_ entry: SourceEntry, _ number: Int?) throws -> Bool {
    guard let deltas else { return false }
    return try failures.orEnd { try deltas.mayHaveChanged(entry, number: number) }
  }

  private func begin(_ options: FileSetOptions) throws {
    calls.volume.startWorkers()
    let source = try session.source.begin(SourceJob(calls: calls, daemon: daemon, options: options))
    (self.source, choice.reachesPastDirectories) = (source, source.reachesPastDirectories)
    if source.unseen != nil { deltas?.isListed() }
    try findMore()
    if queue.isEmpty {
      let base = session.base
      add(SaveRecord(kind: .directoryUnchanged, path: base.path, status: base.status))
    }
  }

  /// Ends the current record. Returns true if another record follows.
  package func end() throws -> Bool {
    guard source != nil else {
      throw JobCalls.Ended(message: JobMessage("GFD-092", "the daemon has ended an entry before it asked for one"))
    }
    try closeFile()
    keepFingerprint()
    if let current { queue.release(current.item) }
    current = nil
    try findMore()
    guard let next = queue.first else { return false }
    // The daemon uses the options of the entry that it was last asked about. Reading ahead has asked about other entries since.
    if let entry = next.entry, next.acceptance != choice.acceptances { _ = choice.accepts(entry.path, entry.status) }
    return true
  }

  /// Keeps the fingerprint of what was backed up of the current record.
  private func keepFingerprint() {
    guard let current, let undated, !isEstimate, let gfid = try? current.item.entry?.object.identity() else { return }
    undated.backedUp(gfid, current.fingerprint(options.wanted))
  }

  /// Waits for the data and attributes of a record. An entry that cannot be backed up becomes a record that says so.
  private func complete(
    _ next: inout ReadAheadQueue.Item, _ entry: SourceEntry, _ ahead: Ahead<EntryFetcher.Details>
  ) throws -> EntryFetcher.Details {
    var details: EntryFetcher.Details
    do {
      details = try failures.orEnd { try calls.wait(for: ahead, isOfEntry: true) }
      next.excess = details.size(beyond: next.cost)
      if let status = details.status {
        next.record.status = status
        next.entry?.status = status
        next.entry?.sizeIsUncertain = false
      }
      try supplement(&details, entry, fetchedFor: next.wanted)
    } catch let error as GlusterError {
      try failures.endIfGone(error)
      let vanished = error.meansMissing
      next.record.kind = vanished ? .unknown : .unreadable
      let message =
        vanished
        ? JobMessage("GFD-054", "it was deleted before it was read: \(error)") : JobMessage("GFD-051", "cannot be read: \(error)")
      failures.report(message.about(entry.path), entry.path)
      return EntryFetcher.Details()
    }
    next.record.linkTarget = details.linkTarget
    for problem in details.problems { daemon.report(.error, problem.about(entry.path)) }
    if !details.problems.isEmpty {
      failures.count += 1
      calls.reportCauses()
    }
    found.countBackedUp(next.record.kind)
    if pace.isDue() { daemon.inform("so far \(found.backedUp) entries, \(paceWords); at \(printable(entry.path.bytes))") }
    return details
  }

  /// Fetches the attributes again if they were fetched with other options. The FileSet's options for an entry are known only when its turn
  /// comes. Reading ahead uses the options of an earlier entry.
  private func supplement(_ details: inout EntryFetcher.Details, _ entry: SourceEntry, fetchedFor guess: EntryFetcher.Wanted) throws {
    let (wanted, fetcher) = (options.wanted, session.fetcher)
    guard !isEstimate, wanted != guess else { return }
    var again = EntryFetcher.Details()
    (again.linkTarget, again.content) = (details.linkTarget, details.content)
    details = try failures.orEnd {
      try calls.run { [again] in
        var again = again
        try fetcher.attributes(of: entry, wanted, into: &again)
        return again
      }
    }
  }

  // MARK: Finding

  /// Finds the next record, and waits for the volume if necessary. Finds more records as long as they are ready and there is room for them.
  private func findMore() throws {
    while true {
      let mayFind = !isAtEnd && (queue.isEmpty || queue.hasRoom && source!.isReady)
      if let signs = queue.first?.signs, !mayFind || calls.isDone(signs) {
        try judgeFirst(signs)
      } else if mayFind {
        try find()
      } else {
        return
      }
    }
  }

  /// Takes the next step of the source.
  private func find() throws {
    let step: SourceStep
    do { step = try source!.next(choice) } catch let error as GlusterError {
      try failures.endIfGone(error)
      throw JobCalls.Ended(message: JobMessage("GFD-009", "the backup cannot go on: \(error)"))
    }
    switch step {
    case .end: isAtEnd = true
    case .failed(let failure): add(try failures.record(of: failure))
    case .vanished(let path):
      found.vanished += 1
      deltas?.vanished(path)
      // A list is made after the snapshot. What it has and the snapshot does not have is new: the next list has it as well.
      if found.vanished <= Self.reportedVanished, !session.isSnapshot {
        daemon.report(.notSaved, JobMessage("GFD-033", "in the list, but deleted since").about(path))
      }
    case .entry(let entry):
      let kind: SaveRecord.Kind = entry.status.isRegular ? .regular : entry.status.isSymbolicLink ? .symbolicLink : .special
      consider(entry, kind)
    case .directory(let entry): consider(entry, .directory)
    case .directoryAlone(let entry): consider(entry, choice.enters(entry) ? .directory : .directoryNotEntered)
    }
  }

  private func consider(_ entry: SourceEntry, _ kind: SaveRecord.Kind) {
    let record = SaveRecord(kind: kind, path: entry.path, status: entry.status)
    switch choice.decision(on: entry, record) {
    case .save: add(record, entry)
    case .candidate:
      let wanted = choice.checksAttributes ? choice.wantedOfAny : EntryFetcher.Wanted()
      queue.append(candidate: item(record, entry), wanted)
    case .unchanged: found.unchanged += 1
    }
  }

  private func add(_ record: SaveRecord, _ entry: SourceEntry? = nil) { queue.append(item(record, entry), options.wanted) }

  /// Makes an item for an entry that ``EntryChoice`` has just decided about.
  private func item(_ record: SaveRecord, _ entry: SourceEntry?) -> ReadAheadQueue.Item {
    ReadAheadQueue.Item(record: record, entry: entry, acceptance: choice.acceptances, deltaBase: entry == nil ? nil : choice.deltaBase)
  }

  /// Decides whether the first of the queue, whose times have not changed, has changed and becomes a record.
  private func judgeFirst(_ pending: Ahead<UndatedChanges.Signs>) throws {
    var first = queue.popCandidate()
    do {
      switch try failures.orEnd({ try calls.wait(for: pending) }) {
      case .changed: if let problem = session.fetcher.shardsProblem { failures.report(shards: problem) }
      case .fingerprint(let fingerprint):
        guard let entry = first.entry,
          try undated!.hasChanged(try entry.object.identity(), fingerprint) || imageMayHaveChanged(entry, first.deltaBase)
        else {
          found.unchanged += 1
          return
        }
        first.fingerprint = fingerprint
      }
    } catch let error as GlusterError {
      try failures.endIfGone(error)
      // A deleted entry has not changed. Any other error is reported with the entry's record.
      guard !error.meansMissing else {
        found.unchanged += 1
        return
      }
    }
    found.undated += 1
    queue.prepend(first, options.wanted)
  }
}
