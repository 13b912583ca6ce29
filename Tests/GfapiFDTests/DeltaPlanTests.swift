import DeltaFormat
import Gluster
import Testing

@testable import GfapiBackup

@Suite("Which shards a delta reads")
struct DeltaPlanTests {
  private static let shardSize = 4 << 20
  private static let now = 1_800_000_000

  private static func stamp(_ seconds: Int, size: Int = shardSize, allocated: Int = shardSize, changed: Int? = nil) -> ShardStamp {
    ShardStamp(modified: seconds * 1_000_000_000, changed: (changed ?? seconds) * 1_000_000_000, size: size, allocated: allocated)
  }

  private static let old = stamp(now - 1000)

  /// What an earlier job stored: shards of these times, all of them settled unless named.
  private func base(
    _ stamps: [ShardStamp?], size: Int? = nil, unsettled: Set<Int> = [], number: Int = 0, shardSize: Int = shardSize
  ) -> DeltaMemory.Base {
    let shards = stamps.enumerated().map { ($0, DeltaMemory.Shard(stamp: $1, isSettled: !unsettled.contains($0), state: 1)) }
    return DeltaMemory.Base(
      id: 1, number: number, size: size ?? stamps.count * Self.shardSize, shardSize: shardSize,
      fingerprint: [UInt8](repeating: 0, count: 16),
      job: "job", shards: Dictionary(uniqueKeysWithValues: shards))
  }

  private func plan(_ stamps: [ShardStamp?], size: Int? = nil, on base: DeltaMemory.Base?, isNamedByList: Bool = false) -> DeltaPlan {
    let there = stamps.enumerated().compactMap { number, stamp in stamp.map { (number, $0) } }
    return DeltaPlan(
      [UInt8](repeating: 1, count: 16), size: size ?? stamps.count * Self.shardSize,
      FileShards(size: Self.shardSize, stamps: Dictionary(uniqueKeysWithValues: there), latest: 0), on: base, now: Self.now,
      isNamedByList: isNamedByList)
  }

  @Test("A shard of the same times, size and blocks is not read")
  func same() {
    let plan = plan([Self.old, Self.old, nil], on: base([Self.old, Self.old, nil]))
    #expect(plan.base != nil && plan.read == [] && !plan.hasSuspects)
  }

  @Test(
    "A shard of which anything differs is read, whether it is later or earlier",
    arguments: [
      stamp(now - 500), stamp(now - 5000), stamp(now - 1000, changed: now - 999), stamp(now - 1000, size: 100),
      stamp(now - 1000, allocated: 4096),
      nil,
    ])
  func differs(_ stamp: ShardStamp?) {
    let plan = plan([Self.old, stamp, Self.old], on: base([Self.old, Self.old, Self.old]))
    #expect(plan.base != nil && plan.read == [1] && plan.hasSuspects)
  }

  @Test("A shard that came to be is read, an empty one is a hole")
  func cameToBe() {
    #expect(plan([Self.old, Self.old], on: base([Self.old, nil])).read == [1])
    #expect(plan([Self.old, Self.stamp(Self.now, size: 0, allocated: 0)], on: base([Self.old, nil])).read == [])
  }

  @Test("A shard that was written shortly before it was read is read again")
  func unsettled() {
    #expect(plan([Self.old, Self.old], on: base([Self.old, Self.old], unsettled: [1])).read == [1])
    func isSettled(_ stamp: ShardStamp?) -> Bool {
      plan([Self.old, stamp], on: nil).readShard(1, BlockDigests([7])).isSettled
    }
    #expect(isSettled(Self.stamp(Self.now - 61)) && isSettled(nil))
    #expect(!isSettled(Self.stamp(Self.now - 60)) && !isSettled(Self.stamp(Self.now)) && !isSettled(Self.stamp(Self.now + 86400)))
    #expect(!isSettled(Self.stamp(Self.now - 1000, changed: Self.now - 1)))
  }

  @Test("A new end within a shard makes it read; beyond it, only shards that exist are")
  func sizes() {
    let grown = plan(
      [Self.old, Self.old, nil, Self.old], size: 4 * Self.shardSize - 5, on: base([Self.old, Self.old], size: 2 * Self.shardSize - 100))
    #expect(grown.read == [1, 3] && grown.newHoles == [2])
    let cut = plan([Self.old, Self.old], size: 2 * Self.shardSize - 100, on: base([Self.old, Self.old, Self.old]))
    #expect(cut.read == [1] && cut.hasSuspects)
    #expect(plan([Self.old, Self.old], on: base([Self.old, Self.old, Self.old])).read == [])
    #expect(plan([Self.old, Self.old, nil], on: base([Self.old, Self.old])).read == [])
  }

  @Test("A file is stored whole after thirty deltas, with other shards, and if not all of it is known")
  func whole() {
    let two = [Self.old, Self.old]
    #expect(plan(two, on: base(two, number: 29)).base != nil)
    #expect(plan(two, on: base(two, number: 30)).base == nil)
    #expect(plan(two, on: base(two, shardSize: 1 << 20)).base == nil)
    #expect(plan(two, on: base([Self.old], size: 2 * Self.shardSize)).base == nil)
    #expect(plan(two, on: nil).base == nil)
  }

  @Test("A file that a list names is read as a whole, and stored as a delta")
  func listed() {
    let two = [Self.old, Self.old]
    #expect(plan(two, on: base(two), isNamedByList: true).read == [0, 1])
    #expect(plan([Self.old, Self.stamp(Self.now)], on: base(two), isNamedByList: true).read == [0, 1])
  }

  @Test("Where more than half may have changed, the shards are compared first")
  func half() {
    let (four, new) = ([Self.old, Self.old, Self.old, Self.old], Self.stamp(Self.now - 100))
    #expect(!plan([new, new, Self.old, Self.old], on: base(four)).mayBeLarge)
    #expect(plan([new, new, Self.old, new], on: base(four)).mayBeLarge)
  }

  @Test("A shard of zeros is kept without its digests, unless its last block is not whole")
  func zeros() {
    let plan = plan([Self.old, nil, nil], size: 2 * Self.shardSize + 100, on: nil)
    #expect(plan.readShard(1, plan.zeros(1)).digests == nil)
    #expect(plan.zeros(1).values == [UInt64](repeating: BlockDigests.ofZeros, count: Self.shardSize / BlockDigests.size))
    #expect(plan.readShard(2, plan.zeros(2)).digests?.values.count == 1)
  }
}
