import DeltaFormat
import DequeModule
import GfapiJob
import Gluster

/// Reads the shards of a file that a ``DeltaPlan`` names, and compares them with what a delta builds on. Several pieces are fetched at once.
/// Used on the job's thread.
final class ShardComparison {
  let plan: DeltaPlan
  private let base: DeltaMemory.Base
  private let file: OpenFile
  private let calls: JobCalls
  private let memory: DeltaMemory
  /// How many pieces may be fetched at once.
  private let width: Int
  private var fetches = Deque<(piece: Ahead<ComparedPiece>, shard: Int)>()
  /// The index in `plan.read` of the next shard to fetch, and the offset in the file of its next piece.
  private var index = 0
  private var offset: Int?
  /// The known digests of the shard that is being fetched; nil: all its blocks are zeros.
  private var known: BlockDigests?

  init(_ plan: DeltaPlan, _ base: DeltaMemory.Base, _ file: OpenFile, _ calls: JobCalls, _ memory: DeltaMemory, width: Int) {
    (self.plan, self.base, self.file, self.calls, self.memory, self.width) = (plan, base, file, calls, memory, width)
  }

  /// Returns the next piece and the number of its shard; nil at the end.
  ///
  /// - Throws: ``GlusterError``, ``Database/Failure``, or ``JobCalls/Ended``.
  func next() throws -> (piece: ComparedPiece, shard: Int)? {
    try fetch()
    guard let fetch = fetches.popFirst() else { return nil }
    return (try calls.wait(for: fetch.piece, isOfEntry: true), fetch.shard)
  }

  /// Starts to fetch the next pieces.
  private func fetch() throws {
    while fetches.count < width, index < plan.read.count {
      let number = plan.read[index]
      let range = plan.range(of: number)
      if offset == nil {
        offset = range.lowerBound
        known = try base.shards[number].flatMap { try memory.digests(of: number, $0) }
      }
      let (file, start) = (file, offset!)
      let count = min(FileReader.pieceSize, range.upperBound - start)
      let first = (start - range.lowerBound) / BlockDigests.size
      let blocks = BlockDigests.count(count)
      let known: BlockDigests? = known.map { BlockDigests(Array($0.values.dropFirst(first).prefix(blocks))) }
      fetches.append((calls.start(isUrgent: true) { try ComparedPiece(of: file, start, count, known) }, number))
      offset = start + count
      if offset == range.upperBound {
        offset = nil
        index += 1
      }
    }
  }
}

/// Makes the bytes of a delta. Used on the job's thread.
final class DeltaReader {
  private let comparison: ShardComparison
  private var encoder: DeltaEncoder
  /// The digests of the shard whose pieces are being returned.
  private var digests = BlockDigests()
  private(set) var readShards: [DeltaMemory.ReadShard]
  /// The fingerprint of the delta; nil: not all of it has been returned.
  private(set) var fingerprint: [UInt8]?
  /// True if the file was shorter than expected.
  private(set) var isShort = false

  init(_ comparison: ShardComparison, _ header: DeltaHeader) {
    self.comparison = comparison
    encoder = DeltaEncoder(header)
    let plan = comparison.plan
    readShards = plan.newHoles.map { plan.readShard($0, plan.zeros($0)) }
  }

  /// Returns the next bytes of the delta; none at the end.
  ///
  /// - Throws: ``GlusterError``, ``Database/Failure``, or ``JobCalls/Ended``.
  func nextBytes() throws -> [UInt8] {
    var bytes = encoder.takeBytes()
    while bytes.isEmpty, fingerprint == nil {
      if let next = try comparison.next() { take(next.piece, of: next.shard) } else { fingerprint = encoder.end() }
      bytes = encoder.takeBytes()
    }
    return bytes
  }

  private func take(_ piece: ComparedPiece, of shard: Int) {
    for run in piece.runs {
      if run.isZero {
        encoder.addHole(run.range.count, at: run.range.lowerBound)
      } else {
        piece.withBytes(of: run.range) { encoder.add($0, at: run.range.lowerBound) }
      }
    }
    if piece.isShort { isShort = true }
    digests.values += piece.digests.values
    let plan = comparison.plan
    if piece.end == plan.range(of: shard).upperBound {
      readShards.append(plan.readShard(shard, digests))
      digests = BlockDigests()
    }
  }

  /// Returns the shards that have been read since the last call.
  func takeShards() -> [DeltaMemory.ReadShard] {
    defer { readShards = [] }
    return readShards
  }
}

/// A piece of a file, compared with the digests of its blocks.
struct ComparedPiece: Sendable {
  /// A range of blocks that differ.
  struct Run: Sendable {
    var range: Range<Int>
    /// True if all blocks are zeros.
    let isZero: Bool
  }

  private let piece: Piece
  /// The data of a piece that is shorter than expected, with zeros for what is missing.
  private let padded: [UInt8]?
  private let start: Int
  /// The end of the piece, an offset in the file.
  let end: Int
  let digests: BlockDigests
  let runs: [Run]
  /// True if the file has fewer bytes than expected. The missing ones count as zeros.
  var isShort: Bool { padded != nil }

  /// Reads a piece.
  ///
  /// - Parameter known: the earlier digests of its blocks, from its first block on; nil: all blocks were zeros. A block without a digest was
  ///   zeros, too: a restore makes the file longer before it writes.
  init(of file: OpenFile, _ start: Int, _ count: Int, _ known: BlockDigests?) throws(GlusterError) {
    piece = try file.read(count, at: start, expected: count)
    (self.start, end) = (start, start + count)
    padded = piece.count < count ? Array(piece.bytes) + [UInt8](repeating: 0, count: count - piece.count) : nil
    (digests, runs) = Self.bytes(piece, padded) { bytes in
      let digests = BlockDigests(of: bytes)
      return (digests, Self.runs(of: bytes, at: start, digests, known))
    }
  }

  private static func runs(of bytes: UnsafeRawBufferPointer, at start: Int, _ digests: BlockDigests, _ known: BlockDigests?) -> [Run] {
    var runs: [Run] = []
    for (index, digest) in digests.values.enumerated() {
      let old: UInt64? = if let known, index < known.values.count { known.values[index] } else { nil }
      if old == digest { continue }
      let offset = index * BlockDigests.size
      let block = UnsafeRawBufferPointer(rebasing: bytes[offset..<min(offset + BlockDigests.size, bytes.count)])
      let isZero = block.isAllZeros
      if old == nil && isZero { continue }
      let range = start + offset..<start + offset + block.count
      if let last = runs.last, last.isZero == isZero, last.range.upperBound == range.lowerBound {
        runs[runs.count - 1].range = last.range.lowerBound..<range.upperBound
      } else {
        runs.append(Run(range: range, isZero: isZero))
      }
    }
    return runs
  }

  /// Calls `body` with the bytes of a range of the file.
  func withBytes(of range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
    Self.bytes(piece, padded) { body(UnsafeRawBufferPointer(rebasing: $0[range.lowerBound - start..<range.upperBound - start])) }
  }

  private static func bytes<T>(_ piece: Piece, _ padded: [UInt8]?, _ body: (UnsafeRawBufferPointer) -> T) -> T {
    padded?.withUnsafeBytes(body) ?? body(piece.bytes)
  }
}
