import Foundation
import Testing
import TestSupport

/// The jobs are those of the folder examples. The snapshots are Gluster's own; scripts/thin-stand-in stands in for thin LVM.
@Suite("Jobs of real daemons that read a snapshot of their own", .serialized)
struct SnapshotJobTests {
  private static let volume = "plain-thin"

  /// A daemon family: runs the job `snapshot` and a restore, and returns the log.
  private struct Daemons {
    /// Runs the job with a level.
    let backUp: (String) throws -> String
    /// Restores everything into a directory of the volume.
    let restore: (String) throws -> String
    /// Starts a full backup, runs a closure, cancels the job and waits for its end.
    let cancelled: (() throws -> Void) throws -> String
  }

  @Test("Bacula's jobs see one moment of the volume, and leave no snapshot")
  func bacula() throws {
    let folder = try Scratch.folder(on: Self.volume)
    let bacula = try Bacula(Bacula.line(Self.volume, folder.path + "/tree"), snapshot: Self.volume)
    try jobs(
      folder,
      Daemons(
        backUp: { try bacula.job("run job=snapshot level=\($0) yes").text },
        restore: {
          try bacula.job("restore client=client restorejob=restore fileset=Snapshot where=\($0) select current all done yes").text
        },
        cancelled: { body in
          let job = try bacula.start("run job=snapshot level=Full yes")
          try body()
          _ = try bacula.console("cancel jobid=\(job) yes")
          return try bacula.finish(job).text
        }))
    try bacula.end()
  }

  @Test("The next job deletes the snapshot of a job that ended with Bacula's file daemon", .soak)
  func killed() throws {
    let folder = try Scratch.folder(on: Self.volume)
    #expect(try run("sh", "-ec", "mkdir '\(folder.local)/tree'; head -c 100000000 /dev/zero > '\(folder.local)/tree/large'").status == 0)
    let bacula = try Bacula(Bacula.line(Self.volume, folder.path + "/tree"), snapshot: Self.volume)
    let job = try bacula.start("run job=snapshot level=Full yes")
    let isTaken = try eventually { try !Scratch.gluster("snapshot", "list", Self.volume).contains("No snapshots present") }
    #expect(isTaken)
    try bacula.restartFileDaemon()
    #expect(try bacula.finish(job).termination != "Backup OK")
    #expect(try !Scratch.gluster("snapshot", "list", Self.volume).contains("No snapshots present"))
    let next = try bacula.job("run job=snapshot level=Full yes").text
    expectSnapshot(next)
    #expect(next.contains("which an earlier run of the job has left, is deleted"), "\(next)")
    #expect(try Scratch.gluster("snapshot", "list", Self.volume).contains("No snapshots present"))
    try bacula.end()
  }

  @Test("Bareos's jobs see one moment of the volume, and leave no snapshot", arguments: Bareos.trees)
  func bareos(_ tree: String) throws {
    let folder = try Scratch.folder(on: Self.volume)
    let bareos = try Bareos(
      tree, line: #"gfapi:volume=gluster\\://scratch/"# + Self.volume + folder.path + "/tree:", snapshot: Self.volume)
    try jobs(
      folder,
      Daemons(
        backUp: { try bareos.console("run job=snapshot level=\($0) yes", "wait", "messages") },
        restore: {
          try bareos.console(
            "restore client=client restorejob=restore fileset=GlusterSnapshot where=\($0) select current all done yes", "wait", "messages")
        },
        cancelled: { body in
          _ = try bareos.console("run job=snapshot level=Full yes")
          try body()
          return try bareos.console("cancel job=snapshot yes", "wait", "messages")
        }))
  }

  private func jobs(_ folder: (local: String, path: String), _ daemons: Daemons) throws {
    let tree = folder.local + "/tree"
    func change(_ script: String) throws {
      #expect(try run("sh", "-ec", "cd '\(tree)'; \(script)").status == 0)
      nextSecond()
    }
    func snapshots() throws -> String { try Scratch.gluster("snapshot", "list", Self.volume) }
    func wrap(_ job: String, _ phase: String) throws {
      let result = try Glusterfind.wrap(["--snapshot", job, phase, Self.volume])
      #expect(result.status == 0, "\(result.output)")
    }
    try FileManager.default.createDirectory(atPath: tree + "/still", withIntermediateDirectories: true)
    try change(
      """
      cd still; mkdir d; for n in $(seq 40); do head -c 500000 /dev/urandom > d/$n; done; ln d/1 link; ln -s d/2 symbolic; mkfifo fifo
      setfattr -n user.a -v b d/3; setfacl -m u:7:r d/4; truncate -s 5M sparse; echo old > changes; echo x > goes
      """)
    try whileCounting(tree) {
      let full = try daemons.backUp("Full")
      expectSnapshot(full)
      #expect(try snapshots().contains("No snapshots present"))
      try change("echo new > still/changes; rm still/goes; mv still/d/5 still/moved; setfattr -n user.a -v c still/d/3")
      // A run of this job was killed, and another job is running.
      try wrap("snapshot.2026-01-01_00.00.00_01", "prebackup")
      try wrap("other.2026-01-01_00.00.00_01", "prebackup")
      let incremental = try daemons.backUp("Incremental")
      expectSnapshot(incremental)
      #expect(incremental.contains("which an earlier run of the job has left, is deleted"), "\(incremental)")
      let left = try snapshots().split(separator: "\n")
      #expect(left.count == 1 && left[0].hasPrefix("gfapi-fd-other_"), "\(left)")
    }
    let restored = try daemons.restore(folder.path + "-restored")
    #expect(restored.contains("Restore OK"), "\(restored)")
    let copy = folder.local + "-restored" + folder.path + "/tree"
    try expectIdentical(tree + "/still", copy + "/still")
    let counts = try ["first", "last"].map { name in
      let text = try String(contentsOfFile: "\(copy)/\(name)", encoding: .utf8)
      return try #require(Int(text.dropLast()))
    }
    #expect(counts[0] == counts[1] || counts[0] == counts[1] + 1, "\(counts)")

    // No more snapshots are allowed.
    try Scratch.gluster("snapshot", "config", Self.volume, "snap-max-hard-limit", "1")
    let refused = try daemons.backUp("Full")
    try Scratch.gluster("snapshot", "config", Self.volume, "snap-max-hard-limit", "256")
    // Bareos breaks long lines.
    for words in ["*** Backup Error ***", "GFD-112 no snapshot of the volume plain-thin can be taken: ", "maximum limit of 1"] {
      #expect(refused.contains(words), "\(refused)")
    }
    try wrap("other.2026-01-01_00.00.00_01", "postbackup")
    let cancelled = try daemons.cancelled {
      let isTaken = try eventually { try !snapshots().contains("No snapshots present") }
      #expect(isTaken)
    }
    let isDeleted = try eventually { try snapshots().contains("No snapshots present") }
    #expect(isDeleted, "\(cancelled)")
  }

  private func expectSnapshot(_ log: String) {
    #expect(log.contains("Backup OK") && log.contains(" 0 excluded, 0 failed"), "\(log)")
    for words in [
      "of the volume plain-thin is taken", "volume plain-thin, snapshot gfapi-fd-snapshot_", "of the volume plain-thin is deleted",
    ] {
      #expect(log.contains(words), "\(log)")
    }
  }

  /// Runs a closure while a process counts: it writes each number into the file `first` and then into the file `last`.
  private func whileCounting(_ folder: String, _ body: () throws -> Void) throws {
    let counter = Process()
    counter.executableURL = URL(fileURLWithPath: "/bin/sh")
    counter.arguments = [
      "-c",
      """
      cd '\(folder)'; n=0; trap 'exit 0' TERM
      while :; do n=$((n + 1)); for file in first last; do echo $n > .new; mv .new $file; done; done
      """,
    ]
    try counter.run()
    let result = Result { try body() }
    counter.terminate()
    counter.waitUntilExit()
    try result.get()
  }
}
