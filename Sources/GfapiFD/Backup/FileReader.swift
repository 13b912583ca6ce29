import DequeModule
import Glibc
import Gluster
import SystemPackage

/// A regular file open for reading, for calls from several threads at once.
final class OpenFile: @unchecked Sendable {
  // Opened once, closed when the last of its calls has let go of it; they may be made side by side.
  private let file: File
  private let pool: PiecePool

  /// What a file has from an offset on.
  enum Run: Sendable {
    /// Data up to an offset, which may be beyond the file's end.
    case data(until: Int)
    /// Zeros up to an offset that are not stored.
    case hole(until: Int)
    case end
  }

  init(_ file: consuming File, _ pool: PiecePool) {
    self.file = file
    self.pool = pool
  }

  func status() throws -> stat { try file.status() }

  /// Up to `count` bytes at `offset`; fewer only at the end of the file.
  ///
  /// - Parameter expected: how many there should be: with exactly these the end is not asked for once more.
  func read(_ count: Int, at offset: Int, expected: Int) throws -> Piece {
    try Piece(count, expected: expected, from: pool) { try file.read(into: $0, at: offset + $1) }
  }

  /// What is at `offset`.
  func run(at offset: Int) throws -> Run {
    do {
      guard let data = try file.nextData(from: offset) else {
        let size = try Int(file.status().st_size)
        return size > offset ? .hole(until: size) : .end
      }
      return data > offset ? .hole(until: data) : .data(until: try file.nextHole(from: data))
    } catch let error as GlusterError where [.notSupported, .invalidArgument, .noFunction].contains(error.errno) {
      // Sharded volumes cannot tell.
      return .data(until: .max)
    }
  }
}

/// Reads an open file from its beginning to its end, with several pieces on their way. Holes are told, not fetched, where the
/// volume knows them. Lives on the job's thread.
final class FileReader {
  /// What comes next of a file.
  enum Next {
    case data(Piece)
    /// So many zeros that are not stored.
    case hole(Int)
    case end
  }

  /// The most that one call fetches, in bytes. Measured, as the next: fewer calls are faster, and more at once are not, where
  /// reading takes all processors; with a millisecond for each call so much is as fast as without.
  static let pieceSize = PiecePool.size
  /// The most pieces that are on their way at once.
  static let mostPieces = 5

  private enum Fetch {
    case fetched(Piece, count: Int)
    case piece(Ahead<Piece>, count: Int)
    case hole(Int)
  }

  private let file: OpenFile
  private let calls: JobCalls
  private let expected: stat
  /// How many pieces may be on their way at once.
  private let width: Int
  private let seeksAlone: Bool
  private var fetches = Deque<Fetch>()
  /// Up to where `fetches` go.
  private var planned = 0
  /// Up to where the file has been told.
  private var offset = 0
  /// What is at `planned`, of a file with holes.
  private var run: Ahead<OpenFile.Run>?
  /// End of the data that `planned` is in.
  private var dataEnd: Int
  /// All of the file is planned.
  private var isPlanned = false

  /// - Parameters:
  ///   - expected: the attributes that the entry's record carries.
  ///   - first: its first bytes, if they have been fetched: a piece, or all there are.
  ///   - width: how many pieces may be on their way at once.
  ///   - seeksAlone: holes are looked for while nothing is read. Reading fails at times on a dispersed volume that looks for a
  ///     hole at the file's end meanwhile (`EIO`, Gluster 10.3).
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

  /// What comes next.
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
      // The file ends here, sooner than expected or not: what is planned behind is not there.
      (fetches, isPlanned) = ([], true)
    }
    return data.count == 0 ? .end : .data(data)
  }

  /// Has the next pieces fetched: side by side up to the expected end, from there on one after another until nothing comes.
  private func plan() throws {
    while !isPlanned, fetches.isEmpty || fetches.count < width && planned <= expected.st_size {
      if planned >= dataEnd {
        if seeksAlone, !fetches.isEmpty { return }
        let (file, start) = (file, planned)
        let run = self.run ?? calls.start(isUrgent: true) { _ in try file.run(at: start) }
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
      // One byte more than there should be tells that there is none.
      let count = min(rest >= 0 && rest <= Self.pieceSize ? rest + 1 : Self.pieceSize, dataEnd - planned)
      let (file, start) = (file, planned)
      fetches.append(
        .piece(calls.start(isUrgent: true) { _ in try file.read(count, at: start, expected: rest) }, count: count))
      planned += count
    }
  }

  /// Compares the file with its record, after the reading.
  ///
  /// - Parameter timesAreExact: see ``EntryFetcher``.
  func finish(timesAreExact: Bool) throws -> ReadOutcome {
    let file = file
    let now = try calls.run { _ in try file.status() }
    return expected.outcome(bytesRead: offset, now: now, timesAreExact: timesAreExact)
  }

  /// Fewer bytes have been read than there should be.
  var isShort: Bool { offset < expected.st_size }
}

/// What became of a file while it was read.
enum ReadOutcome: Equatable, Sendable {
  case same
  /// It changed since its record was made; how, in words.
  case changed(String)
  /// It is what it was, and the volume has not given all of it.
  case short(read: Int, size: Int)

  /// Why the file has not been read; nil: it has.
  var error: GlusterError? {
    guard case .short(let read, let size) = self else { return nil }
    return GlusterError(errno: .ioError, call: "only \(read) of \(size) bytes were read of a file that did not change")
  }
}

extension stat {
  /// Whether the file has blocks that are not stored.
  var hasHoles: Bool { st_blocks * 512 < st_size }

  /// What became of a file while it was read.
  ///
  /// - Parameter timesAreExact: the volume tells the same time at each question; else two answers may come from two bricks,
  ///   and up to a second apart is the same.
  func outcome(bytesRead: Int, now: stat, timesAreExact: Bool) -> ReadOutcome {
    let (then, current) = (st_mtim, now.st_mtim)
    let isDated =
      timesAreExact
      ? current.tv_sec != then.tv_sec || current.tv_nsec != then.tv_nsec : (current.tv_sec &- then.tv_sec).magnitude > 1
    if bytesRead < st_size, !isDated, now.st_size == st_size { return .short(read: bytesRead, size: Int(st_size)) }
    if bytesRead != st_size { return .changed("it had \(st_size) bytes, \(bytesRead) were read") }
    return isDated ? .changed("its modification time changed") : .same
  }
}
