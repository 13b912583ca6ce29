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
  package private(set) var counts = Counts()
  package private(set) var unread = UnreadPlaces()

  private var options = Options()
  private var started = false
  /// The volume is gone; a message has said so.
  private var isGone = false
  /// The base directory, for a backup with nothing in it.
  private var base: Crawler.Entry?
  /// The next record, found when the one before ended.
  private var upcoming: (record: SaveRecord, entry: Crawler.Entry?)?
  private var current: (record: SaveRecord, entry: Crawler.Entry?)?
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

  /// - Parameter since: seconds since 1970 after which an entry counts as changed; 0: all are to be carried.
  package init(_ volume: JobVolume, daemon: any Daemon, isEstimate: Bool, since: Int) {
    self.volume = volume
    self.daemon = daemon
    self.isEstimate = isEstimate
    self.since = since
  }

  // MARK: Records

  /// The next record.
  package func start(_ options: Options) throws -> SaveRecord {
    self.options = options
    if !started {
      started = true
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
  private func complete(_ record: SaveRecord, _ entry: Crawler.Entry) throws -> SaveRecord {
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

  private func find() throws -> (record: SaveRecord, entry: Crawler.Entry?)? {
    while true {
      switch try call({ $0.backup!.next() }) {
      case .end:
        return nil
      case .failed(let failure):
        return (try tell(failure), nil)
      case .entry(let entry):
        guard daemon.accepts(entry.path, entry.status) else {
          counts.excluded += 1
          continue
        }
        if let record = changed(entry, Self.kind(of: entry.status)) { return (record, entry) }
      case .directory(let entry):
        let isBase = base == nil
        if isBase { base = entry }
        guard daemon.accepts(entry.path, entry.status) else {
          counts.excluded += 1
          try call { $0.backup!.skip() }
          continue
        }
        guard isBase || options.recurses else { continue }
        if let failure = try call({ $0.backup!.enter() }) { return (try tell(failure), nil) }
      case .directoryEnd(let entry):
        // Once more, for the options: the entries in the directory may have others.
        _ = daemon.accepts(entry.path, entry.status)
        let isEntered = options.recurses || entry.path == base?.path
        if let record = changed(entry, isEntered ? .directory : .directoryNotEntered) { return (record, entry) }
      }
    }
  }

  private func changed(_ entry: Crawler.Entry, _ kind: SaveRecord.Kind) -> SaveRecord? {
    let record = SaveRecord(kind: kind, path: entry.path, status: entry.status)
    guard daemon.hasChanged(record, since: since) else {
      counts.unchanged += 1
      return nil
    }
    return record
  }

  private static func kind(of status: stat) -> SaveRecord.Kind {
    status.isRegular ? .regular : status.isSymbolicLink ? .symbolicLink : .special
  }

  private func tell(_ failure: Crawler.Failure) throws -> SaveRecord {
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
        "a path of \(failure.path.count) bytes, longer than the \(Crawler.longestPath) that a daemon takes")
    }
    return SaveRecord(kind: kind, path: Array(failure.path.prefix(Crawler.longestPath)), status: status)
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
