import DequeModule
import GfapiJob
import Glibc
import Gluster
import SystemPackage

/// A regular file that is open for reading, for calls from several threads at the same time.
final class OpenFile: @unchecked Sendable {
  // The file is opened once, and closed when the last of its calls has released it. Calls may be made at the same time.
  private let file: File
  private let pool: PiecePool

  /// What a file contains from an offset on.
  enum Run: Sendable {
    /// Data up to an offset, which may be beyond the file's end.
    case data(until: Int)
    /// A hole up to an offset: zeros that are not stored.
    case hole(until: Int)
    case end
  }

  init(_ file: consuming File, _ pool: PiecePool) {
    self.file = file
    self.pool = pool
  }

  func status() throws(GlusterError) -> stat { try file.status() }

  /// Reads up to `count` bytes at `offset`. Returns fewer bytes only at the end of the file.
  ///
  /// - Parameter expected: how many bytes there should be. If exactly these are read, no further call looks for the end.
  func read(_ count: Int, at offset: Int, expected: Int) throws(GlusterError) -> Piece {
    try Piece(count, expected: expected, from: pool) { buffer, done throws(GlusterError) in try file.read(into: buffer, at: offset + done) }
  }

  /// Returns what the file contains at `offset`.
  func run(at offset: Int) throws(GlusterError) -> Run {
    do {
      guard let data = try file.nextData(from: offset) else {
        let size = try Int(file.status().st_size)
        return size > offset ? .hole(until: size) : .end
      }
      return data > offset ? .hole(until: data) : .data(until: try file.nextHole(from: data))
    } catch let error where [.notSupported, .invalidArgument, .noFunction].contains(error.errno) {
      // Sharded volumes do not support the search for holes.
      return .data(until: .max)
    }
  }
}

/// Reads an open file from beginning to end, with several pieces being fetched at once. Holes are reported and not fetched, if the volume
/// knows them. Used on the job's thread.
final class FileReader {
  /// The next part of a file.
  enum Next {
    case data(Piece)
    /// A hole: the number of zeros that are not stored.
    case hole(Int)
    case end
  }

  /// The maximum number of bytes that one call fetches. This value and the next one were measured. Where the processors are the limit,
  /// fewer calls are faster, and more calls at once are not. With a millisecond for each call, these values are as fast as without that
  /// delay.
  static let pieceSize = PiecePool.size
  /// The maximum number of pieces that are fetched at once.
  static let mostPieces = 5

  private enum Fetch {
    case fetched(Piece, count: Int)
    case piece(Ahead<Piece>, count: Int)
    case hole(Int)
  }

  private let file: OpenFile
  private let calls: JobCalls
  private let expected: stat
  /// How many pieces may be fetched at once.
  private let width: Int
  private let seeksAlone: Bool
  private var fetches = Deque<Fetch>()
  /// The offset up to which `fetches` go.
  private var planned = 0
  /// The offset up to which the file has been returned.
  private var offset = 0
  /// What is at `planned`, in a file with holes.
  private var run: Ahead<OpenFile.Run>?
  /// The end of the data that contains `planned`.
  private var dataEnd: Int
  /// True if the whole file is planned.
  private var isPlanned = false

  /// - Parameters:
  ///   - expected: the attributes in the entry's record.
  ///   - first: the first bytes of the file, if they have been fetched: one piece, or all bytes of a smaller file.
  ///   - width: how many pieces may be fetched at once.
  ///   - seeksAlone: holes are looked for only while nothing is read. On a dispersed volume a read fails at times while a hole at the
  ///     file's end is looked for (`EIO`, Gluster 10.3).
  init(_ file: OpenFile, _ calls: JobCalls, expected: stat, first: Piece?, width: Int, seeksAlone: Bool) {
    self.file = file
    self.calls = calls
    self.expected = expected
    self.width = width
    self.seeksAlone = seeksAlone
    dataEnd = expected.hasHoles ? 0 : .max
    if let first {
      fetches.append(.fetched(first, count: Self.pieceSize))
      planned = Self.pieceSize
    }
  }

  /// Returns the next part of the file.
  func next() throws -> Next {
    try plan()
    guard let fetch = fetches.popFirst() else { return .end }
    switch fetch {
    case .hole(let count):
      offset += count
      return .hole(count)
    case .fetched(let data, let count): return take(data, count)
    case .piece(let ahead, let count): return take(try calls.wait(for: ahead, isOfEntry: true), count)
    }
  }

  private func take(_ data: Piece, _ count: Int) -> Next {
    offset += data.count
    if data.count < count {
      // The file ends here, whether this was expected or not. The pieces that are planned after this offset do not exist.
      (fetches, isPlanned) = ([], true)
    }
    return data.count == 0 ? .end : .data(data)
  }

  /// Starts to fetch the next pieces. They are fetched side by side up to the expected end, and from there one after another until no data
  /// comes.
  private func plan() throws {
    while !isPlanned, fetches.isEmpty || fetches.count < width && planned <= expected.st_size {
      if planned >= dataEnd {
        if seeksAlone, !fetches.isEmpty { return }
        let (file, start) = (file, planned)
        let run = self.run ?? calls.start(isUrgent: true) { try file.run(at: start) }
        self.run = run
        guard fetches.isEmpty || calls.isDone(run) else { return }
        self.run = nil
        switch try calls.wait(for: run) {
        case .end: isPlanned = true
        case .hole(let end):
          fetches.append(.hole(end - planned))
          planned = end
        case .data(let end): dataEnd = end
        }
        continue
      }
      let rest = Int(expected.st_size) - planned
      // Ask for one byte more than expected. If the byte does not come, the file has not grown.
      let count = min(rest >= 0 && rest <= Self.pieceSize ? rest + 1 : Self.pieceSize, dataEnd - planned)
      let (file, start) = (file, planned)
      fetches.append(
        .piece(calls.start(isUrgent: true) { try file.read(count, at: start, expected: rest) }, count: count))
      planned += count
    }
  }

  /// Compares the file with its record, after the file has been read.
  ///
  /// - Parameter timesAreExact: see ``EntryFetcher``.
  func finish(timesAreExact: Bool) throws -> ReadOutcome {
    let file = file
    let now = try calls.run { try file.status() }
    return expected.outcome(bytesRead: offset, now: now, timesAreExact: timesAreExact)
  }

  /// True if fewer bytes have been read than expected.
  var isShort: Bool { offset < expected.st_size }
}

/// How a file changed while it was read.
enum ReadOutcome: Equatable, Sendable {
  case same
  /// The file has changed since its record was made. The string says how.
  case changed(String)
  /// The file has not changed, but the volume has not returned all of it.
  case short(read: Int, size: Int)

  /// Why the file counts as not read; nil if it has been read.
  var error: GlusterError? {
    guard case .short(let read, let size) = self else { return nil }
    return GlusterError(errno: .ioError, call: "only \(read) of \(size) bytes were read of a file that did not change")
  }
}

extension stat {
  /// True if the file has blocks that are not stored.
  package var hasHoles: Bool { st_blocks * 512 < st_size }

  func hasSameModificationTime(as other: stat) -> Bool {
    st_mtim.tv_sec == other.st_mtim.tv_sec && st_mtim.tv_nsec == other.st_mtim.tv_nsec
  }

  /// Compares the attributes of a file from before and after it was read.
  ///
  /// - Parameter timesAreExact: the volume always returns the same time for an entry. Otherwise two answers may come from two bricks, and
  ///   times up to a second apart count as equal.
  func outcome(bytesRead: Int, now: stat, timesAreExact: Bool) -> ReadOutcome {
    let isDated =
      timesAreExact ? !hasSameModificationTime(as: now) : (now.st_mtim.tv_sec &- st_mtim.tv_sec).magnitude > 1
    if bytesRead < st_size, !isDated, now.st_size == st_size { return .short(read: bytesRead, size: Int(st_size)) }
    if bytesRead != st_size { return .changed("it had \(st_size) bytes, \(bytesRead) were read") }
    return isDated ? .changed("its modification time changed") : .same
  }
}
