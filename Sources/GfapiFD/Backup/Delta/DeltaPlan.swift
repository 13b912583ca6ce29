import DeltaFormat
import Glibc
import Gluster

/// Which shards of a file a backup reads, and whether it stores a delta or the whole file.
///
/// A shard whose times or size differ from those that an earlier job saw has changed. A shard that is the same may have changed all the same:
/// Gluster never sets a time of a shard back, so a write by a client whose clock is behind leaves a time that is later than the write. Therefore
/// a shard whose times were nearly as late as its reading, or later, is not settled, and the next job reads it again. Whatever is read, only the
/// blocks that differ are stored.
struct DeltaPlan: Sendable {
  /// How much the clocks of this host and of the clients may differ, in seconds.
  static let settling = 60
  /// How many deltas build on one whole file at most.
  static let mostDeltas = 30

  /// Why an incremental job stores a file whole, as the job's log says it.
  enum WholeReason: String, CaseIterable {
    /// The daemon's list does not have the path, or the job is not accurate.
    case unlisted = "not in the daemon's list"
    /// The plugin does not know the daemon's last record of the path.
    case unknown = "not known from the last job"
    case large = "changed by more than half"
    case tooMany = "after 30 deltas"
  }

  let gfid: [UInt8]
  /// In bytes.
  let size: Int
  let shards: FileShards
  /// What a delta builds on; nil: the file is stored whole.
  private(set) var base: DeltaMemory.Base?
  /// Why the file is stored whole; nil: it is not, or everything is saved.
  private(set) var wholeReason: WholeReason?
  /// The shards that a delta reads, in order.
  private(set) var read: [Int] = []
  /// The shards beyond the size of `base` that do not exist: zeros, which a restore makes by itself.
  private(set) var newHoles: [Int] = []
  /// True if a shard has other times than before, or is not settled: the file may have changed.
  private(set) var hasSuspects = false
  /// A shard with a time from this one on, in nanoseconds since 1970, is not settled.
  private let unsettled: Int

  /// - Parameters:
  ///   - size: of the file, in bytes.
  ///   - now: in seconds since 1970, by this host's clock, before the file is read.
  ///   - isNamedByList: true if a list of changes names the file.
  ///   - reason: why the file is stored whole if there is no `base`; nil: everything is saved.
  init(
    _ gfid: [UInt8], size: Int, _ shards: FileShards, on base: DeltaMemory.Base?, now: Int, isNamedByList: Bool = false,
    otherwise reason: WholeReason? = nil
  ) {
    (self.gfid, self.size, self.shards, wholeReason) = (gfid, size, shards, reason)
    unsettled = (now - Self.settling) * 1_000_000_000
    if let base { plan(on: base, isNamedByList) }
  }

  private mutating func plan(on base: DeltaMemory.Base, _ isNamedByList: Bool) {
    guard base.number < Self.mostDeltas else { return wholeReason = .tooMany }
    guard base.shardSize == shards.size else { return }
    // The last block of the shorter file goes on in the longer one.
    let (shorter, isCut) = (min(base.size, size), base.size != size)
    for number in 0..<count {
      let (start, stamp) = (number * shards.size, shards[number])
      guard let known = base.shards[number] else {
        // What is known is not all of the file.
        guard start >= base.size else { return (read, newHoles) = ([], []) }
        if stamp == nil { newHoles.append(number) } else { read.append(number) }
        continue
      }
      let isSuspect = known.stamp != stamp || !known.isSettled
      if isSuspect || isCut && start < shorter && shorter < start + shards.size { read.append(number) }
      hasSuspects = hasSuspects || isSuspect
    }
    hasSuspects = hasSuspects || isCut
    // A hole that frees no block of the bricks changes nothing that a client sees, but the wrapper's list has the file.
    if isNamedByList { read = Array(0..<count) }
    (self.base, wholeReason) = (base, nil)
  }

  /// True if a delta may become larger than half of the file: to know that, the shards are compared first.
  var mayBeLarge: Bool { base != nil && read.reduce(0) { $0 + range(of: $1).count } * 2 > size }

  /// Stores the file whole.
  mutating func storeWhole(_ reason: WholeReason) { (base, read, newHoles, wholeReason) = (nil, [], [], reason) }

  /// The number of shards, including those that do not exist.
  var count: Int { (size + shards.size - 1) / shards.size }

  /// The range of a shard in the file.
  func range(of number: Int) -> Range<Int> { number * shards.size..<min((number + 1) * shards.size, size) }

  /// Returns what to keep of a shard that has been read.
  ///
  /// - Parameter digests: of its blocks; empty: all of them are zeros.
  func readShard(_ number: Int, _ digests: BlockDigests) -> DeltaMemory.ReadShard {
    let (stamp, range) = (shards[number], range(of: number))
    let isZero = range.count % BlockDigests.size == 0 && digests.values.allSatisfy { $0 == BlockDigests.ofZeros }
    return DeltaMemory.ReadShard(
      number: number, stamp: stamp, isSettled: stamp.map { max($0.modified, $0.changed) < unsettled } ?? true,
      digests: isZero ? nil : digests)
  }

  /// Returns the digests of a shard of zeros.
  func zeros(_ number: Int) -> BlockDigests {
    let count = range(of: number).count
    var digests = BlockDigests([UInt64](repeating: BlockDigests.ofZeros, count: count / BlockDigests.size))
    if count % BlockDigests.size > 0 {
      digests.values.append([UInt8](repeating: 0, count: count % BlockDigests.size).withUnsafeBytes(BlockDigests.digest))
    }
    return digests
  }

  /// The header of the delta.
  var header: DeltaHeader? {
    base.map { base in
      DeltaHeader(
        number: UInt32(base.number + 1), identity: gfid, sizeBefore: base.size, size: size, fingerprintBefore: base.fingerprint,
        jobBefore: base.job)
    }
  }
}
