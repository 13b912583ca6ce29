import Glibc
import Gluster

/// One backup (or estimate) of one plugin line: tells the daemon record after record and answers its calls for the record
/// in hand. Lives on the job's thread.
package final class BackupRun {
  /// What became of the entries.
  package struct Counts: Sendable {
    package var carried = 0
    package var unchanged = 0
    package var excluded = 0
    package var failed = 0
    /// Of a list: names that are not there.
    package var vanished = 0
    package var bytes = 0
  }

  /// The options of the FileSet that matter for reading.
  package struct Options: Sendable {
    package var wanted = BackupSession.Wanted()
    package var recurses = true
    package init() {}
  }

  /// The backup cannot go on. Its words are a fatal job message; none if the job is cancelled.
  package struct Ended: Error {
    package let message: String?
  }

  private unowned let daemon: any Daemon
  private let volume: JobVolume
  package let isEstimate: Bool
  private let since: Int
  private let list: ListTerms?
  package private(set) var counts = Counts()
  package private(set) var unread = UnreadPlaces()
  /// What the list holds, when the entries come from one.
  package private(set) var listCounts: ListCounts?
  /// What the list says of entries that are not told.
  package private(set) var listedPaths: ListedPaths?

  private var options = Options()
  private var started = false
  /// The volume is gone; a message has said so.
  private var isGone = false
  private var base: SourceEntry?
  private var directoriesAbove = DirectoriesAbove()
  /// The next record, found when the one before ended.
  private var upcoming: (record: SaveRecord, entry: SourceEntry?)?
  private var current: (record: SaveRecord, entry: SourceEntry?)?
  private var details = BackupSession.Details()
  private var nextAttribute = 0
  private var reading = Reading()
  /// The session has a file open.
  private var hasFile = false

  /// The data that has been fetched and not yet been handed on.
  private struct Reading {
    var isOpen = false
    var data: [UInt8] = []
    var used = 0
    var hole = 0
    var atEnd = false
  }

  /// - Parameters:
  ///   - since: seconds since 1970 after which an entry counts as changed; 0: all are to be carried.
  ///   - list: the list that the ``BackupSession`` has been given.
  package init(_ volume: JobVolume, daemon: any Daemon, isEstimate: Bool, since: Int, list: ListTerms?) {
    self.volume = volume
    self.daemon = daemon
    self.isEstimate = isEstimate
    self.since = since
    self.list = list
  }

  // MARK: The list

  private func load(_ list: ListTerms) throws {
    while true {
      switch try call({ try $0.backup!.loadList() }) {
      case .some(let problems):
        for problem in problems { daemon.tell(.warning, problem) }
      case .crawl(let reason):
        return daemon.tell(
          .warning, "the list \(printable(list.file)) has the volume crawled instead, for all that changed: \(reason)")
      case .done(let counts, let paths):
        (listCounts, listedPaths) = (counts, paths)
        if counts.isUnexplainedlyEmpty {
          daemon.tell(
            .warning,
            "the list \(printable(list.file)) is empty: either nothing has changed, or what writes it has failed; bareos-glusterfind-wrapper would tell which")
        }
        if counts.removed > 0, !list.isFull, !daemon.isAccurate {
          daemon.tell(
            .info,
            "the list names \(counts.removed) deleted or renamed: without accurate mode a backup cannot carry that, and a restore brings them back")
        }
        return
      }
    }
  }

  /// What became of the entries, in words.
  package var summary: String {
    var text =
      "\(counts.carried) entries and \(counts.bytes) bytes read, \(counts.unchanged) unchanged, \(counts.excluded) excluded, \(counts.failed) failed"
    if let listCounts {
      text += "; list: \(listCounts.changes) changes, \(counts.vanished) not there any more"
      if listCounts.unreadable > 0 { text += ", \(listCounts.unreadable) lines left out" }
      if listCounts.outside > 0 { text += ", \(listCounts.outside) names outside the base directory" }
    }
    return text
  }

  // MARK: Records

  /// The next record.
  package func start(_ options: Options) throws -> SaveRecord {
    self.options = options
    if !started {
      started = true
      if let list { try load(list) }
      base = try call { $0.backup!.base }
      upcoming = try find()
      if upcoming == nil, let base {
        upcoming = (SaveRecord(kind: .directoryUnchanged, path: base.path, status: base.status), nil)
      }
    }
    guard case (var record, let entry)? = upcoming else { throw Ended(message: nil) }
    upcoming = nil
    details = BackupSession.Details()
    nextAttribute = 0
    reading = Reading()
    if let entry, !isEstimate || record.kind == .symbolicLink {
      record = try complete(record, entry)
    }
    current = (record, entry)
    return record
  }

  /// Ends the record in hand. Returns whether there is another.
  package func end() throws -> Bool {
    try closeFile()
    current = nil
    upcoming = try find()
    return upcoming != nil
  }

  /// Fetches what belongs to a record. An entry that cannot be carried becomes a record that says so.
  private func complete(_ record: SaveRecord, _ entry: SourceEntry) throws -> SaveRecord {
    var record = record
    var wanted = options.wanted
    if isEstimate { (wanted.acls, wanted.extendedAttributes) = (false, false) }
    do {
      details = try call { [wanted] in try $0.backup!.details(of: entry, wanted) }
    } catch let error as GlusterError {
      try endIfGone(error)
      let vanished = error.errno == .noSuchFileOrDirectory || error.errno == .staleNFSFileHandle
      record.kind = vanished ? .unknown : .unreadable
      tellFailure(record.path, vanished ? "it vanished before it was read: \(error)" : "cannot be read: \(error)")
      details = BackupSession.Details()
      return record
    }
    hasFile = details.firstPiece != nil
    record.linkTarget = details.linkTarget
    for problem in details.problems { daemon.tell(.error, "\(printable(record.path)): \(problem)") }
    if !details.problems.isEmpty { counts.failed += 1 }
    counts.carried += 1
    return record
  }

  private func find() throws -> (record: SaveRecord, entry: SourceEntry?)? {
    while true {
      switch try call({ try $0.backup!.next() }) {
      case .end:
        return nil
      case .failed(let failure):
        return (try tell(failure), nil)
      case .vanished(let path):
        counts.vanished += 1
        if counts.vanished <= Self.tellsVanished {
          daemon.tell(.notSaved, "\(printable(path)): in the list, and not there any more")
        }
      case .entry(let entry):
        guard takes(entry) else { continue }
        if let record = changed(entry, Self.kind(of: entry.status)) { return (record, entry) }
      case .directory(let entry):
        guard takes(entry) else {
          try call { $0.backup!.skip() }
          continue
        }
        guard isEntered(entry) else { continue }
        if let failure = try call({ $0.backup!.enter() }) { return (try tell(failure), nil) }
      case .directoryEnd(let entry):
        // Once more, for the options: the entries in the directory may have others.
        _ = daemon.accepts(entry.path, entry.status)
        if let record = changed(entry, isEntered(entry) ? .directory : .directoryNotEntered) { return (record, entry) }
      case .directoryAlone(let entry):
        guard takes(entry) else { continue }
        if let record = changed(entry, isEntered(entry) ? .directory : .directoryNotEntered) { return (record, entry) }
      }
    }
  }

  /// How many names that are not there any more are told one by one.
  private static let tellsVanished = 1000

  private func isEntered(_ directory: SourceEntry) -> Bool { options.recurses || directory.path == base?.path }

  /// Whether the FileSet takes an entry; of one that a list names, also whether a crawl would have come to it.
  private func takes(_ entry: SourceEntry) -> Bool {
    guard isReached(entry.path), daemon.accepts(entry.path, entry.status) else {
      counts.excluded += 1
      return false
    }
    return true
  }

  private func isReached(_ path: [UInt8]) -> Bool {
    guard listedPaths != nil, let base, path != base.path else { return true }
    guard options.recurses || parent(of: path).elementsEqual(base.path) else { return false }
    return directoriesAbove.areTaken(path, base: base) { daemon.accepts($0, $1) }
  }

  private func changed(_ entry: SourceEntry, _ kind: SaveRecord.Kind) -> SaveRecord? {
    let record = SaveRecord(kind: kind, path: entry.path, status: entry.status)
    // Asked in any case: the daemon marks what it has been asked for as seen.
    guard daemon.hasChanged(record, since: since) || entry.isListed else {
      counts.unchanged += 1
      return nil
    }
    return record
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
  }

  // MARK: Data

  /// Opens the file of the record in hand.
  ///
  /// - Throws: ``GlusterError``, or ``Ended``.
  package func openFile() throws {
    guard let (record, entry) = current, let entry else { throw GlusterError(errno: .invalidArgument, call: "open") }
    // Bacula opens everything that travels as a FIFO.
    guard record.hasData else {
      reading = Reading(isOpen: true, atEnd: true)
      return
    }
    reading = Reading(isOpen: true)
    if let piece = details.firstPiece {
      take(piece)
      details.firstPiece = nil
    } else {
      let wanted = options.wanted
      do {
        try call { try $0.backup!.open(entry, wanted) }
        hasFile = true
      } catch let error as GlusterError {
        reading.isOpen = false
        counts.failed += 1
        try endIfGone(error)
        throw error
      }
    }
  }

  /// Copies the next bytes of the open file.
  ///
  /// - Returns: how many; fewer than `buffer.count` only at the end of the file, 0 there.
  /// - Throws: ``GlusterError``, or ``Ended``.
  package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    guard reading.isOpen else { throw GlusterError(errno: .badFileDescriptor, call: "read") }
    var filled = 0
    while filled < buffer.count {
      if reading.hole > 0 {
        let count = min(reading.hole, buffer.count - filled)
        UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + count)]).initializeMemory(as: UInt8.self, repeating: 0)
        reading.hole -= count
        filled += count
      } else if reading.used < reading.data.count {
        let count = min(reading.data.count - reading.used, buffer.count - filled)
        reading.data.withUnsafeBytes {
          UnsafeMutableRawBufferPointer(rebasing: buffer[filled..<(filled + count)])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[reading.used..<(reading.used + count)]))
        }
        reading.used += count
        filled += count
      } else if reading.atEnd {
        break
      } else {
        do {
          take(try call { try $0.backup!.nextPiece() })
        } catch let error as GlusterError {
          counts.failed += 1
          try endIfGone(error)
          throw error
        }
      }
    }
    counts.bytes += filled
    return filled
  }

  private func take(_ piece: FileReader.Piece) {
    switch piece {
    case .data(let data): (reading.data, reading.used) = (data, 0)
    case .hole(let count): reading.hole = count
    case .end: reading.atEnd = true
    }
  }

  /// Closes the file of the record in hand, if it is open.
  package func closeFile() throws {
    let wasRead = reading.isOpen && reading.atEnd
    reading = Reading()
    guard hasFile, let (record, _) = current else { return }
    hasFile = false
    do {
      guard let change = try call({ try $0.backup!.closeFile() }), wasRead else { return }
      daemon.tell(.warning, "\(printable(record.path)): changed while it was read: \(change)")
    } catch let error as GlusterError {
      daemon.tell(.warning, "\(printable(record.path)): after it was read: \(error)")
    }
  }

  // MARK: Attributes

  /// The ACL stream of the record in hand; empty if it has no ACL.
  package var acls: [UInt8] { details.acls }

  /// The next extended attribute of the record in hand, and whether another follows.
  package func nextExtendedAttribute() -> (attribute: BackupSession.ExtendedAttribute, more: Bool)? {
    guard nextAttribute < details.extendedAttributes.count else { return nil }
    defer { nextAttribute += 1 }
    return (details.extendedAttributes[nextAttribute], nextAttribute + 1 < details.extendedAttributes.count)
  }

  // MARK: Calls

  private func call<T>(_ body: @escaping @Sendable (VolumeSession) throws -> T) throws -> T {
    guard !isGone else { throw Ended(message: nil) }
    do {
      return try volume.run(isCancelled: { daemon.jobIsCancelled }, body)
    } catch is VolumeThread.Stopped {
      throw Ended(message: nil)
    } catch let error as ListFailure {
      throw Ended(message: error.description)
    } catch let error as TouchedPaths.Failure {
      throw Ended(message: "the list cannot be kept: \(error): is there room in $TMPDIR, or else /var/tmp?")
    }
  }

  private func endIfGone(_ error: GlusterError) throws {
    if error.meansVolumeIsGone {
      isGone = true
      unread.addEverything()
      throw Ended(message: "the volume cannot be reached any more, the backup ends here: \(volume.definition.volume): \(error)")
    }
  }
}
