import Gluster
import Testing

@Suite("The type of a volume")
struct VolumeTraitsTests {
  let always = ["performance/md-cache", "cluster/distribute", "debug/io-stats", "features/utime"]

  @Test(
    "The type of a volume follows from its translators",
    arguments: [
      (["protocol/client"], "plain", 1),
      (["protocol/client", "protocol/client"], "distributed", 2),
      (["cluster/replicate"] + Array(repeating: "protocol/client", count: 3), "replicated", 3),
      (["cluster/disperse"] + Array(repeating: "protocol/client", count: 3), "dispersed", 3),
      (["cluster/replicate", "cluster/replicate"] + Array(repeating: "protocol/client", count: 6), "distributed, replicated", 6),
      (["features/shard", "protocol/client"], "sharded", 1),
    ] as [([String], String, Int)])
  func types(_ translators: [String], _ type: String, _ bricks: Int) {
    let traits = VolumeTraits(translators: always + translators)
    #expect(traits.type == type)
    #expect(traits.bricks == bricks)
    #expect(traits.listingsTellSizes == !type.contains("dispersed"))
    #expect(traits.copiesMayDiffer == type.contains("replicated"))
    #expect(traits.bricksAgreeOnTimes)
  }

  @Test("An unknown volume type gets the most cautious assumptions")
  func unknown() {
    let traits = VolumeTraits(translators: [])
    #expect(traits.type == nil && traits.copiesMayDiffer && !traits.listingsTellSizes && !traits.bricksAgreeOnTimes)
  }

  @Test("Without the translator utime, the bricks of a volume may return different times")
  func times() {
    #expect(!VolumeTraits(translators: ["cluster/replicate", "protocol/client"]).bricksAgreeOnTimes)
  }
}
