import DequeModule
import Glibc
import Gluster
import struct Synchronization.Atomic
import GfapiAttributes
import GfapiDefinition
import GfapiJob

/// One backup (or estimate) of one plugin line. Gives the daemon one record after another and answers its calls for the current record.
///
/// While the daemon processes one record, workers fetch the data and attributes of the next ones. Used only on the job's thread.
package final class BackupRun {
  /// How many entries and bytes were backed up, and how many entries were left out.
  package struct Counts: Sendable {
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
    /// Names in the list of changes that do not exist on the volume any more.
    package var vanished = 0
    package var bytes = 0
    /// The part of `bytes` that was in holes, and so was not fetched from the volume.
    package var holes = 0
  }

  /// The FileSet options that affect a backup.
  package struct Options: Sendable {
    package var wanted = EntryFetcher.Wanted()
    package var recurses = true
    /// True if the daemon knows entries by paths without their first components (`Strip Path`); nil if the daemon does not report this
    /// option.
    package var stripsPaths: Bool?
    /// True if the daemon checks after each file whether something has changed at the same path on its own host (`CheckFileChanges`).
    package var looksForChanges = false
    package init() {}
  }

  private unowned let daemon: any Daemon
  private let session: BackupSession
  private var fetcher: EntryFetcher { session.fetcher }
  private let calls: JobCalls
  /// How many bytes may be held ahead of the daemon.
  private let budget: Int
  package let isEstimate: Bool
  private let since: Int
  private let list: ListTerms?
  private let undated: UndatedChanges?
  package private(set) var counts = Counts()
  package private(set) var unread = UnreadPlaces()
  /// The counts of the list, if the entries come from a list of changes.
  package private(set) var listCounts: ListCounts?
  /// Answers for the entries that this backup does not report, if the entries come from a list of changes.
  package private(set) var listedPaths: ListedPaths?

  package private(set) var options = Options()
  /// The attributes and ACLs that the FileSet wants of any entry, as far as is known. At first the daemon gives the options of all parts of
  /// the FileSet together.
  private var wantedOfAny = EntryFetcher.Wanted()
  /// The volume is unreachable, and a message has said so.
  private var isGone = false
  private var source: (any EntrySource)?
  private var isAtEnd = false
  /// True if all entries have been handed to the daemon.
  package var isComplete: Bool { isAtEnd && upcoming.isEmpty }
  private var hasReportedShardsProblem = false
  private var hasReportedTrash = false
  private var hasReportedLooking = false
  /// The path of the volume's trash with a slash at its end, if the trash is at its default place.
  private static let trash = Array("/.trashcan/".utf8)
  /// True if the FileSet's options decide which entries count as changed: in a job with a since time, and in an accurate job.
  private lazy var comparesByOptions = since > 0 || daemon.isAccurate
  /// True if the job also compares attributes, ACLs and holes of entries with unchanged times. Where the translator `utime` keeps the
  /// times, a change of these sets no new time.
  private lazy var checksAttributes = calls.volume.definition.checksAttributes && fetcher.timesAreExact
  private var directoriesAbove = DirectoriesAbove()
  /// The next records. The first of them is found at the latest when the record before it ends.
  private var upcoming = Deque<Upcoming>()
  /// The expected size of `upcoming`, in bytes, by the sizes of the files.
  private var cost = 0
  /// What has been fetched beyond `cost`.
  private let fetched = Fetched()
  /// How often the daemon has been asked whether it accepts an entry. Each such call sets the daemon's current options.
  private var acceptances = 0
  /// Files with several names, of which one has been found, and how many additional hard links of each are still to come.
  private var additionalLinks: [ino_t: UInt] = [:]
  private var current: Upcoming?
  private var details = EntryFetcher.Details()
  private var nextAttribute = 0
  private var reading = Reading()
  private var pace = JobPace()

  /// A record that has been found, or an entry that may become a record.
  private struct Upcoming {
    var record: SaveRecord
    var entry: SourceEntry?
    /// The signs that decide whether the entry becomes a record; set only if the times of the entry have not changed.
    var signs: Ahead<UndatedChanges.Signs>?
    /// The fingerprint from `signs`.
    var fingerprint = Fingerprint()
    /// True if the data of the entry could not be read.
    var isUnread = false
    /// The value of `acceptances` when the entry was found.
    var acceptance = 0
    var details: Ahead<EntryFetcher.Details>?
    /// The parts of the entry that `details` was fetched with.
    var wanted = EntryFetcher.Wanted()
    /// How many bytes the entry was expected to take (`cost`), and how many were fetched beyond that (`excess`).
    var cost = 0
    var excess = 0
  }

  /// The number of bytes that workers have fetched beyond the expected sizes of entries.
  private final class Fetched: Sendable {
    let bytes = Atomic<Int>(0)
  }

  /// Data that has been fetched and not yet handed to the daemon.
  private struct Reading {
    var isOpen = false
    var data: Piece?
    var used = 0
    var hole = 0
    var atEnd = false
    var file: FileReader?
    /// How the file changed while it was read, if that is known.
    var outcome: ReadOutcome?
  }

  /// The maximum number of entries in `additionalLinks`.
  private static let mostAdditionalLinks = 1 << 16
  /// The maximum number of records that are found ahead.
  private static let mostUpcoming = 1024
  /// The memory that an entry takes without its data, in bytes: the entry itself, its handle, and what the client keeps of it.
  private static let entryCost = 4 << 10

  /// - Parameters:
  ///   - since: seconds since 1970; an entry counts as changed if it changed after this time. 0: all entries are backed up.
  ///   - list: the list that the ``BackupSession`` was given.
  ///   - undated: finds changes that set no new time.
  package init(
    _ session: BackupSession, _ volume: JobVolume, daemon: any Daemon, isEstimate: Bool, since: Int, list: ListTerms?,
    undated: UndatedChanges?
  ) {
    self.session = session
    calls = JobCalls(volume, daemon)
    budget = volume.definition.readsAhead ? volume.definition.readAhead : 0
    self.daemon = daemon
    self.isEstimate = isEstimate
    self.since = since
    self.list = list
    self.undated = undated
  }

  /// Ends the backup. Call this once, also after a failure.
  package func finish() { undated?.end() }

  // MARK: The list

  /// Loads the list and returns the source of its entries. If the list asks for a crawl, returns a crawler.
  private func load(_ list: ListTerms, _ rules: DirectoryReader.Rules) throws -> any EntrySource {
    while true {
      switch try call({ [session] in try session.loadList() }) {
      case .some(let problems):
        for problem in problems { daemon.report(.warning, "GFD-035", problem) }
      case .crawl(let reason):
        daemon.report(
          .warning, "GFD-028", "the list \(printable(list.file)) is not complete, so the job crawls the volume: \(reason)")
        return Crawler(calls, base: session.base, rules)
      case .done(let counts, let walk, let paths):
        (listCounts, listedPaths) = (counts, paths)
        if counts.isUnexplainedlyEmpty {
          daemon.report(
            .warning, "GFD-031",
            "the list \(printable(list.file)) is empty: nothing has changed, or the program that writes it failed; a list of bareos-glusterfind-wrapper says which"
          )
        }
        if counts.removed > 0, !list.isFull, !daemon.isAccurate {
          daemon.report(
            .info, "GFD-032",
            "the list names \(counts.removed) deleted or renamed: without accurate mode a backup cannot record that, and a restore brings them back"
          )
        }
        return ListSource(calls, walk, rules)
      }
    }
  }

  /// The numbers of entries as text for the job's log.
  package var summary: String {
    var text =
      "\(counts.backedUp) entries and \(counts.bytes) bytes read, \(counts.unchanged) unchanged, \(counts.excluded) excluded, \(counts.failed) failed"
    if let listCounts {
      text += "; list: \(listCounts.changes) changes, \(counts.vanished) deleted since"
      if listCounts.unreadable > 0 { text += ", \(listCounts.unreadable) lines left out" }
      if listCounts.outside > 0 { text += ", \(listCounts.outside) names outside the base directory" }
    }
    if counts.undated > 0 { text += "; \(counts.undated) have changed without a new time" }
    return text
  }

  /// What was backed up, how fast, and where the time went, as text for the job's log.
  package var account: String {
    "\(counts.files) files, \(counts.directories) directories, \(counts.symbolicLinks) symbolic links, \(counts.special) special files; "
      + "\(sizeInWords(Double(counts.holes))) of holes not fetched; " + paceWords
  }

  private var paceWords: String { pace.words(entries: counts.backedUp, bytes: counts.bytes, waited: calls.waited) }

  private func countBackedUp(_ kind: SaveRecord.Kind, by step: Int = 1) {
    switch kind {
    case .regular: counts.files += step
    case .symbolicLink: counts.symbolicLinks += step
    case .special: counts.special += step
    default: counts.directories += step
    }
  }

  /// Counts the current record as failed instead of backed up, because its data cannot be read.
  private func countUnread() {
    guard current?.isUnread == false else { return }
    current?.isUnread = true
    // An entry with an attribute that could not be read has been counted as failed already.
    if details.problems.isEmpty { counts.failed += 1 }
    countBackedUp(current!.record.kind, by: -1)
  }

  // MARK: Records

  /// Returns the next record and makes it the current one.
  package func start(_ options: Options) throws -> SaveRecord {
    self.options = options
    wantedOfAny.formUnion(options.wanted)
    if options.looksForChanges, !hasReportedLooking, !isEstimate {
      hasReportedLooking = true
      daemon.report(
        .warning, "GFD-015",
        "CheckFileChanges in the FileSet makes the daemon look for each file on its own disk, where it is not: the messages of this come from the daemon, and the plugin does that check itself: remove the option"
      )
    }
    if source == nil {
      if let list, !list.isFull, options.stripsPaths == true, daemon.isAccurate {
        throw JobCalls.Ended(
          message: JobMessage(
            "GFD-029",
            "Strip Path, Accurate and gffilelist cannot be combined: the daemon would record entries that the list \(printable(list.file)) does not name as deleted: remove one of the three"
          ))
      }
      calls.volume.startWorkers()
      let (base, rules) = (session.base, session.rules)
      source = try list.map { try load($0, rules) } ?? Crawler(calls, base: base, rules)
      try findMore()
      if upcoming.isEmpty {
        upcoming.append(
          Upcoming(record: SaveRecord(kind: .directoryUnchanged, path: base.path, status: base.status)))
      }
    }
    guard var next = upcoming.popFirst() else { throw JobCalls.Ended(message: nil) }
    details = EntryFetcher.Details()
    nextAttribute = 0
    reading = Reading()
    if let entry = next.entry, let ahead = next.details {
      next.details = nil
      try complete(&next, entry, ahead)
    }
    current = next
    return next.record
  }

  /// Ends the current record. Returns true if another record follows.
  package func end() throws -> Bool {
    guard source != nil else {
      throw JobCalls.Ended(message: JobMessage("GFD-092", "the daemon has ended an entry before it asked for one"))
    }
    try closeFile()
    keepFingerprint()
    release()
    try findMore()
    guard let next = upcoming.first else { return false }
    // The daemon uses the options of the entry that it was last asked about. Reading ahead has asked about other entries since.
    if let entry = next.entry, next.acceptance != acceptances { _ = accepts(entry.path, entry.status) }
    return true
  }

  /// Keeps the fingerprint of what was backed up of the current record.
  private func keepFingerprint() {
    guard let current, let undated, let entry = current.entry, !isEstimate else { return }
    var fingerprint = Fingerprint()
    if current.isUnread || current.record.kind == .unreadable {
      // An unknown part makes the next job try again.
      fingerprint[.layout] = .unknown
    } else if current.record.isSaved {
      fingerprint = current.fingerprint
      let read = Fingerprint(entry.status, details, options.wanted, shardSize: fetcher.shardSize)
      for (part, digest) in read.digests { fingerprint[part] = digest }
    }
    if let gfid = try? entry.object.identity() { undated.backedUp(gfid, fingerprint) }
  }

  /// Releases the current record and what was fetched for it.
  private func release() {
    guard let current else { return }
    cost -= current.cost
    fetched.bytes.subtract(current.excess, ordering: .relaxed)
    details = EntryFetcher.Details()
    self.current = nil
  }

  /// Waits for the data and attributes of a record. An entry that cannot be backed up becomes a record that says so.
  private func complete(_ next: inout Upcoming, _ entry: SourceEntry, _ ahead: Ahead<EntryFetcher.Details>) throws {
    do {
      details = try wait(for: ahead, isOfEntry: true)
      next.excess = details.size(beyond: next.cost)
      try supplement(entry, fetchedFor: next.wanted)
    } catch let error as GlusterError {
      try endIfGone(error)
      let vanished = error.meansMissing
      next.record.kind = vanished ? .unknown : .unreadable
      let message =
        vanished
        ? JobMessage("GFD-054", "it was deleted before it was read: \(error)") : JobMessage("GFD-051", "cannot be read: \(error)")
      reportFailure(message.about(entry.path), entry.path)
      details = EntryFetcher.Details()
      return
    }
    next.record.linkTarget = details.linkTarget
    for problem in details.problems { daemon.report(.error, problem.about(entry.path)) }
    if !details.problems.isEmpty {
      counts.failed += 1
      calls.reportCauses()
    }
    countBackedUp(next.record.kind)
    if pace.isDue() { daemon.inform("so far \(counts.backedUp) entries, \(paceWords); at \(printable(entry.path))") }
  }

  /// Fetches the attributes again if they were fetched with other options. The FileSet's options for an entry are known only when its turn
  /// comes. Reading ahead uses the options of an earlier entry.
  private func supplement(_ entry: SourceEntry, fetchedFor guess: EntryFetcher.Wanted) throws {
    let wanted = options.wanted
    guard !isEstimate, wanted != guess else { return }
    var details = EntryFetcher.Details()
    (details.linkTarget, details.content) = (self.details.linkTarget, self.details.content)
    let fetcher = fetcher
    self.details = try call { [details] in
      var details = details
      try fetcher.attributes(of: entry, wanted, into: &details)
      return details
    }
  }

  // MARK: Finding

  /// Finds the next record, and waits for the volume if necessary. Finds more records as long as they are ready and there is room for them.
  private func findMore() throws {
    while true {
      let hasRoom = upcoming.count < Self.mostUpcoming && cost + fetched.bytes.load(ordering: .relaxed) < budget
      let mayFind = !isAtEnd && (upcoming.isEmpty || hasRoom && source!.isReady)
      if let signs = upcoming.first?.signs, !mayFind || calls.isDone(signs) {
        try judgeFirst(signs)
      } else if mayFind {
        guard let (record, entry, isCandidate) = try find() else {
          isAtEnd = true
          continue
        }
        enqueue(record, entry, isCandidate: isCandidate)
      } else {
        return
      }
    }
  }

  private func enqueue(_ record: SaveRecord, _ entry: SourceEntry?, isCandidate: Bool) {
    var next = Upcoming(record: record, entry: entry, acceptance: acceptances)
    if let entry, isCandidate {
      next.cost = Self.entryCost
      cost += next.cost
      let (fetcher, wanted) = (fetcher, checksAttributes ? wantedOfAny : EntryFetcher.Wanted())
      next.signs = calls.start { try fetcher.signs(of: entry, wanted) }
    } else {
      fetch(&next)
    }
    upcoming.append(next)
  }

  /// Decides whether the first of the upcoming entries has changed and becomes a record.
  private func judgeFirst(_ pending: Ahead<UndatedChanges.Signs>) throws {
    var first = upcoming.removeFirst()
    first.signs = nil
    cost -= first.cost
    do {
      switch try wait(for: pending) {
      case .changed:
        reportShardsProblem()
      case .fingerprint(let fingerprint):
        guard let entry = first.entry, undated!.hasChanged(try entry.object.identity(), fingerprint) else {
          counts.unchanged += 1
          return
        }
        first.fingerprint = fingerprint
      }
    } catch let error as GlusterError {
      try endIfGone(error)
      // A deleted entry has not changed. Any other error is reported with the entry's record.
      guard !error.meansMissing else {
        counts.unchanged += 1
        return
      }
    }
    counts.undated += 1
    fetch(&first)
    upcoming.prepend(first)
  }

  private func reportShardsProblem() {
    guard !hasReportedShardsProblem, let problem = fetcher.shardsProblem else { return }
    hasReportedShardsProblem = true
    daemon.report(
      .warning, "GFD-040",
      "files of more than one shard count as changed: their times are those of the first shard, and the others cannot be listed: \(problem)"
    )
  }

  /// Starts to fetch the data and attributes of a record.
  private func fetch(_ next: inout Upcoming) {
    guard let entry = next.entry, !isEstimate || next.record.kind == .symbolicLink else { return }
    let wanted = isEstimate ? EntryFetcher.Wanted() : options.wanted
    let readsData = next.record.hasData && !isEstimate && isFirstName(entry.status)
    next.wanted = wanted
    next.cost = Self.entryCost + (readsData ? min(Int(entry.status.st_size), FileReader.pieceSize) : 0)
    cost += next.cost
    let (fetcher, fetched, expected) = (fetcher, fetched, next.cost)
    next.details = calls.start {
      let details = try fetcher.fetch(entry, wanted, readsData: readsData)
      fetched.bytes.add(details.size(beyond: expected), ordering: .relaxed)
      return details
    }
  }

  /// Returns true if the daemon will probably ask for a file's data. The daemon takes the data of an additional hard link from the first
  /// name.
  private func isFirstName(_ status: stat) -> Bool {
    guard status.st_nlink > 1 else { return true }
    // A file may have names outside the backup, which are never found. Forgetting a file costs at most a second fetch of its data.
    if additionalLinks.count > Self.mostAdditionalLinks { additionalLinks = [:] }
    let missing = additionalLinks[status.st_ino] ?? UInt(status.st_nlink)
    additionalLinks[status.st_ino] = missing > 1 ? missing - 1 : nil
    return missing == status.st_nlink
  }

  /// Returns the next record, or the next entry that may become a record (`isCandidate`).
  private func find() throws -> (record: SaveRecord, entry: SourceEntry?, isCandidate: Bool)? {
    while true {
      let step: SourceStep
      do { step = try source!.next(Filter(run: self)) } catch let error as GlusterError {
        try endIfGone(error)
        throw JobCalls.Ended(message: JobMessage("GFD-009", "the backup cannot go on: \(error)"))
      }
      switch step {
      case .end:
        return nil
      case .failed(let failure):
        return (try record(of: failure), nil, false)
      case .vanished(let path):
        counts.vanished += 1
        if counts.vanished <= Self.reportedVanished {
          daemon.report(.notSaved, JobMessage("GFD-033", "in the list, but deleted since").about(path))
        }
      case .entry(let entry):
        if let found = changed(entry, Self.kind(of: entry.status)) { return found }
      case .directory(let entry):
        if let found = changed(entry, .directory) { return found }
      case .directoryAlone(let entry):
        if let found = changed(entry, isEntered(entry) ? .directory : .directoryNotEntered) { return found }
      }
    }
  }

  /// How many listed names that do not exist any more are reported one by one.
  private static let reportedVanished = 1000

  private func isEntered(_ directory: SourceEntry) -> Bool { options.recurses || directory.path == session.base.path }

  /// Returns true if the FileSet takes an entry. An entry that a list names is taken only if a crawl would have reached it.
  private func takes(_ entry: SourceEntry) -> Bool {
    guard isReached(entry.path), accepts(entry.path, entry.status) else {
      counts.excluded += 1
      return false
    }
    return true
  }

  private func accepts(_ path: [UInt8], _ status: stat) -> Bool {
    acceptances += 1
    return daemon.accepts(path, status)
  }

  private struct Filter: EntryFilter {
    let run: BackupRun
    func takes(_ entry: SourceEntry) -> Bool { run.takes(entry) }
    func enters(_ directory: SourceEntry) -> Bool { run.isEntered(directory) }
  }

  private func isReached(_ path: [UInt8]) -> Bool {
    let base = session.base
    guard listedPaths != nil, path != base.path else { return true }
    guard options.recurses || parent(of: path).elementsEqual(base.path) else { return false }
    return directoriesAbove.areTaken(path, base: (base.path, base.status), accepts: accepts)
  }

  private func changed(_ entry: SourceEntry, _ kind: SaveRecord.Kind) -> (SaveRecord, SourceEntry?, isCandidate: Bool)? {
    let record = SaveRecord(kind: kind, path: entry.path, status: entry.status)
    // Ask again, to set the options: the entry that the daemon was last asked about may have others.
    if comparesByOptions { _ = accepts(entry.path, entry.status) }
    // Always ask the daemon: it marks every entry that it is asked about as seen.
    if daemon.hasChanged(record, since: since) || entry.isNamedByList { return (record, entry, false) }
    if undated != nil, mayHaveChanged(entry.status) { return (record, entry, true) }
    counts.unchanged += 1
    return nil
  }

  /// Returns true if an entry may have changed although its times have not.
  private func mayHaveChanged(_ status: stat) -> Bool {
    checksAttributes || status.isRegular && fetcher.shardSize.map { status.st_size > $0 } ?? false
  }

  private static func kind(of status: stat) -> SaveRecord.Kind {
    status.isRegular ? .regular : status.isSymbolicLink ? .symbolicLink : .special
  }

  /// Returns the record for an entry that the source could not read.
  private func record(of failure: SourceFailure) throws -> SaveRecord {
    try endIfGone(failure.error)
    unread.add(failure.path)
    let kind: SaveRecord.Kind
    let message: JobMessage
    var shown = failure.path[...]
    var status = stat()
    switch failure.kind {
    case .directory:
      kind = .directoryNotOpened
      status.st_mode = S_IFDIR
      message = JobMessage("GFD-055", "the directory cannot be read, not all in it is saved: \(failure.error)")
    case .entry:
      kind = .unknown
      message = JobMessage("GFD-050", "cannot be examined: \(failure.error)")
    case .pathTooLong:
      kind = .unknown
      message = JobMessage(
        "GFD-056", "a path of \(failure.path.count) bytes, longer than the \(SourceFailure.longestPath) that a daemon takes")
      shown = failure.path.prefix(200) + Array("...".utf8)
    }
    reportFailure(message.about(shown), failure.path)
    return SaveRecord(kind: kind, path: Array(failure.path.prefix(SourceFailure.longestPath)), status: status)
  }

  private func reportFailure(_ message: JobMessage, _ path: [UInt8]) {
    counts.failed += 1
    daemon.report(.notSaved, message)
    calls.reportCauses()
    if !hasReportedTrash, path.starts(with: Self.trash) {
      hasReportedTrash = true
      daemon.report(
        .info, "GFD-053", "\(printable(Self.trash.dropLast())) is the trash of the volume (features.trash): exclude it in the FileSet")
    }
  }

  // MARK: Data

  /// Opens the file of the current record.
  ///
  /// - Throws: ``GlusterError``, or ``JobCalls/Ended``.
  package func openFile() throws {
    guard let current, let entry = current.entry else { throw GlusterError(errno: .invalidArgument, call: "open") }
    reading = Reading(isOpen: true)
    // Bacula opens every entry that it receives as a FIFO, so an entry without data must read as empty.
    guard current.record.hasData else {
      reading.atEnd = true
      return
    }
    var content = details.content
    if case .none = content {
      let fetcher = fetcher
      do {
        content = try wait(for: calls.start(isUrgent: true) { try fetcher.content(of: entry) }, isOfEntry: true)
      } catch let error as GlusterError {
        reading.isOpen = false
        countUnread()
        try endIfGone(error)
        throw error
      }
    }
    switch content {
    case .none: break
    case .whole(let data, let outcome): (reading.data, reading.outcome) = (data, outcome)
    case .open(let file, let first):
      let width = min(calls.volume.definition.workers, budget / FileReader.pieceSize, FileReader.mostPieces)
      reading.file = FileReader(
        file, calls, expected: entry.status, first: first, width: max(width, 1), seeksAlone: fetcher.seeksAlone)
    }
  }

  /// Copies the next bytes of the open file into `buffer`.
  ///
  /// - Returns: the number of bytes. It is less than `buffer.count` only at the end of the file, and 0 if nothing is left.
  /// - Throws: ``GlusterError``, or ``JobCalls/Ended``.
  package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    guard reading.isOpen else { throw GlusterError(errno: .badFileDescriptor, call: "read") }
    var filled = 0
    while filled < buffer.count {
      if reading.hole > 0 {
        let count = min(reading.hole, buffer.count - filled)
        UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + count)]).initializeMemory(as: UInt8.self, repeating: 0)
        reading.hole -= count
        counts.holes += count
        filled += count
      } else if let data = reading.data, reading.used < data.count {
        let count = min(data.count - reading.used, buffer.count - filled)
        UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + count)])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: data.bytes[reading.used..<(reading.used + count)]))
        reading.used += count
        filled += count
      } else if reading.atEnd {
        break
      } else {
        guard let file = reading.file else {
          reading.atEnd = true
          break
        }
        do {
          take(try orEnd { try file.next() })
          if reading.atEnd, file.isShort { try checkWhole(file) }
        } catch let error as GlusterError {
          countUnread()
          try endIfGone(error)
          throw error
        }
      }
    }
    counts.bytes += filled
    return filled
  }

  /// Compares a file with its record after fewer bytes were read than expected.
  ///
  /// - Throws: ``GlusterError``, if the volume has not returned all of the file.
  private func checkWhole(_ file: FileReader) throws {
    reading.outcome = try orEnd { try file.finish(timesAreExact: fetcher.timesAreExact) }
    if let error = reading.outcome?.error { throw error }
  }

  private func take(_ piece: FileReader.Next) {
    switch piece {
    case .data(let data): (reading.data, reading.used) = (data, 0)
    case .hole(let count): reading.hole = count
    case .end: reading.atEnd = true
    }
  }

  /// Closes the file of the current record, if it is open.
  package func closeFile() throws {
    let reading = reading
    self.reading = Reading()
    guard reading.isOpen, let current, current.entry != nil else { return }
    var outcome = reading.outcome
    if outcome == nil, let file = reading.file {
      do {
        outcome = try orEnd { try file.finish(timesAreExact: fetcher.timesAreExact) }
      } catch let error as GlusterError {
        daemon.report(.warning, JobMessage("GFD-061", "after it was read: \(error)").about(current.record.path))
        return
      }
    }
    if case .changed(let change) = outcome, reading.atEnd {
      daemon.report(.warning, JobMessage("GFD-060", "changed while it was read: \(change)").about(current.record.path))
    }
  }

  // MARK: Attributes

  /// The ACL stream of the current record; empty if the entry has no ACL.
  package var acls: [UInt8] { details.acls }

  /// Returns the next extended attribute of the current record, and whether another follows.
  package func nextExtendedAttribute() -> (attribute: ExtendedAttribute, more: Bool)? {
    guard nextAttribute < details.extendedAttributes.count else { return nil }
    defer { nextAttribute += 1 }
    return (details.extendedAttributes[nextAttribute], nextAttribute + 1 < details.extendedAttributes.count)
  }

  // MARK: Calls

  private func call<T>(_ body: @escaping @Sendable () throws -> T) throws -> T {
    try orEnd { try calls.run(body) }
  }

  private func wait<T>(for ahead: Ahead<T>, isOfEntry: Bool = false) throws -> T {
    try orEnd { try calls.wait(for: ahead, isOfEntry: isOfEntry) }
  }

  private func orEnd<T>(_ body: () throws -> T) throws -> T {
    guard !isGone else { throw JobCalls.Ended(message: nil) }
    return try body()
  }

  private func endIfGone(_ error: GlusterError) throws {
    if error.meansVolumeIsGone {
      isGone = true
      calls.volume.retry.end()
      unread.addEverything()
      throw JobCalls.Ended(
        message: JobMessage("GFD-007", "the volume is unreachable, the backup ends: \(calls.volume.definition.volume): \(error)"))
    }
  }
}
