import Glibc
import GlusterCommand

/// How far back a brick's changelogs reach, and how much disk space they use.
package struct ChangelogReach: Sendable {
  /// `HOST:PATH`.
  package let brick: String
  /// The time since which the brick logs its changes, in seconds since 1970; nil if it does not log them, or its node does not report it.
  package let start: Int?
  /// The disk space that the changelogs use on the brick, in KiB; nil if unknown.
  package let kilobytes: Int?
  /// The reason why nothing is known about the brick; nil if its node answered.
  package let problem: String?

  /// Asks the node of every brick of a volume, by ssh if it is another node.
  ///
  /// - Throws: ``Failure`` or `GlusterCommand.Failure` if this host is not a node of the volume, or the volume is not started,
  ///   `ProgramFailure` if a program cannot be run.
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

  /// Returns the state that `gluster volume rebalance` reports for a volume: `completed`, `in progress`, `not started` …
  ///
  /// - Returns: nil if it reports no state, as for a volume that is not distributed.
  /// - Throws: `GlusterCommand.Failure` if the answer is not XML, `ProgramFailure` if `gluster` cannot be run.
  package static func rebalance(of volume: String) async throws -> String? {
    let result = try await GlusterCommand.ask("volume", "rebalance", volume, "status", "--xml")
    return try GlusterCommand.answer(result.output, of: "gluster volume rebalance \(volume) status").elements("statusStr").last?.text
  }
}
