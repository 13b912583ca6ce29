import DeltaFormat
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster

/// The deltas of a backup (`delta=yes`): decides for each file of several shards whether it is stored whole or as a delta, and keeps what the
/// next job needs for that. Used on the job's thread.
final class Deltas {
  /// How many files and bytes were stored, for the job's log.
  struct Counts {
    var whole = 0
    var deltas = 0
    var carried = 0
    var spared = 0
  }

  private let memory: DeltaMemory
  private let shards: ShardTimes
  private let calls: JobCalls
  private let isIncremental: Bool
  private let report: (Severity, JobMessage) -> Void
  /// True if something could not be kept. No later job builds on this one then.
  private var hasFailed = false
  private var hasReportedShards = false
  fileprivate var counts = Counts()

  /// - Parameter isIncremental: true if the job saves changes, and not everything.
  /// - Returns: nil if files are stored whole, and no later job can build on them. A message has reported why.
  init?(_ undated: UndatedChanges?, _ fetcher: EntryFetcher, _ calls: JobCalls, _ daemon: any Daemon, isIncremental: Bool) {
    (self.calls, self.isIncremental) = (calls, isIncremental)
    report = { [unowned daemon] in daemon.report($0, $1) }
    func refuse(_ reason: String) { daemon.report(.warning, "GFD-046", "delta=yes has no effect, files are saved whole: \(reason)") }
    guard let shards = fetcher.shards else {
      refuse(fetcher.shardsProblem.map { "the times of shards are not known: \($0)" } ?? "the volume is not sharded (features.shard)")
      return nil
    }
    do {
      guard let memory = try undated?.deltaMemory() else { return nil }
      (self.memory, self.shards) = (memory, shards)
    } catch {
      refuse("the state database cannot be used: \(error)")
      return nil
    }
    if isIncremental, !daemon.isAccurate {
      refuse("the job is not accurate, so the daemon does not tell which records it has: set Accurate = yes")
    }
  }

  /// What was stored, as text for the job's log.
  var account: String {
    "; of several shards \(counts.whole) files whole, \(counts.deltas) as deltas: \(sizeInWords(Double(counts.carried))) read, "
      + "\(sizeInWords(Double(counts.spared))) spared"
  }

  /// Returns true if a file may have several shards: its data are not read before ``begin(_:number:)``.
  ///
  /// A file with several names is stored whole, because each name has records of its own.
  static func concern(_ status: stat, smallestShard: Int) -> Bool {
    status.isRegular && status.st_nlink == 1 && status.st_size > smallestShard
  }

  /// Begins the record of an entry that is stored.
  ///
  /// - Parameters:
  ///   - number: the number of the delta in the daemon's last record of the path; nil: a delta cannot build on one.
  ///   - mayBeImage: false for an entry that ``concern(_:smallestShard:)`` does not name.
  /// - Returns: nil if the file is stored whole, and no later job can build on it.
  /// - Throws: ``GlusterError`` if the volume is gone, ``JobCalls/Ended``.
  func begin(_ entry: SourceEntry, number: Int?, mayBeImage: Bool) throws -> ImageRecord? {
    do {
      guard mayBeImage, let plan = try plan(entry, number) else {
        try memory.forget(entry.path)
        return nil
      }
      let state = try memory.begin(plan.gfid, entry.path, on: plan.base, shardSize: plan.shards.size)
      return ImageRecord(plan, state, entry.path, self, memory, calls)
    } catch let failure as Database.Failure {
      fail(failure)
      return nil
    }
  }

  private func plan(_ entry: SourceEntry, _ number: Int?) throws -> DeltaPlan? {
    guard !hasFailed else { return nil }
    let (size, now, shards) = (Int(entry.status.st_size), time(nil), shards)
    let found: (gfid: [UInt8], shards: FileShards)
    do {
      found = try calls.run {
        let gfid = try entry.object.identity()
        return (gfid, try shards.shards(of: gfid))
      }
    } catch let error as GlusterError where !error.meansVolumeIsGone {
      // The error of this file alone is reported when it is read.
      if !error.meansMissing, !hasReportedShards {
        hasReportedShards = true
        report(.warning, JobMessage("GFD-046", "delta=yes: files are saved whole: the times of their shards are not known: \(error)"))
      }
      return nil
    }
    guard size > found.shards.size, found.shards.size % BlockDigests.size == 0 else { return nil }
    let base = try !isIncremental ? nil : number.flatMap { try memory.base(found.gfid, entry.path, number: $0) }
    return DeltaPlan(found.gfid, size: size, found.shards, on: base, now: now)
  }

  /// Stops keeping what this job stores.
  func fail(_ failure: Database.Failure) {
    guard !hasFailed else { return }
    hasFailed = true
    report(
      .warning,
      JobMessage("GFD-047", "delta=yes: the next job saves files of several shards whole: the state database cannot be used: \(failure)"))
  }

  /// Returns the times of some shards of a file as they are now.
  func stamps(_ plan: DeltaPlan) throws -> [Int: ShardStamp] {
    let shards = shards
    return try calls.run { try shards.stamps(plan.read, of: plan.gfid) }
  }

  /// Ends the job.
  func end() {
    guard !hasFailed else { return }
    do { try memory.end() } catch { fail(error) }
  }
}

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
  private var isBroken = false

  init(_ plan: DeltaPlan, _ state: Int64, _ path: VolumePath, _ deltas: Deltas, _ memory: DeltaMemory, _ calls: JobCalls) {
    (self.plan, self.state, self.path, self.deltas, self.memory, self.calls) = (plan, state, path, deltas, memory, calls)
  }

  /// The number of the record on which the delta builds; nil: the file is stored whole.
  var deltaBase: Int? { plan.base?.number }

  /// How many shards are kept at once.
  private static let batch = 64

  private func keeping(_ body: () throws(Database.Failure) -> Void) {
    guard !isBroken else { return }
    do { try body() } catch {
      isBroken = true
      deltas.fail(error)
    }
  }

  /// Begins, once or again, to read a file that is stored whole.
  func beginWhole() {
    if content.size > 0 { keeping { () throws(Database.Failure) in try memory.restart(state) } }
    (content, digests, shardsKept, carried) = (ContentDigest(keepsDigests: true), [], 0, 0)
  }

  /// Begins, once or again, to read a delta.
  func beginDelta(_ file: OpenFile, width: Int) -> DeltaReader? {
    guard let base = plan.base, let header = plan.header else { return nil }
    if carried > 0 { keeping { () throws(Database.Failure) in try memory.restart(state) } }
    carried = 0
    let reader = DeltaReader(plan, base, header, file, calls, memory, width: width)
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
      keepWholeShards()
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
    keeping { () throws(Database.Failure) in try memory.add(shards, to: state) }
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
      keeping { () throws(Database.Failure) in
        try memory.end(state, path, size: plan.size, carried: carried, fingerprint: fingerprint)
      }
      deltas.counts.deltas += 1
      deltas.counts.spared += max(plan.size - carried, 0)
      change = reader.isShort ? "it had \(plan.size) bytes, and has fewer" : try changedShards()
    } else {
      deltas.counts.whole += 1
      let fingerprint = content.end()
      digests += content.takeDigests()
      // A file that was longer or shorter than its record says is stored whole again.
      if content.size == plan.size {
        keepWholeShards(isAtEnd: true)
        keeping { () throws(Database.Failure) in
          try memory.end(state, path, size: plan.size, carried: carried, fingerprint: fingerprint)
        }
      }
    }
    deltas.counts.carried += carried
    return change
  }

  /// Looks at the shards again that were read. A change means that the delta may have a part of it; the next job reads these shards again.
  private func changedShards() throws -> String? {
    let now: [Int: ShardStamp]
    do { now = try deltas.stamps(plan) } catch is GlusterError { return nil }
    let changed = plan.read.count { number in
      let stamp = now[number].flatMap { number > 0 && $0.size == 0 ? nil : $0 }
      return stamp != plan.stamp(of: number)
    }
    return changed > 0 ? "\(changed) of the \(plan.read.count) shards that were read have changed" : nil
  }
}
