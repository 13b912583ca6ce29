import Glibc

/// How far back a brick's changelogs reach, and what they cost.
package struct ChangelogReach: Sendable {
  /// `HOST:PATH`.
  package let brick: String
  /// Since when it logs its changes, in seconds since 1970; nil: it does not, or its node does not tell.
  package let start: Int?
  /// What the changelogs take on its disk, in KiB.
  package let kilobytes: Int?
  /// Why nothing is known.
  package let problem: String?

  /// Asks every brick of a volume, by ssh where it is on another node.
  ///
  /// - Throws: ``Failure`` where this host is no node of the volume, or it is not started.
  package static func ofAll(bricksOf volume: String) async throws -> [ChangelogReach] {
    let volume = try await GlusterVolume(volume)
    var found: [ChangelogReach] = []
    for brick in volume.bricks {
      let folder = GlusterVolume.quoted(brick.path + "/.glusterfs/changelogs")
      let result = try await volume.run("sh", ["-c", "ls -1 \(folder)/htime && du -sk \(folder)"], onNodeOf: brick, within: 60)
      let start = result.output.split(separator: "\n").compactMap { Changelogs.start(inList: $0) }.max()
      let size = result.output.split(separator: "\n").last?.prefix { $0.isNumber }
      found.append(
        ChangelogReach(
          brick: brick.description, start: start, kilobytes: result.isWell ? size.flatMap { Int($0) } : nil,
          problem: result.isWell ? nil : result.isTimedOut ? "no answer within 60 s" : result.lines.suffix(2).joined(separator: " | ")))
    }
    return found
  }

  /// What `gluster volume rebalance` says of a volume: `completed`, `in progress`, `not started` …; nil: it does not tell, as of a volume
  /// that is not distributed.
  package static func rebalance(of volume: String) async throws -> String? {
    try await GlusterVolume.ask("volume", "rebalance", volume, "status", "--xml").output.elements("statusStr").last
  }
}
