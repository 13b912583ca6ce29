import Glibc
import GlusterCommand
import Programs

/// Checks whether snapshots of a volume can be taken, and how many.
package enum SnapshotNeeds {
  private static let subject = "snapshots"

  /// - Parameters:
  ///   - volume: name of the volume, as libgfapi has connected to it: letters, digits, `-` and `_`.
  ///   - isWanted: true if the plugin line says that a job reads a snapshot of its own.
  package static func look(_ volume: String, isWanted: Bool, into findings: inout Findings) {
    guard let counts = ask("snapshot", "info", "volume", volume)?.elements("originVolume").first,
      let taken = counts.elements("snapCount").first?.text, let left = counts.elements("snapRemaining").first?.text,
      let status = ask("volume", "status", volume, "detail")
    else {
      findings.add(subject, "not known: gluster answers only on a node of the volume")
      return
    }
    let bricks = status.elements("node").compactMap { node -> Brick? in
      guard let path = node.elements("path").first?.text, let device = node.elements("device").first?.text, access(path, F_OK) == 0 else {
        return nil
      }
      // Gluster 11 takes snapshots of ZFS.
      let isZFS = node.elements("fsName").first?.text == "zfs"
      return Brick(path: path, device: device, isThin: isZFS ? true : isThin(device))
    }
    look(taken: taken, left: left, bricks, isWanted: isWanted, into: &findings)
  }

  /// A brick of this node.
  struct Brick {
    let path: String
    let device: String
    /// True if the brick is on a thin logical volume, or on ZFS; nil if `lvs` cannot be run.
    let isThin: Bool?
  }

  /// Asks for the pool of a logical volume, as Gluster itself does.
  private static func isThin(_ device: String) -> Bool? {
    guard isInPath("lvs") else { return nil }
    let pool = outputOfProgram("lvs", ["--noheadings", "-o", "pool_lv", device], within: 30)
    return pool?.contains { !$0.isWhitespace } ?? false
  }

  /// - Parameters:
  ///   - taken: the number of snapshots.
  ///   - left: the number of snapshots that the limits still allow.
  ///   - bricks: those of this node.
  static func look(taken: String, left: String, _ bricks: [Brick], isWanted: Bool, into findings: inout Findings) {
    let counts = "\(taken) taken, \(left) more allowed"
    func cannot(_ reason: String, cure: String) {
      if isWanted {
        findings.add(.problem, subject, "\(counts); none can be taken: \(reason)", cure: cure)
      } else {
        findings.add(subject, "\(counts); none can be taken: \(reason)")
      }
    }
    if let brick = bricks.first(where: { $0.isThin == nil }) {
      cannot("lvs is not there to tell what the brick \(brick.path) is on", cure: "install lvm2 on each node of the volume")
    } else if let brick = bricks.first(where: { $0.isThin == false }) {
      cannot(
        "the brick \(brick.path) is on \(brick.device), which is no thin logical volume",
        cure: "move each brick to a thin logical volume of its own: see docs/snapshots.md")
    } else if left == "0" {
      cannot("the limit is reached", cure: "delete snapshots that nobody needs (gluster snapshot list)")
    } else {
      findings.add(subject, "\(counts); the bricks of this node are on file systems that have them")
    }
  }

  private static func ask(_ arguments: String...) -> XMLDocument? {
    guard let output = outputOfProgram("gluster", ["--mode=script"] + arguments + ["--xml"], within: 30),
      let answer = try? GlusterCommand.answer(output, of: "gluster"), answer.refusal == nil
    else { return nil }
    return answer
  }
}
