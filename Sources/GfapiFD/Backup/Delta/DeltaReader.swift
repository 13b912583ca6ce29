import DeltaFormat
import DequeModule
import GfapiJob
import Glibc
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
  private let start: Int
  /// The end of the piece, an offset in the file.
  let end: Int
  let digests: BlockDigests
  let runs: [Run]
  /// True if the file has fewer bytes than expected. The missing ones count as zeros.
  let isShort: Bool

  /// Reads a piece.
  ///
  /// - Parameters:
  ///   - known: the digests of its blocks as they were, from its first block on; nil: they were zeros. A block that was not there counts as
  ///     zeros: a restore makes the file longer before it writes.
  init(of file: OpenFile, _ start: Int, _ count: Int, _ known: BlockDigests?) throws(GlusterError) {
    piece = try file.read(count, at: start, expected: count)
    (self.start, end, isShort) = (start, start + count, piece.count < count)
    var (values, runs) = ([UInt64](), [Run]())
    values.reserveCapacity(BlockDigests.count(count))
    for (index, offset) in stride(from: 0, to: count, by: BlockDigests.size).enumerated() {
      let length = min(BlockDigests.size, count - offset)
      let block = UnsafeRawBufferPointer(rebasing: piece.bytes[min(offset, piece.count)..<min(offset + length, piece.count)])
      let isWhole = block.count == length
      // A block that is not whole is rare.
      let digest =
        isWhole
        ? BlockDigests.digest(block)
        : (Array(block) + [UInt8](repeating: 0, count: length - block.count)).withUnsafeBytes(BlockDigests.digest)
      values.append(digest)
      let old: UInt64? =
        if let known, index < known.values.count { known.values[index] } else { nil }
      let isZero = block.allZero
      if old == digest || old == nil && isZero { continue }
      let range = start + offset..<start + offset + length
      if let last = runs.last, last.isZero == isZero, last.range.upperBound == range.lowerBound {
        runs[runs.count - 1].range = last.range.lowerBound..<range.upperBound
      } else {
        runs.append(Run(range: range, isZero: isZero))
      }
    }
    (self.runs, digests) = (runs, BlockDigests(values))
  }

  /// Calls `body` with the bytes of a range of the file; bytes that are missing are zeros.
  func withBytes(of range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void) {
    let (from, to) = (range.lowerBound - start, range.upperBound - start)
    if to <= piece.count { return body(UnsafeRawBufferPointer(rebasing: piece.bytes[from..<to])) }
    let there = Array(piece.bytes[min(from, piece.count)..<piece.count])
    (there + [UInt8](repeating: 0, count: range.count - there.count)).withUnsafeBytes(body)
  }
}

extension UnsafeRawBufferPointer {
  /// True if all bytes are zeros.
  fileprivate var allZero: Bool {
    guard let start = baseAddress, count > 0 else { return true }
    return load(as: UInt8.self) == 0 && memcmp(start, start + 1, count - 1) == 0
  }
}
