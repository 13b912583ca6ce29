import Gluster
import Testing

@Suite("A volume's type")
struct VolumeTraitsTests {
  let always = ["performance/md-cache", "cluster/distribute", "debug/io-stats", "features/utime"]

  @Test(
    "is told by its translators",
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

  @Test("that is not told is taken for the worst")
  func unknown() {
    let traits = VolumeTraits(translators: [])
    #expect(traits.type == nil && traits.copiesMayDiffer && !traits.listingsTellSizes && !traits.bricksAgreeOnTimes)
  }

  @Test("without the translator utime says that bricks tell times of their own")
  func times() {
    #expect(!VolumeTraits(translators: ["cluster/replicate", "protocol/client"]).bricksAgreeOnTimes)
  }
}
