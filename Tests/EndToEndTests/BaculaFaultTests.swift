import Foundation
import Testing
import TestSupport

/// Jobs of the real Bacula while the volume or the daemon fails.
@Suite("Jobs of the real Bacula while the volume fails or changes", .serialized)
struct BaculaFaultTests {
  /// Makes files on a volume that keep a job limited to 1 MB/s busy for six seconds. There is no symbolic link among them: a
  /// replicated volume never heals one (10.3, on a kernel that does not change the mode of a link).
  func manyFiles(on kind: String = "small", _ name: String = #function) throws -> (local: String, path: String) {
    let (local, path) = try Scratch.folder(on: kind, name)
    let commands =
      "cd '\(local)' && for n in $(seq 600); do head -c 10000 /dev/urandom > $n; done; setfacl -m u:7:r 7; ln 1 one; mkfifo fifo"
    #expect(try run("sh", "-c", commands).status == 0)
    return (local, path)
  }

  /// Starts a Bacula whose job reads little ahead, so that it is still reading the directory while it sends.
  func bacula(_ kind: String, _ path: String, _ options: String = "") throws -> Bacula {
    try Bacula(Bacula.line(kind, path + ":readahead=65536" + options))
  }

  func restoreCommand(_ backup: Int, _ place: String) -> String {
    "restore jobid=\(backup) client=client restorejob=restore where=\(place) all done yes"
  }

  /// Runs a restore on a volume whose writes take 0.2 s each, and calls `strike` in the middle of the restore.
  ///
  /// - Parameter end: called after the restore, before the writes are fast again.
  func restore(
    _ backup: Int, _ place: String, _ bacula: Bacula, on kind: String, end: () throws -> Void = {}, _ strike: () throws -> Void
  ) throws -> JobLog {
    try Scratch.withDelay(of: 200_000, for: "write", on: kind) {
      let log = try job(restoreCommand(backup, place), bacula, strike)
      try end()
      return log
    }
  }

  /// Runs a job and calls `strike` after at least ten entries were backed up or restored.
  func job(_ command: String, _ bacula: Bacula, _ strike: () throws -> Void) throws -> JobLog {
    let job = try bacula.start(command)
    #expect(try eventually { try bacula.progress().contains(/(Files|Restored)=[1-9]\d/) })
    try strike()
    return try bacula.finish(job)
  }

  /// A failure of a volume that goes by, or a change to the volume.
  enum Fault: String, CaseIterable {
    /// A brick is killed: the only one; one of two; one of three; one of five, two of which hold parity.
    case brickBack, oneOfTwoBack, oneOfReplicated, oneOfDispersed
    case glusterdKilled
    /// Changes by an administrator.
    case optionSet, rebalance, brickReplaced

    var volume: String {
      switch self {
      case .brickBack, .glusterdKilled: "small"
      case .oneOfTwoBack: "distributed"
      case .oneOfReplicated: "replicated"
      case .oneOfDispersed: "dispersed"
      case .optionSet, .rebalance, .brickReplaced: "changing"
      }
    }

    func strike() throws {
      switch self {
      // The director shows the messages of a job only after its end, so the test cannot see when the job notices the failure.
      // A job that writes slowly may not use one of two bricks for some seconds; hence the longer outage.
      case .brickBack: try Scratch.killBrick(volume, for: 3) { true }
      case .oneOfTwoBack: try Scratch.killBrick(volume, for: 8) { true }
      case .oneOfReplicated, .oneOfDispersed: try Scratch.killBrick(volume)
      case .glusterdKilled: try Scratch.killGlusterd()
      case .optionSet: try Scratch.gluster("volume", "set", volume, "performance.quick-read", "off")
      case .rebalance:
        try Scratch.addBrick(volume)
        try Scratch.rebalance(volume)
      case .brickReplaced: try Scratch.replaceBrick(volume)
      }
    }

    /// The messages that a job logs because of this fault.
    var said: [Regex<Substring>] {
      switch self {
      case .brickBack, .oneOfTwoBack: [/is unreachable; waiting up to 60 s/, /answers again after \d+ s$/]
      default: []
      }
    }

    /// Runs `body` while the volume of this fault exists.
    func withVolume(_ body: () throws -> Void) throws {
      switch self {
      case .optionSet, .rebalance: try Scratch.withVolume(volume, body: body)
      case .brickReplaced: try Scratch.withVolume(volume, bricks: 3, "replica", "3", body: body)
      default: try body()
      }
    }

    /// Undoes the fault after the job has ended, if it does not end by itself.
    func end() throws {
      if self == .glusterdKilled { try Scratch.startGlusterd() }
    }
  }

  /// Each fault together with the kind of job during which it happens.
  static let struck: [(Fault, String)] = Soak.cases(
    [(.brickBack, "backup"), (.rebalance, "backup"), (.glusterdKilled, "restore")],
    of: Soak.pairs(Fault.allCases, ["backup"])
      + Soak.pairs([.brickBack, .oneOfTwoBack, .oneOfReplicated, .oneOfDispersed, .glusterdKilled], ["restore"]))

  @Test("A Bacula job saves or restores every entry when the volume fails or changes meanwhile", arguments: struck)
  func amid(_ fault: Fault, _ struck: String) throws {
    try fault.withVolume {
      let (local, path) = try manyFiles(on: fault.volume)
      let bacula = try bacula(fault.volume, path)
      if struck == "backup" {
        let log = try job("run job=slow yes", bacula, fault.strike)
        try fault.end()
        log.expect("Backup OK", [JobLog.wellBackedUp] + fault.said)
        try bacula.job(restoreCommand(1, "/amid")).expect("Restore OK", JobLog.wellRestored)
      } else {
        try bacula.job("run job=backup yes").expect("Backup OK", JobLog.wellBackedUp)
        let log = try restore(1, "/amid", bacula, on: fault.volume, end: fault.end, fault.strike)
        log.expect("Restore OK", [JobLog.wellRestored] + fault.said)
      }
      let place = try Scratch.mount(fault.volume) + "/amid"
      try expectEventuallyIdentical(fault.volume, local, place + path)
      if [.oneOfReplicated, .oneOfDispersed].contains(fault) {
        try Scratch.startBricks(fault.volume)
        for folder in [path, "/amid"] { #expect(try Scratch.heal(fault.volume, below: folder) == []) }
        try expectIdentical(local, place + path, "--healed")
      }
      try FileManager.default.removeItem(atPath: place)
      try FileManager.default.removeItem(atPath: local)
      try bacula.end()
    }
  }

  /// Expects that two trees of a volume become equal. The volume is mounted anew until the mount has connected to all its bricks.
  func expectEventuallyIdentical(_ kind: String, _ original: String, _ copy: String) throws {
    var comparison = ""
    #expect(
      try eventually(within: 60) {
        try Scratch.remount(kind)
        let result = try run(Scratch.script("compare-trees"), "--seconds", original, copy)
        comparison = String(result.output.suffix(2000))
        return result.status == 0
      }, "\(comparison)")
  }

  @Test("A Bacula job on a stopped volume ends with the reason, and the next job succeeds once the volume is started")
  func stoppedVolume() throws {
    let (local, path) = try Scratch.folder(on: "small")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let bacula = try Bacula(Bacula.line("small", path + ":timeout=6"))
    #expect(try run("gluster", "--mode=script", "volume", "stop", "small", "force").status == 0)
    let log = try bacula.job("run job=backup yes")
    #expect(try run("gluster", "--mode=script", "volume", "start", "small").status == 0)
    log.expect("*** Backup Error ***", /Fatal error: gfapi: GFD-003 cannot connect to tcp scratch \(default port\), volume small/)
    #expect(bacula.isAlive)
    try Scratch.remount("small")
    try bacula.backUpAndRestore(local, path)
  }

  @Test(
    "A Bacula job whose brick stays unreachable fails with the reason within timeout=, and the next job succeeds",
    arguments: Soak.cases(["small"], of: ["small", "distributed"]))
  func brickStaysAway(_ kind: String) throws {
    let (local, path) = try manyFiles(on: kind)
    let bacula = try bacula(kind, path, ":timeout=5")
    var began = ContinuousClock.now
    let log = try job("run job=slow yes", bacula) {
      began = .now
      try Scratch.killBrick(kind)
    }
    #expect(ContinuousClock.now - began < .seconds(25))
    #expect(log.termination == "*** Backup Error ***", "\(log.text)")
    #expect(log.client.count { $0.contains("is unreachable, the backup ends") } == 1, "\(log.text)")
    #expect(bacula.isAlive)
    try Scratch.startBricks(kind)
    #expect(
      try eventually(within: 60) {
        try Scratch.remount(kind)
        return FileManager.default.fileExists(atPath: local + "/600")
      })
    try bacula.backUpAndRestore(local, path)
    #expect(try run("rm", "-r", local).status == 0)
  }

  @Test("A Bacula restore repeated after the file daemon was killed during it gives an identical tree")
  func killedInRestore() throws {
    let (local, path) = try manyFiles()
    let bacula = try Bacula(Bacula.line("small", path))
    let backup = try bacula.start("run job=backup yes")
    try bacula.finish(backup).expect("Backup OK", JobLog.wellBackedUp)
    let log = try restore(backup, "/killed", bacula, on: "small") { try bacula.restartFileDaemon() }
    #expect(log.termination?.hasPrefix("***") == true, "\(log.text)")
    try bacula.job(restoreCommand(backup, "/killed")).expect("Restore OK", JobLog.wellRestored)
    try Scratch.remount("small")
    let place = try Scratch.mount("small") + "/killed"
    try expectIdentical(local, place + path)
    #expect(try run("rm", "-r", place, local).status == 0)
    try bacula.end()
  }

  /// Splits a restore's warnings and errors: the paths of files of which the backup has only a part, and all others. Messages
  /// about additional hard links to such a file count as neither.
  func partial(_ restore: JobLog) -> (partial: [String], other: [String]) {
    let partial = restore.complaints.compactMap { $0.firstMatch(of: /gfapi: GFD-071 (\/\S+): the backup has only/).map { String($0.1) } }
    let other = restore.complaints.filter { told in
      !told.contains("the backup has only") && !partial.contains { told.contains("its first name \($0) was not restored completely") }
    }
    return (partial, other)
  }

  @Test(
    "A Bacula backup saves all unchanged files next to files that change all the time",
    arguments: Soak.cases(["distributed"], of: ["plain", "distributed"]))
  func amidChanges(_ kind: String) throws {
    let (local, path) = try manyFiles(on: kind)
    try FileManager.default.createDirectory(atPath: local + "/busy", withIntermediateDirectories: true)
    let bacula = try Bacula(Bacula.line(kind, path))
    for number in 1...Soak.rounds(1, 20) {
      try Scratch.whileChanging(local + "/busy") {
        let log = try bacula.job("run job=backup level=Full yes")
        #expect(log.termination?.hasPrefix("Backup OK") == true, "\(log.text)")
        // Warnings are only about the files that change.
        #expect(!log.client.contains { $0.contains("\(path)/") && !$0.contains("\(path)/busy") }, "\(log.text)")
      }
      let restore = try bacula.restore("/changes-\(number)")
      // If a file was truncated while it was read, the backup holds fewer bytes than the file's record says.
      let (partial, other) = partial(restore)
      #expect(other == [] && partial.allSatisfy { $0.contains("\(path)/busy/") }, "\(restore.text)")
      #expect(partial != [] || restore.termination?.hasPrefix("Restore OK") == true, "\(restore.text)")
      let place = try Scratch.mount(kind) + "/changes-\(number)"
      #expect(try run("rm", "-r", place + path + "/busy", local + "/busy").status == 0)
      try FileManager.default.createDirectory(atPath: local + "/busy", withIntermediateDirectories: true)
      try FileManager.default.createDirectory(atPath: place + path + "/busy", withIntermediateDirectories: true)
      // The times of these directories and of the base directory are those of the last change: set them to the same value.
      for folder in ["", "/busy"] { #expect(try run("touch", "-d", "@0", local + folder, place + path + folder).status == 0) }
      try expectIdentical(local, place + path)
    }
    try bacula.end()
  }

  @Test("A Bacula restore reports each file that does not fit on a full volume and restores the others")
  func fullVolume() throws {
    let (local, path) = try Scratch.folder(on: "small")
    let commands = """
      cd '\(local)' && mkdir tree && for n in 1 2 3; do head -c 3000000 /dev/urandom > tree/large-$n; done &&
      for n in 1 2 3; do echo $n > tree/small-$n; done
      """
    #expect(try run("sh", "-c", commands).status == 0)
    let bacula = try Bacula(Bacula.line("small", path + "/tree"))
    try bacula.job("run job=backup yes").expect("Backup OK", JobLog.wellBackedUp)
    // Leaves room for one of the large files.
    let log = try Scratch.withFullSmall(leaving: 4_000_000) { try bacula.restore(path + "/restored") }
    // Files are written at the same time, so any of them may find no room, even a small one.
    let failed = log.client.filter { $0.contains(/Error: gfapi: GFD-070 .*\/tree\/(large|small)-\d: restore failed: .*No space left/) }
    #expect(failed.contains { $0.contains("/tree/large-") }, "\(log.text)")
    #expect(log.termination == "*** Restore Error ***", "\(log.text)")
    #expect(log.client.contains { $0.contains(", \(failed.count) failed") }, "\(log.text)")
    for name in ["large", "small"].flatMap({ kind in (1...3).map { "\(kind)-\($0)" } }) {
      let whole = try run("cmp", "\(local)/tree/\(name)", "\(local)/restored\(path)/tree/\(name)").status == 0
      #expect(whole != failed.contains { $0.contains("/tree/\(name):") }, "\(name): \(log.text)")
    }
    try bacula.end()
    #expect(try run("sh", "-c", "rm -r '\(local)'").status == 0)
  }

  // MARK: Calls that fail now and then

  /// Runs `body` while 20 % of the calls of one kind fail on the brick of the small volume.
  func failingNowAndThen<R>(_ call: String, _ error: String, _ body: () throws -> R) throws -> R {
    try Scratch.withErrors(in: call, share: 20, error: error, body)
  }

  /// Returns true if a message names the path or a directory above it.
  func isTold(_ path: String, below place: String, _ log: JobLog) -> Bool {
    var name = path
    while name.hasPrefix(place), !name.isEmpty {
      // The plugin's messages end a path with a colon; Bacula's own put it in quotes or before a blank.
      if [":", "\"", " "].contains(where: { end in log.client.contains { $0.contains(name + end) } }) { return true }
      name = String(name[..<(name.lastIndex(of: "/") ?? name.startIndex)])
    }
    return false
  }

  /// Expects a message for each difference between two trees. The message may name the path or a directory above it.
  ///
  /// - Parameter place: the path of the copy, or of the original, as it is written in messages.
  func expectTold(_ log: JobLog, _ original: String, _ copy: String, _ place: String) throws {
    let comparison = try run(Scratch.script("compare-trees"), "--seconds", original, copy)
    for line in comparison.output.split(separator: "\n") where line.hasPrefix("b'") {
      // A missing name also shows as a difference at the other name of the same file.
      let isOfLink = line.contains("': names: ") || line.contains("': first name: ")
      let names = isOfLink ? ["1", "one"] : [String(line.dropFirst(2).prefix { $0 != "'" })]
      let isTold = names.contains { self.isTold(place + "/" + $0, below: place, log) }
      #expect(isTold, "\(line) \(log.text)")
    }
  }

  @Test(
    "A Bacula backup reports each entry lost to failing calls, and the restore of the others is exact",
    arguments: Soak.cases([("read", "EIO")], of: [("read", "EIO"), ("getxattr", "EIO"), ("readdirp", "ENOENT")]))
  func backupNowAndThen(_ call: String, _ error: String) throws {
    let (local, path) = try manyFiles()
    let bacula = try Bacula(Bacula.line("small", path + ":timeout=10"))
    let log = try failingNowAndThen(call, error) { try bacula.job("run job=backup yes") }
    let counts = try #require(
      log.text.firstMatch(of: /(\d+) entries and \d+ bytes read, 0 unchanged, 0 excluded, (\d+) failed/), "\(log.text)")
    // The base directory, 600 files, a hard link and a FIFO. If a directory cannot be listed, its entries are not counted.
    let (saved, failed) = (try #require(Int(counts.1)), try #require(Int(counts.2)))
    switch call {
    case "read": #expect(saved + failed == 603 && failed > 0, "\(log.text)")
    case "getxattr": #expect(saved == 603 && failed > 0, "\(log.text)")
    default: #expect(saved == 603 || failed > 0, "\(log.text)")
    }
    #expect(log.termination == (failed > 0 ? "Backup OK -- with warnings" : "Backup OK"), "\(log.text)")
    let restore = try bacula.restore("/now")
    // Bacula keeps the part of a file that was read before the error, so the restore reports the file again.
    let (partial, other) = partial(restore)
    #expect(other == [] && (call == "read" || partial.isEmpty), "\(restore.text)")
    // `1` and `one` are names of the same file.
    for path in partial.map({ String($0.trimmingPrefix("/now")) }) {
      // Bacula reports a file that it cannot open without the words "Warning" and "Error".
      #expect(
        isTold(path, below: path, log) || path.hasSuffix("/1") && log.client.contains { $0.contains("/one:") }, "\(path): \(log.text)")
    }
    #expect((restore.termination == "Restore OK") == partial.isEmpty, "\(restore.text)")
    let place = try Scratch.mount("small") + "/now"
    try expectTold(log, local, place + path, path)
    try FileManager.default.removeItem(atPath: place)
    try bacula.backUpAndRestore(local, path)
    try FileManager.default.removeItem(atPath: local)
  }

  @Test(
    "A Bacula restore reports each entry damaged by failing calls, and the others are exact",
    arguments: Soak.cases([("write", "EIO")], of: [("write", "EIO"), ("create", "ENOSPC"), ("setattr", "EIO")]))
  func restoreNowAndThen(_ call: String, _ error: String) throws {
    let (local, path) = try manyFiles()
    let bacula = try Bacula(Bacula.line("small", path + ":timeout=10"))
    try bacula.job("run job=backup yes").expect("Backup OK", JobLog.wellBackedUp)
    let log = try failingNowAndThen(call, error) { try bacula.job(restoreCommand(1, "/then")) }
    #expect(log.termination?.hasPrefix("Restore OK") == false, "\(log.text)")
    let place = try Scratch.mount("small") + "/then"
    try expectTold(log, local, place + path, "/then" + path)
    try bacula.job(restoreCommand(1, "/then")).expect("Restore OK", JobLog.wellRestored)
    try Scratch.remount("small")
    try expectIdentical(local, place + path)
    try FileManager.default.removeItem(atPath: place)
    try FileManager.default.removeItem(atPath: local)
    try bacula.end()
  }
}
