import Foundation
import MiniDaemon
import SnapshotName
import Testing
import TestSupport

/// Backups that read a snapshot. The snapshots are Gluster's own; scripts/thin-stand-in stands in for thin LVM.
@Suite("Backup of a snapshot", .serialized)
struct SnapshotTests {
  static let kinds = ["plain-thin", "distributed-thin", "replicated-thin"]

  /// Takes a snapshot of a volume, runs `body`, and deletes the snapshot.
  private func withSnapshot(of volume: String, _ name: String, _ body: () throws -> Void) throws {
    _ = try Scratch.mount(volume)
    try Scratch.gluster("snapshot", "create", name, volume, "no-timestamp")
    defer { _ = try? Scratch.gluster("snapshot", "delete", name) }
    try Scratch.gluster("snapshot", "activate", name)
    try body()
  }

  /// Fails if the output of a command has a warning or an error.
  private func expectWell(_ result: CommandResult) {
    #expect(result.status == 0 && !["error:", "warning:", "not saved:"].contains(where: result.output.contains), "\(result.output)")
  }

  @Test("a backup of a snapshot has one moment of the volume, while everything changes", arguments: kinds)
  func oneMoment(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "100", "--since-1970", local + "/tree").status == 0)
    try FileManager.default.createDirectory(atPath: local + "/tree/busy", withIntermediateDirectories: true)
    for number in 1...50 {
      _ = FileManager.default.createFile(atPath: local + "/tree/busy/\(number)", contents: Data(count: number * 5000))
    }
    let archive = try Scratch.temporaryFile(".pax")
    defer { try? FileManager.default.removeItem(atPath: archive) }
    let name = "moment-\(kind)"
    try withSnapshot(of: kind, name) {
      try Scratch.whileChanging(local + "/tree/busy") {
        let backup = try run(Scratch.tool, "backup", Scratch.line(kind, path + "/tree"), "--snapshot", name, "-o", archive)
        expectWell(backup)
        // A backup of the volume itself reports files that change while they are read, or that are gone.
        let isTold = try eventually {
          let live = try run(Scratch.tool, "backup", Scratch.line(kind, path + "/tree"), "-o", "/dev/null")
          return live.output.contains("GFD-060") || live.output.contains("GFD-054")
        }
        #expect(isTold)
        #expect(backup.output.contains("volume \(kind), snapshot \(name), directory \(path)/tree"), "\(backup.output)")
      }
      expectWell(try run(Scratch.tool, "restore", archive, Scratch.line(kind), "--where", path + "/restored"))
      // Gluster's own view of the moment.
      let mount = try mount(name, of: kind)
      defer { _ = try? run("umount", "-l", mount) }
      let comparison = try run(Scratch.script("compare-trees"), mount + path + "/tree", local + "/restored\(path)/tree")
      #expect(comparison.status == 0, "\(comparison.output.suffix(4000))")
    }
  }

  @Test(
    "an incremental backup saves what changed before its snapshot, also what changed after the last one and before the last job's start")
  func incremental() throws {
    let (local, path) = try Scratch.folder(on: "plain-thin")
    let state = try Scratch.temporaryFile("-state")
    try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
    func write(_ name: String) { _ = FileManager.default.createFile(atPath: local + "/" + name, contents: Data(name.utf8)) }
    var last: (name: String, start: Int)?
    /// Runs a job with a snapshot of its own, and returns the paths of its records. As in the daemons, the job starts after the snapshot.
    func job(_ name: String, afterSnapshot change: () -> Void) throws -> Set<String> {
      var options = MiniJob.Options()
      (options.jobName, options.previousJobName, options.workingDirectory) = (name, last?.name, state)
      if let last { (options.level, options.since) = (UInt8(ascii: "I"), last.start) }
      let backup = MemoryBackup()
      try withSnapshot(of: "plain-thin", SnapshotName.ofJob(name, volume: "plain-thin")) {
        change()
        nextSecond()
        last = (name, time(nil))
        try withJob(options) { job throws in
          _ = try job.backup(Scratch.line("plain-thin", path, ":snapshot=job"), to: backup)
          #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
        }
      }
      nextSecond()
      return Set(backup.paths.map { String($0.dropFirst(path.count)) })
    }
    write("first")
    #expect(try job("nightly.2026-11-27_01.00.00_01") { write("second") } == ["", "/first"])
    // A change of an attribute has no date of its own.
    #expect(try run("setfattr", "-n", "user.a", "-v", "b", local + "/first").status == 0)
    #expect(try job("nightly.2026-11-27_02.00.00_02") { write("third") } == ["", "/first", "/second"])
    #expect(try job("nightly.2026-11-27_03.00.00_03") {}.isSuperset(of: ["", "/third"]))
  }

  @Test("a snapshot that cannot be read ends the backup with the reason, or the volume itself is backed up if the line allows that")
  func missing() throws {
    let (local, path) = try Scratch.folder(on: "plain-thin")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("data".utf8))
    var options = MiniJob.Options()
    options.jobName = "nightly.2026-11-27_01.00.00_09"
    func messages(_ key: String, _ options: MiniJob.Options) throws -> (texts: [String], paths: [String]) {
      let backup = MemoryBackup()
      return try withJob(options) { job throws in
        _ = try job.backup(Scratch.line("plain-thin", path, ":snapshot=\(key)"), to: backup)
        return (job.messages.map { "\($0.severity): \($0.text)" }, backup.paths)
      }
    }
    let name = SnapshotName.ofJob(options.jobName!, volume: "plain-thin")
    var found = try messages("job", options)
    #expect(
      found.paths == [] && found.texts.contains { $0.hasPrefix("fatal: gfapi: GFD-016 ") && $0.contains("has no snapshot \(name)") },
      "\(found)")
    found = try messages("none", options)
    #expect(
      found.texts.contains { $0.hasPrefix("fatal: gfapi: GFD-016 ") && $0.contains("volume plain-thin has no snapshot none") }, "\(found)")
    found = try messages("job-or-live", options)
    #expect(found.paths == [path + "/file", path], "\(found)")
    #expect(found.texts.contains { $0.hasPrefix("warning: gfapi: GFD-017 the volume itself is backed up") }, "\(found)")
    #expect(try messages("job", MiniJob.Options()).texts.contains { $0.hasPrefix("fatal: gfapi: GFD-018 ") })

    try Scratch.gluster("snapshot", "create", name, "plain-thin", "no-timestamp")
    defer { _ = try? Scratch.gluster("snapshot", "delete", name) }
    found = try messages("job", options)
    #expect(found.texts.contains { $0.hasPrefix("fatal: gfapi: GFD-016 ") && $0.contains("is it activated") }, "\(found)")
  }

  @Test("a restore of a backup that read a snapshot goes to the volume, and options that name a snapshot are refused")
  func restore() throws {
    let (local, path) = try Scratch.folder(on: "plain-thin")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("data".utf8))
    let line = Scratch.line("plain-thin", path, ":snapshot=for-restore")
    let backup = MemoryBackup()
    try withSnapshot(of: "plain-thin", "for-restore") { _ = try withJob { try $0.backup(line, to: backup) } }
    try FileManager.default.removeItem(atPath: local + "/file")
    try withJob { job throws in
      #expect(try backup.restore(job, line).entries == 2)
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
    }
    #expect(FileManager.default.contents(atPath: local + "/file") == Data("data".utf8))
    var options = MiniJob.Options()
    options.pluginOptions = "gfapi:snapshot=for-restore"
    try withJob(options) { job throws in
      _ = try? backup.restore(job, line)
      #expect(
        job.messages.contains { $0.severity == .fatal && $0.text.contains("GFD-018 snapshot= in the options of a restore") },
        "\(job.messages)")
    }
    let refused = try run(Scratch.tool, "restore", "/dev/null", line)
    #expect(refused.status != 0 && refused.output.contains("a restore never writes to a snapshot"), "\(refused.output)")
  }

  // MARK: Snapshots of jobs

  /// How a job finds what has changed. With a session, glusterfind keeps the time of the last job.
  enum Way { case crawl, list, session }

  /// Runs jobs on a volume that changes all the time, each with a snapshot of its own. After each job, what a restore would bring back is
  /// what the job's snapshot shows. Not on a replicated volume: there the copies of an entry that is just being written differ in the
  /// snapshot, and two readers may see different ones.
  @Test(
    "jobs with snapshots of their own have every change, while everything changes, by crawl and by list",
    arguments: Soak.cases(
      [("plain-thin-logged", .session), ("distributed-thin", .crawl)],
      of: Soak.pairs(["plain-thin-logged", "distributed-thin-logged"], [.list, .session])
        + Soak.pairs(["plain-thin", "distributed-thin"], [.crawl])) as [(String, Way)])
  func nightly(_ kind: String, _ way: Way) throws {
    let (local, path) = try Scratch.folder(on: kind)
    let state = try Scratch.temporaryFile("-state")
    try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
    let list = way == .crawl ? [] : [try Scratch.temporaryFile(".list")]
    let session = way == .session ? ["--session", "nightly"] : []
    var chain = Chain(Scratch.line(kind, path))
    // Start it now: a mount that is made meanwhile inherits the pipe that ends the changes.
    _ = try Scratch.mount("plain")
    let levels: [Chain.Level] = Soak.cases(
      way == .session ? [.incremental, .incremental, .incremental] : [.incremental, .incremental, .differential, .incremental],
      of: [.incremental, .incremental, .incremental, .differential, .incremental, .differential, .incremental, .incremental])
    try Scratch.whileChanging(local) {
      for (number, level) in levels.enumerated() {
        var job = ""
        var mount = ""
        try chain.backUp((list.map { ":gffilelist=\($0)" }.first ?? "") + ":snapshot=job", level) { options in
          (options.workingDirectory, options.hardLinks) = (state, true)
          job = options.jobName!
          let word = number == 0 ? "Full" : level == .incremental ? "Incremental" : "Differential"
          let since = way == .session && level == .incremental ? [] : ["-s", "\(options.since)"]
          let taken = try Glusterfind.wrap(session + since + ["-l", word, "--snapshot", job, "prebackup", kind] + list)
          #expect(taken.status == 0 && !taken.output.contains("WARNING"), "\(taken.output)")
          mount = try self.mount(SnapshotName.ofJob(job, volume: kind), of: kind)
        }
        #expect(chain.messages.allSatisfy { $0.severity == .info }, "\(chain.messages)")
        let target = try Scratch.folder(on: "plain", "restored")
        let difference = try chain.difference(kind, from: mount + path, path, onto: "plain", in: target)
        #expect(difference == "", "job \(number): \(difference.suffix(3000))")
        #expect(try run("umount", "-l", mount).status == 0)
        let dropped = try Glusterfind.wrap(session + ["--exit", "OK", "--snapshot", job, "postbackup", kind] + list)
        #expect(dropped.status == 0, "\(dropped.output)")
        let left = try Scratch.gluster("snapshot", "list", kind)
        #expect(left.contains("No snapshots present"), "job \(number): \(left)")
      }
    }
  }

  /// Mounts a snapshot, and returns the mount point.
  private func mount(_ snapshot: String, of volume: String) throws -> String {
    let mount = try Scratch.temporaryFolder() + "/mount-of-\(snapshot)"
    try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: true)
    // See `Scratch.remount` for `system`.
    guard system("mount -t glusterfs -o acl 'scratch:/snaps/\(snapshot)/\(volume)' '\(mount)' > /dev/null 2>&1") == 0 else {
      throw TestError("cannot mount the snapshot \(snapshot)")
    }
    return mount
  }
}
