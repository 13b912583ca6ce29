import GfapiAttributes
import GfapiJob
import Glibc
import Gluster

/// The record that the daemon processes: answers the daemon's calls for its data and attributes. Used only on the job's thread.
final class CurrentRecord {
  /// The data that have been read, in bytes.
  struct Read {
    var bytes = 0
    /// The part of `bytes` that was in holes.
    var holes = 0
  }

  private let calls: JobCalls
  private let fetcher: EntryFetcher
  /// How many pieces of a file may be read at once.
  private let width: Int
  let item: ReadAheadQueue.Item
  let details: EntryFetcher.Details
  /// Set for a file of several shards, with `delta=yes`.
  private let image: ImageRecord?
  private var nextAttribute = 0
  /// True if the data of the entry could not be read.
  private(set) var isUnread = false

  // The data that have been fetched and not yet handed to the daemon.
  private var isOpen = false
  private var data: Piece?
  private var used = 0
  private var hole = 0
  private var atEnd = false
  private var file: FileReader?
  private var delta: DeltaReader?
  /// How the file changed while it was read, if that is known.
  private var outcome: ReadOutcome?

  /// - Parameter budget: how many bytes may be held ahead of the daemon.
  init(
    _ item: ReadAheadQueue.Item, _ details: EntryFetcher.Details, _ image: ImageRecord?, _ calls: JobCalls, _ fetcher: EntryFetcher,
    budget: Int
  ) {
    (self.item, self.details, self.image, self.calls, self.fetcher) = (item, details, image, calls, fetcher)
    width = max(min(calls.volume.definition.workers, budget / FileReader.pieceSize, FileReader.mostPieces), 1)
  }

  var record: SaveRecord { item.record }

  // MARK: Data

  /// Opens the file.
  ///
  /// - Throws: ``GlusterError``, or ``JobCalls/Ended``.
  func open() throws {
    guard let entry = item.entry else { throw GlusterError(errno: .invalidArgument, call: "open") }
    reset()
    isOpen = true
    // Bacula opens every entry that it receives as a FIFO, so an entry without data must read as empty.
    guard record.hasData else {
      atEnd = true
      return
    }
    var content = details.content
    let isDelta = image?.deltaBase != nil
    if case .none = content {
      let fetcher = fetcher
      do {
        content = try calls.wait(
          for: calls.start(isUrgent: true) { try fetcher.content(of: entry, readsFirst: !isDelta) }, isOfEntry: true)
      } catch let error as GlusterError {
        (isOpen, isUnread) = (false, true)
        throw error
      }
    }
    if isDelta, case .open(let file, _) = content {
      delta = image?.beginDelta(file, width: width)
      return
    }
    image?.beginWhole()
    switch content {
    case .none: break
    case .whole(let data, let outcome): (self.data, self.outcome) = (data, outcome)
    case .open(let file, let first):
      self.file = FileReader(file, calls, expected: entry.status, first: first, width: width, seeksAlone: fetcher.seeksAlone)
    }
  }

  private func reset() { (isOpen, data, used, hole, atEnd, file, delta, outcome) = (false, nil, 0, 0, false, nil, nil, nil) }

  /// Copies the next bytes of the open file into `buffer`.
  ///
  /// - Returns: the number of bytes. It is less than `buffer.count` only at the end of the file, and 0 if nothing is left.
  /// - Throws: ``GlusterError``, or ``JobCalls/Ended``.
  func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Read {
    guard isOpen else { throw GlusterError(errno: .badFileDescriptor, call: "read") }
    var read = Read()
    while read.bytes < buffer.count {
      let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[read.bytes...])
      if hole > 0 {
        let count = min(hole, rest.count)
        UnsafeMutableRawBufferPointer(rebasing: rest[..<count]).initializeMemory(as: UInt8.self, repeating: 0)
        hole -= count
        read.holes += count
        read.bytes += count
      } else if let data, used < data.count {
        let count = min(data.count - used, rest.count)
        rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: data.bytes[used..<(used + count)]))
        used += count
        read.bytes += count
      } else if atEnd {
        break
      } else {
        try fetchNext()
      }
    }
    image?.took(UnsafeRawBufferPointer(rebasing: buffer[..<read.bytes]))
    return read
  }

  private func fetchNext() throws {
    if let delta {
      do { (data, used) = (Piece(copying: try delta.nextBytes()), 0) } catch let error as GlusterError {
        isUnread = true
        throw error
      } catch let failure as Database.Failure {
        isUnread = true
        image?.fail(failure)
        throw GlusterError(errno: .ioError, call: "the state database")
      }
      atEnd = data?.count == 0
      return
    }
    guard let file else {
      atEnd = true
      return
    }
    do {
      switch try file.next() {
      case .data(let data): (self.data, used) = (data, 0)
      case .hole(let count): hole = count
      case .end: atEnd = true
      }
      if atEnd, file.isShort {
        outcome = try file.finish(timesAreExact: fetcher.timesAreExact)
        if let error = outcome?.error { throw error }
      }
    } catch let error as GlusterError {
      isUnread = true
      throw error
    }
  }

  /// Closes the file, if it is open.
  ///
  /// - Returns: a warning about the file; nil: it did not change while it was read.
  /// - Throws: ``JobCalls/Ended``.
  func close() throws -> JobMessage? {
    let (wasOpen, wasAtEnd, file) = (isOpen, atEnd, file)
    var outcome = outcome
    reset()
    guard wasOpen, item.entry != nil else { return nil }
    if wasAtEnd, !isUnread, let change = try image?.end() { outcome = .changed(change) }
    if outcome == nil, let file {
      do { outcome = try file.finish(timesAreExact: fetcher.timesAreExact) } catch let error as GlusterError {
        return JobMessage("GFD-061", "after it was read: \(error)").about(record.path)
      }
    }
    guard case .changed(let change) = outcome, wasAtEnd else { return nil }
    return JobMessage("GFD-060", "changed while it was read: \(change)").about(record.path)
  }

  // MARK: Attributes

  /// Returns the next extended attribute, and whether another follows.
  func nextExtendedAttribute() -> (attribute: ExtendedAttribute, more: Bool)? {
    guard nextAttribute < details.extendedAttributes.count else { return nil }
    defer { nextAttribute += 1 }
    return (details.extendedAttributes[nextAttribute], nextAttribute + 1 < details.extendedAttributes.count)
  }

  /// The fingerprint of what was backed up.
  ///
  /// - Parameter wanted: the parts that the FileSet wants.
  func fingerprint(_ wanted: EntryFetcher.Wanted) -> Fingerprint {
    var fingerprint = Fingerprint()
    if isUnread || record.kind == .unreadable {
      // An unknown part makes the next job try again.
      fingerprint[.layout] = .unknown
    } else if record.isSaved, let entry = item.entry {
      fingerprint = item.fingerprint
      fingerprint.update(with: Fingerprint(entry.status, details, wanted, shardSize: fetcher.shardSize))
    }
    return fingerprint
  }
}
