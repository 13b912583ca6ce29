import Testing

@testable import Gluster

@Suite("The names of shards")
struct ShardTimesTests {
  @Test(
    "The name of a shard contains the identity (GFID) of its file",
    arguments: [
      ("2b0f1c3e-9a4d-4c55-8f00-0123456789ab.1", true), ("2b0f1c3e-9a4d-4c55-8f00-0123456789ab.16383", true),
      ("2b0f1c3e-9a4d-4c55-8f00-0123456789ab.", false), ("2b0f1c3e-9a4d-4c55-8f00-0123456789ab", false),
      ("2b0f1c3e-9a4d-4c55-8f00-0123456789ab.x", false), (".remove_me", false), ("", false), (".", false),
    ])
  func identity(_ name: String, _ isShard: Bool) {
    let found = ShardTimes.identity(Array(name.utf8))
    #expect(found?.identity == (isShard ? Array(name.utf8.prefix(36)) : nil))
    #expect(found?.number == (isShard ? Int(name.dropFirst(37)) : nil))
  }
}
