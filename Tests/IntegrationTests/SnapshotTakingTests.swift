import Foundation
import SnapshotName
import Testing
import TestSupport

/// The wrapper, which takes snapshots before a job and deletes them after it.
@Suite("Taking snapshots for jobs", .serialized)
struct SnapshotTakingTests {
  private static let volume = "plain-thin"
  private static let run = "nightly.2026-11-27_21.05.00_03"

  private func wrap(
    _ phase: String, _ run: String = run, _ volume: String = volume, _ more: [String] = [], path: String? = nil
  ) throws -> CommandResult {
    let environment = path.map { ["PATH": $0 + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "")] } ?? [:]
    return try Glusterfind.wrap(["--snapshot", run] + more + [phase, volume], environment: environment)
  }

  private func name(_ run: String) -> String { SnapshotName.ofJob(run, volume: Self.volume) }

  private func expectWell(_ result: CommandResult, _ words: String = "") {
    #expect(result.status == 0 && !result.output.contains("GFD-") && (words == "" || result.output.contains(words)), "\(result.output)")
  }

  private func snapshots() throws -> Set<String> {
    let list = try Scratch.gluster("snapshot", "list")
    return list.contains("No snapshots present") ? [] : Set(list.split(separator: "\n").map(String.init))
  }

  /// Makes a folder with one program, for the front of PATH.
  private func folder(with program: String, _ script: String) throws -> String {
    let folder = try Scratch.temporaryFile(".bin")
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Data(("#!/bin/sh\n" + script).utf8).write(to: URL(fileURLWithPath: folder + "/" + program))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder + "/" + program)
    return folder
  }

  struct Obstacle: Sendable, CustomStringConvertible {
    let description: String
    var volume = SnapshotTakingTests.volume
    /// Gluster's reason, and the wrapper's cure.
    let words: [String]
    let make: @Sendable () throws -> Void
    let end: @Sendable () throws -> Void
  }

  static let obstacles = [
    Obstacle(
      description: "no thin volume", volume: "plain",
      words: ["thin provisioned LV", "each brick must be on a thin logical volume of its own"],
      make: {}, end: {}),
    Obstacle(
      description: "no such volume", volume: "none", words: ["Volume (none) does not exist", "correct the name of the volume"], make: {},
      end: {}),
    Obstacle(
      description: "limit reached", words: ["maximum limit of 1", "delete snapshots that nobody needs"],
      make: {
        try Scratch.gluster("snapshot", "create", "obstacle", volume, "no-timestamp")
        try Scratch.gluster("snapshot", "config", volume, "snap-max-hard-limit", "1")
      },
      end: {
        try Scratch.gluster("snapshot", "config", volume, "snap-max-hard-limit", "256")
        try Scratch.gluster("snapshot", "delete", "obstacle")
      }),
    Obstacle(
      description: "brick down", words: ["One or more bricks are not running", "Please start the stopped brick"],
      make: { try Scratch.killBrick(volume) }, end: { try Scratch.startBricks(volume) }),
    Obstacle(
      description: "no room in the pool", words: ["Commit failed on", "whether the pool has room (lvs)"],
      make: { try Data("Thin pool bricks/pool is full".utf8).write(to: URL(fileURLWithPath: "/mnt/thin/fail")) },
      end: { try FileManager.default.removeItem(atPath: "/mnt/thin/fail") }),
    Obstacle(
      description: "no node", words: ["Connection failed", "run this on a node of the volume, or give one with --node"],
      make: { try Scratch.killGlusterd() }, end: { try Scratch.startGlusterd() }),
  ]

  @Test("a snapshot that cannot be taken fails the job with the reason and the cure, or with --or-live is a warning", arguments: obstacles)
  func refused(_ obstacle: Obstacle) throws {
    for volume in [Self.volume, "plain"] { _ = try Scratch.mount(volume) }
    let before = try snapshots()
    try obstacle.make()
    let refused = try wrap("prebackup", Self.run, obstacle.volume)
    let live = try wrap("prebackup", Self.run, obstacle.volume, ["--or-live"])
    let node = obstacle.description != "no node"
    let after = node ? try wrap("postbackup", Self.run, obstacle.volume) : refused
    try obstacle.end()
    #expect(refused.status == 1 && refused.output.contains(": GFD-112 no snapshot of the volume \(obstacle.volume) can be taken: "))
    #expect(live.status == 0 && live.output.contains(": GFD-112 WARNING: no snapshot of the volume "), "\(live.output)")
    #expect(live.output.contains("the volume itself is backed up, and may change meanwhile (--or-live)"), "\(live.output)")
    for words in obstacle.words {
      #expect(refused.output.contains(words), "\(refused.output)")
      #expect(live.output.contains(words), "\(live.output)")
    }
    // What comes after the job has nothing to delete.
    if node { #expect(after.status == 0 && after.output == "", "\(after.output)") }
    #expect(try snapshots() == before)
  }

  /// Kills the wrapper, which runs `timeout`, which runs this command.
  private static let killWrapper = "kill -9 $(ps -o ppid= -p $PPID)"

  @Test("the next run of a job deletes what a killed run has left, and nothing of others")
  func killed() throws {
    _ = try Scratch.mount(Self.volume)
    try Scratch.gluster("snapshot", "create", "mine", Self.volume, "no-timestamp")
    defer { _ = try? Scratch.gluster("snapshot", "delete", "mine") }
    let other = "other.2026-11-27_21.05.00_04"
    expectWell(try wrap("prebackup", other))
    let others = try snapshots()
    #expect(others == ["mine", name(other)])
    // The wrapper asks gluster for the snapshots, creates one, and activates it.
    for call in 1...3 {
      for isAfter in [false, true] {
        let count = try Scratch.temporaryFile(".count")
        let folder = try folder(
          with: "gluster",
          """
          echo >> '\(count)'
          [ $(wc -l < '\(count)') != \(call) ] || { \(isAfter ? "/usr/sbin/gluster \"$@\";" : "") \(Self.killWrapper); exit; }
          exec /usr/sbin/gluster "$@"
          """)
        let run = "nightly.2026-11-27_21.05.00_\(call)\(isAfter ? 1 : 0)"
        let killed = try wrap("prebackup", run, path: folder)
        #expect(killed.status == SIGKILL, "\(killed.status) \(killed.output)")
        let isLeft = call > 2 || call == 2 && isAfter
        let left = others.union(isLeft ? [name(run)] : [])
        #expect(try eventually { try snapshots() == left })
        expectWell(
          try wrap("prebackup"), isLeft ? "\(name(run)), which an earlier run of the job has left, is deleted" : "is taken")
        #expect(try snapshots() == others.union([name(Self.run)]))
        expectWell(try wrap("postbackup"), "is deleted")
        #expect(try snapshots() == others)
      }
    }
    // Killed after the job, before or after the snapshot is gone.
    for isAfter in [false, true] {
      expectWell(try wrap("prebackup"))
      let folder = try folder(
        with: "gluster", (isAfter ? "/usr/sbin/gluster \"$@\"\n" : "") + Self.killWrapper)
      #expect(try wrap("postbackup", path: folder).status == SIGKILL)
      expectWell(try wrap("prebackup", "nightly.2026-11-28_21.05.00_05"))
      expectWell(try wrap("postbackup", "nightly.2026-11-28_21.05.00_05"))
      #expect(try snapshots() == others)
    }
    expectWell(try wrap("postbackup", other), "is deleted")
  }

  @Test("jobs on one volume take and delete their snapshots at the same time")
  func atOnce() throws {
    _ = try Scratch.mount(Self.volume)
    let runs = (1...4).map { "job\($0).2026-11-27_21.05.00_0\($0)" }
    let before = try snapshots()
    for phase in ["prebackup", "postbackup"] {
      let results = try runs.map { run in
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Glusterfind.wrapper)
        process.arguments = ["--snapshot", run, phase, Self.volume]
        try process.run()
        return process
      }
      for process in results {
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
      }
      #expect(try snapshots() == before.union(phase == "prebackup" ? runs.map(name) : []))
    }
  }

  /// A stand-in for ssh runs the command on this host.
  @Test(
    "a snapshot is taken on another node by ssh as root, or as the user that --node names",
    arguments: [("n1", "root@n1"), ("op@n2", "op@n2")])
  func node(_ node: String, _ login: String) throws {
    _ = try Scratch.mount(Self.volume)
    let log = try Scratch.temporaryFile(".log")
    let folder = try folder(
      with: "ssh",
      """
      while case "$1" in -*) true ;; *) false ;; esac; do shift; done
      echo "$1" >> '\(log)'; shift; exec sh -c "$*"
      """)
    expectWell(try wrap("prebackup", Self.run, Self.volume, ["--node", node], path: folder), "is taken")
    #expect(try snapshots().contains(name(Self.run)))
    let description = try Scratch.gluster("snapshot", "info", name(Self.run))
    #expect(description.contains("taken by gfapi-fd for the job nightly of the client "), "\(description)")
    expectWell(try wrap("postbackup", Self.run, Self.volume, ["--node", node], path: folder), "is deleted")
    #expect(Set(try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").map(String.init)) == [login])
  }

  @Test("a snapshot is deleted if the list cannot be made")
  func listFails() throws {
    let volume = "plain-thin-logged"
    _ = try Scratch.mount(volume)
    let folder = try folder(with: "glusterfind", "echo 'an error of the test' >&2; exit 1")
    let list = try Scratch.temporaryFile(".list")
    let before = try snapshots()
    let result = try Glusterfind.wrap(
      ["--strict", "-l", "Incremental", "-s", "\(time(nil))", "--snapshot", Self.run, "prebackup", volume, list],
      environment: ["PATH": folder + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "")])
    #expect(result.status == 1 && result.output.contains("GFD-101"), "\(result.output)")
    #expect(try snapshots() == before)
  }
}
