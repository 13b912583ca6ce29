import Testing

@testable import SetupCheck

@Suite("The check of what snapshots require")
struct SnapshotNeedsTests {
  func found(_ isThin: [Bool?], left: String = "255", isWanted: Bool = true) -> [Findings.Finding] {
    var findings = Findings()
    let bricks = isThin.enumerated().map { SnapshotNeeds.Brick(path: "/b\($0)", device: "/dev/d\($0)", isThin: $1) }
    SnapshotNeeds.look(taken: "1", left: left, bricks, isWanted: isWanted, into: &findings)
    return findings.all
  }

  @Test("Snapshots are possible if every brick of this node is on a thin volume, and the limit is not reached")
  func possible() {
    let found = found([true, true])
    #expect(found.count == 1 && found[0].verdict == .well)
    #expect(found[0].text == "1 taken, 255 more allowed; the bricks of this node are on file systems that have them")
  }

  @Test(
    "What prevents snapshots is a problem if the job reads one, and otherwise only said",
    arguments: [
      ([true, false], "255", "none can be taken: the brick /b1 is on /dev/d1, which is no thin logical volume"),
      ([nil], "255", "none can be taken: lvs is not there"), ([true], "0", "none can be taken: the limit is reached"),
    ] as [([Bool?], String, String)])
  func impossible(_ isThin: [Bool?], _ left: String, _ words: String) {
    for isWanted in [true, false] {
      let found = found(isThin, left: left, isWanted: isWanted)
      #expect(found.count == 1 && found[0].text.contains(words), "\(found)")
      #expect(found[0].verdict == (isWanted ? .problem : .well))
      #expect((found[0].cure != nil) == isWanted)
    }
  }
}
