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
    var whole: [DeltaPlan.WholeReason?: Int] = [:]
    var deltas = 0
    var carried = 0
    var spared = 0
  }

  private let memory: DeltaMemory
  private let shards: ShardTimes
  private let fetcher: EntryFetcher
  private let calls: JobCalls
  /// The since time of the job, in seconds since 1970; 0: everything is saved.
  private let since: Int
  private let isSnapshot: Bool
  private let report: (Severity, JobMessage) -> Void
  /// True if something could not be kept. No later job builds on this one then.
  private var hasFailed = false
  private var hasReportedShards = false
  private var hasReportedAmbiguity = false
  var counts = Counts()

  /// - Parameter since: the since time of the job, in seconds since 1970; 0: everything is saved.
  /// - Returns: nil if files are stored whole, and no later job can build on them. A message has reported why.
  init?(_ undated: UndatedChanges?, _ session: BackupSession, _ calls: JobCalls, _ daemon: any Daemon, since: Int) {
    (self.fetcher, self.calls, self.since, isSnapshot) = (session.fetcher, calls, since, session.isSnapshot)
    report = { [unowned daemon] in daemon.report($0, $1) }
    func refuse(_ reason: String) { daemon.report(.warning, "GFD-046", "delta=yes has no effect, files are saved whole: \(reason)") }
    guard let shards = fetcher.shards else {
      refuse(fetcher.shardsProblem.map { "the times of shards are not known: \($0)" } ?? "the volume is not sharded (features.shard)")
      return nil
    }
    do {
      guard let memory = try undated?.deltaMemory(calls.volume.definition.line) else { return nil }
      (self.memory, self.shards) = (memory, shards)
    } catch {
      refuse("the state database cannot be used: \(error)")
      return nil
    }
    if since > 0, !daemon.isAccurate {
      refuse("the job is not accurate, so the daemon does not tell which records it has: set Accurate = yes")
    }
  }

  /// What was stored, as text for the job's log.
  var account: String {
    let reasons = DeltaPlan.WholeReason.allCases.compactMap { reason in counts.whole[reason].map { "\($0) \(reason.rawValue)" } }
    return "; of several shards \(counts.whole.values.reduce(0, +)) files whole"
      + (reasons.isEmpty ? "" : " (\(reasons.joined(separator: ", ")))")
      + ", \(counts.deltas) as deltas: \(sizeInWords(Double(counts.carried))) stored, \(sizeInWords(Double(counts.spared))) spared"
  }

  /// Returns true if a file may have several shards: its data are not read before ``begin(_:number:mayBeImage:)``.
  ///
  /// A file with several names is stored whole, because each name has records of its own.
  func concern(_ status: stat) -> Bool {
    status.isRegular && status.st_nlink == 1 && fetcher.shardSize.map { status.st_size > $0 } ?? false
  }

  /// Returns true if a file may have changed although its times and those of its shards are older than the since time: the clock of the client
  /// that wrote may be behind.
  ///
  /// - Parameter number: the number of the delta in the daemon's last record of the path.
  func mayHaveChanged(_ entry: SourceEntry, number: Int?) throws -> Bool {
    guard number != nil, concern(entry.status) else { return false }
    do {
      guard let plan = try plan(entry, number) else { return false }
      guard let base = plan.base else {
        // The last record says nothing about the shards, which may have been written while it was made.
        return plan.shards.stamps.values.contains { max($0.modified, $0.changed) >= (since - DeltaPlan.settling) * 1_000_000_000 }
      }
      if !plan.hasSuspects { memory.saw(base) }
      return plan.hasSuspects
    } catch let failure as Database.Failure {
      fail(failure)
      return false
    }
  }

  /// Begins the record of an entry that is stored.
  ///
  /// - Parameters:
  ///   - number: the number of the delta in the daemon's last record of the path; nil: a delta cannot build on one.
  ///   - mayBeImage: false for an entry that ``concern(_:)`` does not name.
  /// - Returns: nil if the file is stored whole, and no later job can build on it.
  /// - Throws: ``GlusterError`` if the volume is gone, ``JobCalls/Ended``.
  func begin(_ entry: SourceEntry, number: Int?, mayBeImage: Bool) throws -> ImageRecord? {
    do {
      guard mayBeImage, var plan = try plan(entry, number) else {
        try memory.forget(entry.path)
        return nil
      }
      if plan.mayBeLarge, try isLarge(plan, entry) { plan.storeWhole(.large) }
      let state = try memory.begin(plan.gfid, entry.path, on: plan.base, shardSize: plan.shards.size)
      return ImageRecord(plan, state, entry.path, self, memory, calls)
    } catch let error as GlusterError where !error.meansVolumeIsGone {
      // If the file can be read after all, it is stored whole.
      keeping { () throws(Database.Failure) in try memory.forget(entry.path) }
      return nil
    } catch let failure as Database.Failure {
      fail(failure)
      return nil
    }
  }

  /// Returns true if more than half of a file has changed.
  private func isLarge(_ plan: DeltaPlan, _ entry: SourceEntry) throws -> Bool {
    let fetcher = fetcher
    guard let base = plan.base, case .open(let file, _) = try calls.run({ try fetcher.content(of: entry, readsFirst: false) }) else {
      return true
    }
    let comparison = ShardComparison(plan, base, file, calls, memory, width: FileReader.mostPieces)
    var changed = 0
    while let next = try comparison.next() {
      for run in next.piece.runs where !run.isZero { changed += run.range.count }
      if changed * 2 > plan.size { return true }
    }
    return false
  }

  private func plan(_ entry: SourceEntry, _ number: Int?) throws -> DeltaPlan? {
    guard !hasFailed else { return nil }
    let (size, shards) = (Int(entry.status.st_size), shards)
    var now = time(nil)
    let gfid: [UInt8]
    let found: FileShards?
    do {
      (gfid, found) = try calls.run {
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
    guard var fileShards = found, size > fileShards.size, fileShards.size % BlockDigests.size == 0 else { return nil }
    // What a snapshot has was written before this job began, nobody knows how long.
    if isSnapshot { now = min(now, fileShards.latest / 1_000_000_000) - DeltaPlan.settling }
    let base = try since > 0 ? number.flatMap { try memory.base(gfid, entry.path, number: $0, reportAmbiguity) } : nil
    let reason: DeltaPlan.WholeReason? = since > 0 ? (number == nil ? .unlisted : .unknown) : nil
    func plan() -> DeltaPlan {
      DeltaPlan(gfid, size: size, fileShards, on: base, now: now, isNamedByList: entry.isNamedByList, otherwise: reason)
    }
    let first = plan()
    guard !first.newHoles.isEmpty else { return first }
    // The shards were listed earlier than the file was found, which may have grown meanwhile.
    let there = try stamps(first.newHoles, of: gfid)
    fileShards.stamps.merge(there) { $1 }
    return plan()
  }

  private func reportAmbiguity(_ other: String) {
    guard !hasReportedAmbiguity else { return }
    hasReportedAmbiguity = true
    report(
      .warning,
      JobMessage(
        "GFD-048",
        "delta=yes: files are saved whole: the job \(other) saves the same files with the same plugin line, so the records of the two may be taken for one another: give each job a FileSet of its own, with another statedir= in its plugin line"
      ))
  }

  /// Notes that this job looks at the entries of a list of changes only.
  func isListed() { keeping { () throws(Database.Failure) in try memory.isListed() } }

  /// Notes that a path of the list of changes is not there any more.
  func vanished(_ path: VolumePath) { keeping { () throws(Database.Failure) in try memory.forget(vanished: path) } }

  /// Writes the state database, unless that has failed before.
  func keeping(_ body: () throws(Database.Failure) -> Void) {
    guard !hasFailed else { return }
    do { try body() } catch { fail(error) }
  }

  /// Stops keeping what this job stores.
  func fail(_ failure: Database.Failure) {
    guard !hasFailed else { return }
    hasFailed = true
    report(
      .warning,
      JobMessage("GFD-047", "delta=yes: the next job saves files of several shards whole: the state database cannot be used: \(failure)"))
  }

  /// Returns the times of some shards of a file as they are now; without those that do not exist.
  func stamps(_ numbers: [Int], of gfid: [UInt8]) throws -> [Int: ShardStamp] {
    let shards = shards
    return try calls.run { try shards.stamps(numbers, of: gfid) }
  }

  /// Ends the job.
  func end() { keeping { () throws(Database.Failure) in try memory.end() } }
}
