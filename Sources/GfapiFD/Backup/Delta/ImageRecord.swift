import DeltaFormat
import GfapiJob
import Gluster

/// The record of a file of several shards: the whole file, or a delta. Used on the job's thread.
final class ImageRecord {
  let plan: DeltaPlan
  private let state: Int64
  private let path: VolumePath
  private let deltas: Deltas
  private let memory: DeltaMemory
  private let calls: JobCalls
  private var content = ContentDigest(keepsDigests: true)
  private var digests: [UInt64] = []
  private var shardsKept = 0
  private var reader: DeltaReader?
  private var carried = 0

  init(_ plan: DeltaPlan, _ state: Int64, _ path: VolumePath, _ deltas: Deltas, _ memory: DeltaMemory, _ calls: JobCalls) {
    (self.plan, self.state, self.path, self.deltas, self.memory, self.calls) = (plan, state, path, deltas, memory, calls)
  }

  /// The number of the record on which the delta builds; nil: the file is stored whole.
  var deltaBase: Int? { plan.base?.number }

  /// How many shards, or digests of a whole file, are kept at once: each time takes a few milliseconds of the disk.
  private static let (batch, digestBatch) = (64, 256 << 10)

  /// Reports that the state database cannot be used.
  func fail(_ failure: Database.Failure) { deltas.fail(failure) }

  /// Begins, once or again, to read a file that is stored whole.
  func beginWhole() {
    if content.size > 0 { deltas.keeping { () throws(Database.Failure) in try memory.restart(state) } }
    (content, digests, shardsKept, carried) = (ContentDigest(keepsDigests: true), [], 0, 0)
  }

  /// Begins, once or again, to read a delta.
  func beginDelta(_ file: OpenFile, width: Int) -> DeltaReader? {
    guard let base = plan.base, let header = plan.header else { return nil }
    if carried > 0 { deltas.keeping { () throws(Database.Failure) in try memory.restart(state) } }
    carried = 0
    let reader = DeltaReader(ShardComparison(plan, base, file, calls, memory, width: width), header)
    self.reader = reader
    return reader
  }

  /// Takes the bytes of the record that the daemon has got.
  func took(_ bytes: UnsafeRawBufferPointer) {
    carried += bytes.count
    if let reader {
      if reader.readShards.count >= Self.batch { keep(reader.takeShards()) }
    } else {
      content.add(bytes)
      digests += content.takeDigests()
      if digests.count >= Self.digestBatch { keepWholeShards() }
    }
  }

  /// Keeps the shards of which all blocks have come.
  private func keepWholeShards(isAtEnd: Bool = false) {
    let blocks = plan.shards.size / BlockDigests.size
    var (shards, used) = ([DeltaMemory.ReadShard](), 0)
    while shardsKept < plan.count, used < digests.count, isAtEnd || digests.count - used >= blocks {
      let count = min(blocks, digests.count - used)
      shards.append(plan.readShard(shardsKept, BlockDigests(Array(digests[used..<used + count]))))
      used += count
      shardsKept += 1
    }
    guard !shards.isEmpty else { return }
    digests.removeFirst(used)
    keep(shards)
  }

  private func keep(_ shards: [DeltaMemory.ReadShard]) {
    deltas.keeping { () throws(Database.Failure) in try memory.add(shards, to: state) }
  }

  /// Ends the record, after the daemon has read all of it.
  ///
  /// - Returns: what has changed while the file was read; nil: nothing that is known.
  /// - Throws: ``JobCalls/Ended``.
  func end() throws -> String? {
    var change: String?
    if let reader {
      guard let fingerprint = reader.fingerprint else { return nil }
      keep(reader.takeShards())
      deltas.keeping { () throws(Database.Failure) in
        try memory.end(state, path, size: plan.size, fingerprint: fingerprint)
      }
      deltas.counts.deltas += 1
      deltas.counts.spared += max(plan.size - carried, 0)
      change = reader.isShort ? "it had \(plan.size) bytes, and has fewer" : try changedShards()
    } else {
      deltas.counts.whole[plan.wholeReason, default: 0] += 1
      let fingerprint = content.end()
      digests += content.takeDigests()
      // A file that was longer or shorter than its record says is stored whole again.
      if content.size == plan.size {
        keepWholeShards(isAtEnd: true)
        deltas.keeping { () throws(Database.Failure) in
          try memory.end(state, path, size: plan.size, fingerprint: fingerprint)
        }
      }
    }
    deltas.counts.carried += carried
    return change
  }

  /// Looks at the shards again that were read. A change means that the delta may have a part of it; the next job reads these shards again.
  private func changedShards() throws -> String? {
    var now = plan.shards
    do { now.stamps = try deltas.stamps(plan.read, of: plan.gfid) } catch is GlusterError { return nil }
    let changed = plan.read.count { now[$0] != plan.shards[$0] }
    return changed > 0 ? "\(changed) of the \(plan.read.count) shards that were read have changed" : nil
  }
}
