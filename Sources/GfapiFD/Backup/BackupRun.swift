import DequeModule
import Glibc
import Gluster
import struct Synchronization.Atomic

/// One backup (or estimate) of one plugin line: tells the daemon record after record and answers its calls for the record
/// in hand. While the daemon is busy with one, what belongs to the next ones is fetched. Lives on the job's thread.
package final class BackupRun {
  /// What became of the entries.
  package struct Counts: Sendable {
    /// Of those that are carried.
    package var files = 0
    package var directories = 0
    package var symbolicLinks = 0
    package var special = 0
    package var carried: Int { files + directories + symbolicLinks + special }
    package var unchanged = 0
    /// Entries that have changed, as something else than their times told.
    package var undated = 0
    package var excluded = 0
    package var failed = 0
    /// Of a list: names that are not there.
    package var vanished = 0
    package var bytes = 0
    /// Of `bytes`, those that were holes: not fetched from the volume.
    package var holes = 0
  }

  /// The options of the FileSet that matter for reading.
  package struct Options: Sendable {
    package var wanted = EntryFetcher.Wanted()
    package var recurses = true
    /// The daemon knows entries by paths without their first components (`Strip Path`); nil: it does not tell.
    package var stripsPaths: Bool?
    /// The daemon looks, after each file, for what has changed at its path on its own host (`CheckFileChanges`).
    package var looksForChanges = false
    package init() {}
  }

  private unowned let daemon: any Daemon
  private let calls: JobCalls
  /// How much may be held ahead of the daemon, in bytes.
  private let budget: Int
  package let isEstimate: Bool
  private let since: Int
  private let list: ListTerms?
  private let undated: UndatedChanges?
  package private(set) var counts = Counts()
  package private(set) var unread = UnreadPlaces()
  /// What the list holds, when the entries come from one.
  package private(set) var listCounts: ListCounts?
  /// What the list says of entries that are not told.
  package private(set) var listedPaths: ListedPaths?

  package private(set) var options = Options()
  /// What the FileSet wants of any entry, as far as is known. The daemon begins with what all its parts say.
  private var wantedOfAny = EntryFetcher.Wanted()
  /// The volume is gone; a message has said so.
  private var isGone = false
  private var base: SourceEntry?
  private var source: (any EntrySource)?
  private var isAtEnd = false
  /// Whether all entries have been handed to the daemon.
  package var isComplete: Bool { isAtEnd && upcoming.isEmpty }
  private var hasToldShardsProblem = false
  private var hasToldTrash = false
  private var hasToldLooking = false
  /// What the volume's trash has, if it is where it is by default.
  private static let trash = Array("/.trashcan/".utf8)
  private var fetcher: EntryFetcher?
  /// What counts as changed depends on the FileSet's options.
  private lazy var comparesByOptions = since > 0 || daemon.isAccurate
  /// Whether attributes, ACLs and holes are looked at: their changes have no date where the translator `utime` keeps times.
  private lazy var checksAttributes = calls.volume.definition.checksAttributes && fetcher!.timesAreExact
  private var directoriesAbove = DirectoriesAbove()
  /// The next records, the first of them found when the one before ended at the latest.
  private var upcoming = Deque<Upcoming>()
  /// What `upcoming` costs by its sizes, in bytes.
  private var cost = 0
  /// What has been fetched beside that.
  private let fetched = Fetched()
  /// How often the daemon has been asked for options.
  private var acceptances = 0
  /// Files with several names whose first has been told, and how many further names are to come.
  private var furtherNames: [ino_t: UInt] = [:]
  private var current: Upcoming?
  private var details = EntryFetcher.Details()
  private var nextAttribute = 0
  private var reading = Reading()
  private var pace = JobPace()

  /// A record that has been found.
  private struct Upcoming {
    var record: SaveRecord
    var entry: SourceEntry?
    /// Its times have not changed: these tell whether it is a record.
    var signs: Ahead<UndatedChanges.Signs>?
    /// The fingerprint that they had.
    var fingerprint = Fingerprint()
    /// Its data could not be read.
    var isUnread = false
    /// What the daemon had been asked for options when it was found.
    var acceptance = 0
    var details: Ahead<EntryFetcher.Details>?
    /// What it was fetched for.
    var wanted = EntryFetcher.Wanted()
    /// What it was expected to hold, and what has been fetched beyond that, in bytes.
    var cost = 0
    var excess = 0
  }

  /// Bytes that workers have fetched beyond what an entry was expected to have.
  private final class Fetched: Sendable {
    let bytes = Atomic<Int>(0)
  }

  /// The data that have been fetched and not yet been handed on.
  private struct Reading {
    var isOpen = false
    var data: Piece?
    var used = 0
    var hole = 0
    var atEnd = false
    var file: FileReader?
    /// What became of it while it was read, if that is known.
    var outcome: ReadOutcome?
  }

  /// The most entries of `furtherNames`.
  private static let mostFurtherNames = 1 << 16
  /// The most records that are found ahead.
  private static let mostUpcoming = 1024
  /// What an entry costs beside its data: itself, its handle, and what the client keeps of it, in bytes.
  private static let entryCost = 4 << 10

  /// - Parameters:
  ///   - since: seconds since 1970 after which an entry counts as changed; 0: all are to be carried.
  ///   - list: the list that the ``BackupSession`` has been given.
  ///   - undated: finds changes that times do not tell.
  package init(
    _ volume: JobVolume, daemon: any Daemon, isEstimate: Bool, since: Int, list: ListTerms?, undated: UndatedChanges?
  ) {
    calls = JobCalls(volume, daemon)
    budget = volume.definition.readsAhead ? volume.definition.readAhead : 0
    self.daemon = daemon
    self.isEstimate = isEstimate
    self.since = since
    self.list = list
    self.undated = undated
  }

  /// Ends the backup. To be called once, whatever became of it.
  package func finish() { undated?.end() }

  // MARK: The list

  /// The source of what the list says.
  private func load(_ list: ListTerms, _ rules: DirectoryReader.Rules) throws -> any EntrySource {
    while true {
      switch try call({ try $0.backup!.loadList() }) {
      case .some(let problems):
        for problem in problems { daemon.tell(.warning, problem) }
      case .crawl(let reason):
        daemon.tell(
          .warning, "the list \(printable(list.file)) is not complete, so the job crawls the volume: \(reason)")
        return Crawler(calls, base: base!, rules)
      case .done(let counts, let walk, let paths):
        (listCounts, listedPaths) = (counts, paths)
        if counts.isUnexplainedlyEmpty {
          daemon.tell(
            .warning,
            "the list \(printable(list.file)) is empty: nothing has changed, or the program that writes it failed; a list of bareos-glusterfind-wrapper says which"
          )
        }
        if counts.removed > 0, !list.isFull, !daemon.isAccurate {
          daemon.tell(
            .info,
            "the list names \(counts.removed) deleted or renamed: without accurate mode a backup cannot record that, and a restore brings them back"
          )
        }
        return ListSource(calls, walk, rules)
      }
    }
  }

  /// What became of the entries, in words.
  package var summary: String {
    var text =
      "\(counts.carried) entries and \(counts.bytes) bytes read, \(counts.unchanged) unchanged, \(counts.excluded) excluded, \(counts.failed) failed"
    if let listCounts {
      text += "; list: \(listCounts.changes) changes, \(counts.vanished) deleted since"
      if listCounts.unreadable > 0 { text += ", \(listCounts.unreadable) lines left out" }
      if listCounts.outside > 0 { text += ", \(listCounts.outside) names outside the base directory" }
    }
    if counts.undated > 0 { text += "; \(counts.undated) have changed without a new time" }
    return text
  }

  /// What was carried, how fast, and what the time went to, in words.
  package var account: String {
    "\(counts.files) files, \(counts.directories) directories, \(counts.symbolicLinks) symbolic links, \(counts.special) special files; "
      + "\(sizeInWords(Double(counts.holes))) of holes not fetched; " + paceWords
  }

  private var paceWords: String { pace.words(entries: counts.carried, bytes: counts.bytes, waited: calls.waited) }

  private func countCarried(_ kind: SaveRecord.Kind, by step: Int = 1) {
    switch kind {
    case .regular: counts.files += step
    case .symbolicLink: counts.symbolicLinks += step
    case .special: counts.special += step
    default: counts.directories += step
    }
  }

  /// Counts the record in hand as failed, no longer as carried: its data cannot be read.
  private func countUnread() {
    guard current?.isUnread == false else { return }
    current?.isUnread = true
    // It has been counted as failed if one of its attributes could not be read.
    if details.problems.isEmpty { counts.failed += 1 }
    countCarried(current!.record.kind, by: -1)
  }

  // MARK: Records

  /// The next record.
  package func start(_ options: Options) throws -> SaveRecord {
    self.options = options
    wantedOfAny.formUnion(options.wanted)
    if options.looksForChanges, !hasToldLooking, !isEstimate {
      hasToldLooking = true
      daemon.tell(
        .warning,
        "CheckFileChanges in the FileSet makes the daemon look for each file on its own disk, where it is not: the messages of this come from the daemon, and the plugin does that check itself: remove the option"
      )
    }
    if source == nil {
      if let list, !list.isFull, options.stripsPaths == true, daemon.isAccurate {
        throw JobCalls.Ended(
          message:
            "Strip Path, Accurate and gffilelist cannot be combined: the daemon would record entries that the list \(printable(list.file)) does not name as deleted: remove one of the three"
        )
      }
      calls.volume.startWorkers()
      let (base, rules, fetcher) = try call { ($0.backup!.base, $0.backup!.rules, $0.backup!.fetcher) }
      (self.base, self.fetcher) = (base, fetcher)
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

  /// Ends the record in hand. Returns whether there is another.
  package func end() throws -> Bool {
    guard source != nil else { throw JobCalls.Ended(message: "the daemon has ended an entry before it asked for one") }
    try closeFile()
    keepFingerprint()
    release()
    try findMore()
    guard let next = upcoming.first else { return false }
    // The daemon has its options for the next record from the last entry that it was asked for.
    if let entry = next.entry, next.acceptance != acceptances { _ = accepts(entry.path, entry.status) }
    return true
  }

  /// Keeps what was backed up of the record in hand.
  private func keepFingerprint() {
    guard let current, let undated, let entry = current.entry, !isEstimate else { return }
    var fingerprint = Fingerprint()
    if current.isUnread || current.record.kind == .unreadable {
      // The next job tries again.
      fingerprint[.layout] = .unknown
    } else if current.record.isSaved {
      fingerprint = current.fingerprint
      let read = Fingerprint(entry.status, details, options.wanted, shardSize: fetcher!.shardSize)
      for (part, digest) in read.digests { fingerprint[part] = digest }
    }
    if let gfid = try? entry.object.identity() { undated.backedUp(gfid, fingerprint) }
  }

  /// Lets go of the record in hand.
  private func release() {
    guard let current else { return }
    cost -= current.cost
    fetched.bytes.subtract(current.excess, ordering: .relaxed)
    details = EntryFetcher.Details()
    self.current = nil
  }

  /// Fetches what belongs to a record. An entry that cannot be carried becomes a record that says so.
  private func complete(_ next: inout Upcoming, _ entry: SourceEntry, _ ahead: Ahead<EntryFetcher.Details>) throws {
    do {
      details = try wait(for: ahead, isOfEntry: true)
      next.excess = details.size(beyond: next.cost)
      try supplement(entry, fetchedFor: next.wanted)
    } catch let error as GlusterError {
      try endIfGone(error)
      let vanished = error.meansMissing
      next.record.kind = vanished ? .unknown : .unreadable
      tellFailure(entry.path, vanished ? "it was deleted before it was read: \(error)" : "cannot be read: \(error)")
      details = EntryFetcher.Details()
      return
    }
    next.record.linkTarget = details.linkTarget
    for problem in details.problems { daemon.tell(.error, "\(printable(entry.path)): \(problem)") }
    if !details.problems.isEmpty {
      counts.failed += 1
      calls.tellCauses()
    }
    countCarried(next.record.kind)
    if pace.isDue() { daemon.tell(.info, "so far \(counts.carried) entries, \(paceWords); at \(printable(entry.path))") }
  }

  /// The FileSet's options for an entry are known when its turn comes; it was fetched for those of an entry before.
  private func supplement(_ entry: SourceEntry, fetchedFor guess: EntryFetcher.Wanted) throws {
    let wanted = options.wanted
    guard !isEstimate, wanted != guess else { return }
    var details = EntryFetcher.Details()
    (details.linkTarget, details.content) = (self.details.linkTarget, self.details.content)
    let fetcher = fetcher!
    self.details = try call { [details] _ in
      var details = details
      try fetcher.attributes(of: entry, wanted, into: &details)
      return details
    }
  }

  // MARK: Finding

  /// Finds the next record, waiting for the volume if it must, and more as far as they are there and there is room.
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
      let (fetcher, wanted) = (fetcher!, checksAttributes ? wantedOfAny : EntryFetcher.Wanted())
      next.signs = calls.start { _ in try fetcher.signs(of: entry, wanted) }
    } else {
      fetch(&next)
    }
    upcoming.append(next)
  }

  /// Decides whether the first of the upcoming entries has changed, and is a record.
  private func judgeFirst(_ pending: Ahead<UndatedChanges.Signs>) throws {
    var first = upcoming.removeFirst()
    first.signs = nil
    cost -= first.cost
    do {
      switch try wait(for: pending) {
      case .changed:
        tellShardsProblem()
      case .fingerprint(let fingerprint):
        guard let entry = first.entry, undated!.hasChanged(try entry.object.identity(), fingerprint) else {
          counts.unchanged += 1
          return
        }
        first.fingerprint = fingerprint
      }
    } catch let error as GlusterError {
      try endIfGone(error)
      // An entry that is gone has not changed. Of any other error the record will tell.
      guard !error.meansMissing else {
        counts.unchanged += 1
        return
      }
    }
    counts.undated += 1
    fetch(&first)
    upcoming.prepend(first)
  }

  private func tellShardsProblem() {
    guard !hasToldShardsProblem, let problem = fetcher!.shardsProblem else { return }
    hasToldShardsProblem = true
    daemon.tell(
      .warning,
      "files of more than one shard count as changed: their times are those of the first shard, and the others cannot be listed: \(problem)"
    )
  }

  /// Has what belongs to a record fetched.
  private func fetch(_ next: inout Upcoming) {
    guard let entry = next.entry, !isEstimate || next.record.kind == .symbolicLink else { return }
    let wanted = isEstimate ? EntryFetcher.Wanted() : options.wanted
    let readsData = next.record.hasData && !isEstimate && isFirstName(entry.status)
    next.wanted = wanted
    next.cost = Self.entryCost + (readsData ? min(Int(entry.status.st_size), FileReader.pieceSize) : 0)
    cost += next.cost
    let (fetcher, fetched, expected) = (fetcher!, fetched, next.cost)
    next.details = calls.start { _ in
      let details = try fetcher.fetch(entry, wanted, readsData: readsData)
      fetched.bytes.add(details.size(beyond: expected), ordering: .relaxed)
      return details
    }
  }

  /// Whether a file's data are likely to be asked for: the daemon takes those of a further name from the first.
  private func isFirstName(_ status: stat) -> Bool {
    guard status.st_nlink > 1 else { return true }
    // Files may have names elsewhere, which are never told. What is forgotten is fetched once more at worst.
    if furtherNames.count > Self.mostFurtherNames { furtherNames = [:] }
    let missing = furtherNames[status.st_ino] ?? UInt(status.st_nlink)
    furtherNames[status.st_ino] = missing > 1 ? missing - 1 : nil
    return missing == status.st_nlink
  }

  /// The next record, or entry that may be one.
  private func find() throws -> (record: SaveRecord, entry: SourceEntry?, isCandidate: Bool)? {
    while true {
      let step: SourceStep
      do { step = try source!.next(Filter(run: self)) } catch let error as GlusterError {
        try endIfGone(error)
        throw JobCalls.Ended(message: "the backup cannot go on: \(error)")
      }
      switch step {
      case .end:
        return nil
      case .failed(let failure):
        return (try tell(failure), nil, false)
      case .vanished(let path):
        counts.vanished += 1
        if counts.vanished <= Self.tellsVanished {
          daemon.tell(.notSaved, "\(printable(path)): in the list, but deleted since")
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

  /// How many names that are not there any more are told one by one.
  private static let tellsVanished = 1000

  private func isEntered(_ directory: SourceEntry) -> Bool { options.recurses || directory.path == base?.path }

  /// Whether the FileSet takes an entry; of one that a list names, also whether a crawl would have come to it.
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
    guard listedPaths != nil, let base, path != base.path else { return true }
    guard options.recurses || parent(of: path).elementsEqual(base.path) else { return false }
    return directoriesAbove.areTaken(path, base: (base.path, base.status), accepts: accepts)
  }

  private func changed(_ entry: SourceEntry, _ kind: SaveRecord.Kind) -> (SaveRecord, SourceEntry?, isCandidate: Bool)? {
    let record = SaveRecord(kind: kind, path: entry.path, status: entry.status)
    // Once more, for the options: the entry that was asked for last may have others.
    if comparesByOptions { _ = accepts(entry.path, entry.status) }
    // Asked in any case: the daemon marks what it has been asked for as seen.
    if daemon.hasChanged(record, since: since) || entry.isListed { return (record, entry, false) }
    if undated != nil, mayHaveChanged(entry.status) { return (record, entry, true) }
    counts.unchanged += 1
    return nil
  }

  /// Whether an entry may have changed without a change of its times.
  private func mayHaveChanged(_ status: stat) -> Bool {
    checksAttributes || status.isRegular && fetcher!.shardSize.map { status.st_size > $0 } ?? false
  }

  private static func kind(of status: stat) -> SaveRecord.Kind {
    status.isRegular ? .regular : status.isSymbolicLink ? .symbolicLink : .special
  }

  private func tell(_ failure: SourceFailure) throws -> SaveRecord {
    try endIfGone(failure.error)
    unread.add(failure.path)
    let kind: SaveRecord.Kind
    var status = stat()
    switch failure.kind {
    case .directory:
      kind = .directoryNotOpened
      status.st_mode = S_IFDIR
      tellFailure(failure.path, "the directory cannot be read, not all in it is saved: \(failure.error)")
    case .entry:
      kind = .unknown
      tellFailure(failure.path, "cannot be examined: \(failure.error)")
    case .pathTooLong:
      kind = .unknown
      tellFailure(
        failure.path.prefix(200) + Array("...".utf8),
        "a path of \(failure.path.count) bytes, longer than the \(SourceFailure.longestPath) that a daemon takes")
    }
    return SaveRecord(kind: kind, path: Array(failure.path.prefix(SourceFailure.longestPath)), status: status)
  }

  private func tellFailure(_ path: some Collection<UInt8>, _ text: String) {
    counts.failed += 1
    daemon.tell(.notSaved, "\(printable(path)): \(text)")
    calls.tellCauses()
    if !hasToldTrash, path.starts(with: Self.trash) {
      hasToldTrash = true
      daemon.tell(.info, "\(printable(Self.trash.dropLast())) is the trash of the volume (features.trash): exclude it in the FileSet")
    }
  }

  // MARK: Data

  /// Opens the file of the record in hand.
  ///
  /// - Throws: ``GlusterError``, or ``JobCalls/Ended``.
  package func openFile() throws {
    guard let current, let entry = current.entry else { throw GlusterError(errno: .invalidArgument, call: "open") }
    reading = Reading(isOpen: true)
    // Bacula opens everything that travels as a FIFO.
    guard current.record.hasData else {
      reading.atEnd = true
      return
    }
    var content = details.content
    if case .none = content {
      let fetcher = fetcher!
      do {
        content = try wait(for: calls.start(isUrgent: true) { _ in try fetcher.content(of: entry) }, isOfEntry: true)
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
        file, calls, expected: entry.status, first: first, width: max(width, 1), seeksAlone: fetcher!.seeksAlone)
    }
  }

  /// Copies the next bytes of the open file.
  ///
  /// - Returns: how many; fewer than `buffer.count` only at the end of the file, 0 there.
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

  /// - Throws: ``GlusterError``, if the volume has not given all of a file.
  private func checkWhole(_ file: FileReader) throws {
    reading.outcome = try orEnd { try file.finish(timesAreExact: fetcher!.timesAreExact) }
    if let error = reading.outcome?.error { throw error }
  }

  private func take(_ piece: FileReader.Next) {
    switch piece {
    case .data(let data): (reading.data, reading.used) = (data, 0)
    case .hole(let count): reading.hole = count
    case .end: reading.atEnd = true
    }
  }

  /// Closes the file of the record in hand, if it is open.
  package func closeFile() throws {
    let reading = reading
    self.reading = Reading()
    guard reading.isOpen, let current, current.entry != nil else { return }
    var outcome = reading.outcome
    if outcome == nil, let file = reading.file {
      do {
        outcome = try orEnd { try file.finish(timesAreExact: fetcher!.timesAreExact) }
      } catch let error as GlusterError {
        daemon.tell(.warning, "\(printable(current.record.path)): after it was read: \(error)")
        return
      }
    }
    if case .changed(let change) = outcome, reading.atEnd {
      daemon.tell(.warning, "\(printable(current.record.path)): changed while it was read: \(change)")
    }
  }

  // MARK: Attributes

  /// The ACL stream of the record in hand; empty if it has no ACL.
  package var acls: [UInt8] { details.acls }

  /// The next extended attribute of the record in hand, and whether another follows.
  package func nextExtendedAttribute() -> (attribute: EntryFetcher.ExtendedAttribute, more: Bool)? {
    guard nextAttribute < details.extendedAttributes.count else { return nil }
    defer { nextAttribute += 1 }
    return (details.extendedAttributes[nextAttribute], nextAttribute + 1 < details.extendedAttributes.count)
  }

  // MARK: Calls

  private func call<T>(_ body: @escaping @Sendable (VolumeSession) throws -> T) throws -> T {
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
      calls.volume.patience.end()
      unread.addEverything()
      throw JobCalls.Ended(
        message: "the volume is unreachable, the backup ends: \(calls.volume.definition.volume): \(error)")
    }
  }
}
