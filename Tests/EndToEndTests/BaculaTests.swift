import Foundation
import TestSupport
import Testing

@Suite("The real Bacula", .serialized)
struct BaculaTests {
  /// Of the plugin's summary line.
  static var wellCarried: Regex<Substring> { /^gfapi: \d+ entries and \d+ bytes read, 0 unchanged, 0 excluded, 0 failed$/ }
  static var wellRestored: Regex<Substring> { /^gfapi: \d+ entries restored, \d+ bytes written, 0 skipped, 0 failed$/ }

  func expectIdentical(
    _ original: String, _ copy: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let comparison = try run(Scratch.script("compare-trees"), "--seconds", original, copy)
    #expect(comparison.status == 0, "\(comparison.output.suffix(3000))", sourceLocation: sourceLocation)
  }

  /// After something went wrong: the next job is as it should be, and so is what it restores.
  func backUpAndRestore(
    _ bacula: Bacula, _ local: String, _ path: String, sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let backup = try bacula.start("run job=backup yes")
    try bacula.finish(backup).expect("Backup OK", Self.wellCarried, sourceLocation: sourceLocation)
    let place = "/restored-" + UUID().uuidString.prefix(8)
    try bacula.job("restore jobid=\(backup) client=client restorejob=restore where=\(place) all done yes")
      .expect("Restore OK", Self.wellRestored, sourceLocation: sourceLocation)
    let copy = local.dropLast(path.count) + place
    try expectIdentical(local, copy + path, sourceLocation: sourceLocation)
    #expect(try run("rm", "-r", String(copy)).status == 0)
    try bacula.end(sourceLocation: sourceLocation)
  }

  /// Cancels a job. Expects that it ends soon, as a cancelled one, and that the daemons live.
  func cancel(_ job: Int, _ bacula: Bacula, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let began = ContinuousClock.now
    _ = try bacula.console("cancel jobid=\(job) yes")
    try bacula.finish(job).expectCancelled(sourceLocation: sourceLocation)
    #expect(ContinuousClock.now - began < .seconds(20), sourceLocation: sourceLocation)
    #expect(bacula.isAlive, sourceLocation: sourceLocation)
  }

  /// Waits until what is written from now on has another time than what has been written, in whole seconds.
  func nextSecond() {
    let now = time(nil)
    #expect(eventually { time(nil) > now + 1 })
  }

  @Test("backs a hostile tree up and restores it exactly, elsewhere and in place over damage", arguments: Scratch.kinds)
  func backupAndRestore(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    let times = kind == "distributed" ? ["--since-1970"] : []
    #expect(try run(Scratch.script("hostile-tree"), ["--wide", "200"] + times + [local + "/tree"]).status == 0)
    let bacula = try Bacula(Bacula.line(kind, path + "/tree"))

    try bacula.job("run job=backup yes").expect("Backup OK", Self.wellCarried)
    try bacula.restore(path + "/restored").expect("Restore OK", Self.wellRestored)
    if kind == "sharded" { try Scratch.remount(kind) }
    let copy = local + "/restored" + path + "/tree"
    try expectIdentical(local + "/tree", copy)

    let damage = """
      cd '\(local)/tree' && rm -r names types/* && echo damage > data/size-4096 && chmod 777 modes/0000 &&
      setfacl -b acls/* && rm links/second
      """
    #expect(try run("sh", "-c", damage).status == 0)
    try bacula.restore("/").expect("Restore OK", Self.wellRestored)
    try Scratch.remount(kind)
    try expectIdentical(copy, local + "/tree")

    try bacula.end()
  }

  @Test("goes on with what changed, incrementally and differentially")
  func changes() throws {
    let (local, path) = try Scratch.folder()
    let script = { (commands: String) throws in #expect(try run("sh", "-c", "cd '\(local)' && \(commands)").status == 0) }
    try script("mkdir -p tree/a tree/b && cd tree && for n in 1 2 3; do echo $n > a/$n; echo $n > b/$n; done; ln a/1 a/one")
    let bacula = try Bacula(Bacula.line("plain", path + "/tree"))
    nextSecond()
    try bacula.job("run job=backup level=Full yes")
      .expect("Backup OK", /gfapi: 10 entries and 12 bytes read, 0 unchanged, 0 excluded, 0 failed/)

    nextSecond()
    try script("cd tree && echo new > a/new && chmod 600 b/2 && ln -s a link")
    // a, new, b/2, link and the base directory.
    try bacula.job("run job=backup level=Incremental yes")
      .expect("Backup OK", /gfapi: 5 entries and 6 bytes read, 7 unchanged, 0 excluded, 0 failed/)
    nextSecond()
    try bacula.job("run job=backup level=Incremental yes")
      .expect("Backup OK", /gfapi: 0 entries and 0 bytes read, 12 unchanged, 0 excluded, 0 failed/)

    nextSecond()
    try script("cd tree && echo more >> b/3")
    try bacula.job("run job=backup level=Differential yes")
      .expect("Backup OK", /gfapi: 6 entries and 13 bytes read, 6 unchanged, 0 excluded, 0 failed/)
    try bacula.restore(path + "/restored").expect("Restore OK", Self.wellRestored)
    try expectIdentical(local + "/tree", local + "/restored" + path + "/tree")
    try bacula.end()
  }

  @Test("in accurate mode the last restore is what is on the volume: deleted, renamed and changed entries, whole directories")
  func accurate() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "50", local + "/tree").status == 0)
    let bacula = try Bacula(Bacula.line("plain", path + "/tree"))
    nextSecond()
    try bacula.job("run job=accurate level=Full yes").expect("Backup OK", Self.wellCarried)
    nextSecond()
    let commands = """
      cd '\(local)/tree' && mv wide renamed && rm -r data types && mv links/first links/moved && chmod 711 modes/0000 &&
      mkdir data && echo new > data/new && setfacl -m u:7:r data/new
      """
    #expect(try run("sh", "-c", commands).status == 0)
    let job = try bacula.job("run job=accurate level=Incremental yes")
    job.expect("Backup OK", /gfapi: \d+ entries and \d+ bytes read, \d+ unchanged, 0 excluded, 0 failed/)
    try bacula.restore(path + "/restored").expect("Restore OK", Self.wellRestored)
    try expectIdentical(local + "/tree", local + "/restored" + path + "/tree")
    try bacula.end()
  }

  @Test("backs up what glusterfind lists, and the last restore is what is on the volume")
  func listed() throws {
    let (local, path) = try Scratch.folder(on: "plain-logged")
    func change(_ commands: String) throws {
      #expect(try run("sh", "-ec", "cd '\(local)'; \(commands)").status == 0)
      nextSecond()
      #expect(try Glusterfind.waitForChangelogs("plain-logged"))
    }
    let bacula = try Bacula(Bacula.line("plain-logged", path), listed: "plain-logged")
    func backUp(_ level: String, _ listed: String) throws {
      let log = try bacula.job("run job=listed level=\(level) yes")
      #expect(log.termination == "Backup OK", "\(log.text)")
      #expect(log.complaints == [] && log.text.contains(listed) && log.text.contains("; list: "), "\(log.text)")
      nextSecond()
    }
    try change("mkdir -p d/deep; echo 1 > d/f; echo 2 > d/deep/g; echo 3 > a; echo 4 > b; ln a a2; mkdir e; echo 5 > e/to-save")
    try backUp("Full", "names listed in")
    try change("mv d moved; rm moved/f b; echo more >> a; mv e/to-save saved; rmdir e; echo 6 > new+name; chmod 711 moved/deep")
    try backUp("Incremental", "changes since")
    let restore = try bacula.job(
      "restore client=client restorejob=restore fileset=Listed where=\(path)-restored select current all done yes")
    #expect(restore.termination == "Restore OK", "\(restore.text)")
    try expectIdentical(local, "\(local)-restored\(path)")
    try bacula.end()
  }

  @Test("restores a further name of a file alone, and a single file")
  func selected() throws {
    let (local, path) = try Scratch.folder()
    let commands = "cd '\(local)' && mkdir tree && echo linked > tree/first && ln tree/first tree/second && echo x > tree/x"
    #expect(try run("sh", "-c", commands).status == 0)
    let bacula = try Bacula(Bacula.line("plain", path + "/tree"))
    try bacula.job("run job=backup yes").expect("Backup OK", /gfapi: 4 entries and 9 bytes read/)
    for (name, entries) in [("second", "links"), ("x", "x")] {
      let place = path + "/" + entries
      let restore = try bacula.job(
        "restore client=client restorejob=restore where=\(place) file=\(path)/tree/\(name) yes")
      #expect(restore.termination == "Restore OK", "\(restore.text)")
      let restored = try run("cat", local + "/" + entries + path + "/tree/" + name)
      #expect(restored.output == (name == "x" ? "x\n" : "linked\n"), "\(restore.text)")
    }
    try bacula.end()
  }

  @Test("restores to another volume and directory with the options that the console asks for")
  func restoreOptions() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "20", local + "/tree").status == 0)
    let (other, otherPath) = try Scratch.folder(on: "replicated")
    let bacula = try Bacula(Bacula.line("plain", path + "/tree"))
    try bacula.job("run job=backup yes").expect("Backup OK", Self.wellCarried)
    // A catalog on SQLite hands back nothing for a third of all lengths: one of two names has another.
    var restored: [String] = []
    for name in ["new", "another-new"] {
      let output = try bacula.console(
        "restore client=client restorejob=restore where=/ select current all done", "mod", "13", "mod", "1",
        "gluster://scratch/replicated\(otherPath)/\(name)", "yes", "yes")
      let queued = try #require(output.split(separator: "\n").last { $0.contains("Job queued. JobId=") }, "\(output)")
      let log = try bacula.finish(try #require(queued.split(separator: "=").last.flatMap { Int($0) }))
      if log.client.contains(where: { $0.contains("Fatal error: gfapi: the options of this restore have arrived empty") }) {
        #expect(log.termination == "*** Restore Error ***" && !FileManager.default.fileExists(atPath: "\(other)/\(name)"))
      } else {
        log.expect("Restore OK", Self.wellRestored)
        try expectIdentical(local + "/tree", "\(other)/\(name)")
        restored.append(name)
      }
    }
    #expect(!restored.isEmpty)
    try bacula.end()
  }

  @Test("estimates without reading")
  func estimate() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-c", "cd '\(local)' && mkdir d && for n in 1 2 3; do printf 12345 > d/$n; done; ln -s x link").status == 0)
    let bacula = try Bacula(Bacula.line("plain", path))
    let output = try bacula.console("estimate job=backup listing")
    // From 11 on Bacula adds the sizes of directories and links.
    #expect(output.contains(/estimate files=6 bytes=\d+\n/), "\(output)")
    #expect(output.contains("\(path)/d/2\n") && output.contains("\(path)/link -> x\n"), "\(output)")
    let wrong = try bacula.console("estimate job=wrong", "messages")
    #expect(wrong.contains(#""port": the port is not a number"#), "\(wrong)")
    try bacula.end()
  }

  @Test("shows each call of the plugin from debug level 200 on, and none below")
  func debugged() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-c", "echo data > '\(local)/file'").status == 0)
    let bacula = try Bacula(Bacula.line("plain", path))
    func trace(_ level: Int) throws -> String {
      _ = try bacula.console("setdebug level=\(level) trace=1 client=client")
      #expect(try bacula.job("run job=backup level=Full yes").termination == "Backup OK")
      #expect(try bacula.restore(path + "/restored").termination == "Restore OK")
      let file = try Scratch.temporaryFolder() + "/bacula/work/client.trace"
      return String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
    }
    #expect(try !trace(100).contains("gfapi-fd"))
    let shown = try trace(200)
    for call in ["handlePluginEvent(", "startBackupFile: 0: \(path)/file\n", "pluginIO: 0: \(path)/file\n", "endBackupFile: ", "createFile: 0: ", "setFileAttributes: 0: "] {
      #expect(shown.contains(call), "\(call): \(shown.suffix(4000))")
    }
    try bacula.end()
  }

  @Test("verifies the volume against the catalog; the disk Bacula does not ask a plugin for, and says so")
  func verify() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "20", local + "/tree").status == 0)
    let bacula = try Bacula(Bacula.line("plain", path + "/tree"))
    try bacula.job("run job=backup yes").expect("Backup OK", Self.wellCarried)
    try bacula.job("run job=verify-volume yes").expect("Verify OK")
    try bacula.job("run job=verify-disk yes")
      .expect(
        "*** Verify Error ***", /Fatal error: Plugin: "gfapi:volume=gluster\\:\/\/scratch\/plain.*" not found/,
        /Warning: The following files are in the Catalog but not on disk:/)
    #expect(bacula.isAlive)
    try bacula.job("run job=backup yes").expect("Backup OK", Self.wellCarried)
    try bacula.end()
  }

  @Test("cancels a job in the middle of a large file, and lives on")
  func cancelInFile() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-c", "head -c 60000000 /dev/urandom > '\(local)/large'").status == 0)
    let bacula = try Bacula(Bacula.line("plain", path))
    let job = try bacula.start("run job=slow yes")
    // The options of a restore count as an entry.
    #expect(try eventually { try bacula.progress().contains(/Files=2 Bytes=[1-9][\d,]+/) })
    try cancel(job, bacula)
    try backUpAndRestore(bacula, local, path)
  }

  @Test("cancels a job among many files, while the brick hangs, and lives on")
  func cancelInCrawl() throws {
    let (local, path) = try Scratch.folder(on: "small")
    #expect(try run("sh", "-c", "cd '\(local)' && for n in $(seq 1500); do head -c 10000 /dev/zero > $n; done").status == 0)
    let bacula = try Bacula(Bacula.line("small", path))
    // A second for each read: the job is at it for longer than the console takes, however fast the machine is.
    let options: KeyValuePairs = [
      "debug.delay-gen": "posix", "delay-gen.enable": "read", "delay-gen.delay-percentage": "100",
      "delay-gen.delay-duration": "1000000",
    ]
    try Scratch.withSmall(options) {
      let job = try bacula.start("run job=backup yes")
      let brick = try Scratch.firstBrick("small")
      #expect(try eventually { try bacula.progress().contains(/Files=[1-9]\d/) })
      kill(brick, SIGSTOP)
      defer { kill(brick, SIGCONT) }
      try cancel(job, bacula)
    }
    try backUpAndRestore(bacula, local, path)
    #expect(try run("sh", "-c", "rm -r '\(local)'").status == 0)
  }

  @Test("runs two backups at once on two volumes, and two restores")
  func twoJobs() throws {
    let folders = try ["plain", "replicated"].map { kind in
      let (local, path) = try Scratch.folder(on: kind)
      // The first restore is to take so long that it is seen at it.
      let wide = kind == "plain" ? "20000" : "1000"
      #expect(try run(Scratch.script("hostile-tree"), "--wide", wide, local + "/tree").status == 0)
      return (kind, local, path)
    }
    let lines = folders.map { Bacula.line($0.0, $0.2 + "/tree") }
    let bacula = try Bacula(lines[0], second: lines[1])
    let jobs = [try bacula.start("run job=backup yes"), try bacula.start("run job=second yes")]
    for job in jobs { try bacula.finish(job).expect("Backup OK", Self.wellCarried) }

    func restore(_ index: Int) throws -> Int {
      try bacula.start("restore jobid=\(jobs[index]) client=client restorejob=restore where=\(folders[index].2)/restored all done yes")
    }
    // The first is held in the middle until the second has come to its first entry.
    let brick = try Scratch.firstBrick("plain")
    let first = try restore(0)
    #expect(try eventually { try bacula.progress().contains(/Restored=[1-9]\d/) })
    kill(brick, SIGSTOP)
    defer { kill(brick, SIGCONT) }
    let second = try restore(1)
    // Bacula 9.6 cannot run both: the second says that it waits. Later releases can: it restores.
    #expect(try eventually {
      try bacula.console("messages").contains("gfapi: waits for another restore to end")
        || bacula.progress().contains(/(?s)Restored=[1-9].*Restored=[1-9]/)
    })
    kill(brick, SIGCONT)
    try bacula.finish(first).expect("Restore OK", Self.wellRestored)
    let log = try bacula.finish(second)
    #expect(log.termination == "Restore OK" && log.complaints.isEmpty, "\(log.text)")
    #expect(log.client.contains { $0.contains(Self.wellRestored) }, "\(log.text)")
    for (_, local, path) in folders { try expectIdentical(local + "/tree", local + "/restored" + path + "/tree") }
    try bacula.end()
  }

  @Test("ends a job on a stopped volume with the reason, and the next job works when it is started")
  func stoppedVolume() throws {
    let (local, path) = try Scratch.folder(on: "small")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let bacula = try Bacula(Bacula.line("small", path + ":timeout=20"))
    #expect(try run("gluster", "--mode=script", "volume", "stop", "small", "force").status == 0)
    let log = try bacula.job("run job=backup yes")
    #expect(try run("gluster", "--mode=script", "volume", "start", "small").status == 0)
    log.expect("*** Backup Error ***", /Fatal error: gfapi: cannot connect to tcp scratch \(default port\), volume small/)
    #expect(bacula.isAlive)
    try Scratch.remount("small")
    try backUpAndRestore(bacula, local, path)
  }

  /// 300 files on the small volume, and what keeps a job at them: a second for each read, or for each write.
  func manyFiles() throws -> (local: String, path: String) {
    let (local, path) = try Scratch.folder(on: "small")
    #expect(try run("sh", "-c", "cd '\(local)' && for n in $(seq 300); do head -c 10000 /dev/urandom > $n; done").status == 0)
    return (local, path)
  }

  func delayed(_ call: String) -> KeyValuePairs<String, String> {
    ["debug.delay-gen": "posix", "delay-gen.enable": call, "delay-gen.delay-percentage": "100", "delay-gen.delay-duration": "1000000"]
  }

  @Test("waits for a brick that is killed under a backup, goes on when it is back, and nothing is missing")
  func brickComesBack() throws {
    let (local, path) = try manyFiles()
    let bacula = try Bacula(Bacula.line("small", path))
    try Scratch.withSmall(delayed("read")) {
      let job = try bacula.start("run job=backup yes")
      #expect(try eventually { try bacula.progress().contains(/Files=[1-9]\d/) })
      kill(try Scratch.firstBrick("small"), SIGKILL)
      sleep(1)
      try Scratch.gluster("volume", "start", "small", "force")
      try bacula.finish(job).expect(
        "Backup OK", Self.wellCarried, /cannot be reached; waiting for it up to 60 s/, /answers again after \d+ s$/)
    }
    try bacula.restore("/returned").expect("Restore OK", Self.wellRestored)
    try Scratch.remount("small")
    let copy = local.dropLast(path.count) + "/returned"
    try expectIdentical(local, copy + path)
    #expect(try run("rm", "-r", String(copy), local).status == 0)
    try bacula.end()
  }

  @Test("fails a job whose brick stays away with the reason within timeout=, lives on, and the next job works")
  func brickStaysAway() throws {
    let (local, path) = try manyFiles()
    let bacula = try Bacula(Bacula.line("small", path + ":timeout=5"))
    try Scratch.withSmall(delayed("read")) {
      let job = try bacula.start("run job=backup yes")
      #expect(try eventually { try bacula.progress().contains(/Files=[1-9]\d/) })
      let began = ContinuousClock.now
      kill(try Scratch.firstBrick("small"), SIGKILL)
      let log = try bacula.finish(job)
      #expect(ContinuousClock.now - began < .seconds(25))
      #expect(log.termination == "*** Backup Error ***", "\(log.text)")
      #expect(log.client.count { $0.contains("the volume cannot be reached any more, the backup ends here") } == 1, "\(log.text)")
    }
    #expect(bacula.isAlive)
    try Scratch.remount("small")
    try backUpAndRestore(bacula, local, path)
    #expect(try run("rm", "-r", local).status == 0)
  }

  @Test("killed in the middle of a restore: the restore that is made again gives an identical tree")
  func killedInRestore() throws {
    let (local, path) = try manyFiles()
    let bacula = try Bacula(Bacula.line("small", path))
    let backup = try bacula.start("run job=backup yes")
    try bacula.finish(backup).expect("Backup OK", Self.wellCarried)
    let command = "restore jobid=\(backup) client=client restorejob=restore where=/killed all done yes"
    try Scratch.withSmall(delayed("write")) {
      let job = try bacula.start(command)
      #expect(try eventually { try bacula.progress().contains(/Restored=[1-9]\d/) })
      try bacula.restartFileDaemon()
      #expect(try bacula.finish(job).termination?.hasPrefix("***") == true)
    }
    try bacula.job(command).expect("Restore OK", Self.wellRestored)
    try Scratch.remount("small")
    let copy = local.dropLast(path.count) + "/killed"
    try expectIdentical(local, copy + path)
    #expect(try run("rm", "-r", String(copy), local).status == 0)
    try bacula.end()
  }

  @Test("ends a job with a wrong definition with our message, and lives on")
  func wrongDefinition() throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let bacula = try Bacula(Bacula.line("plain", path))
    try bacula.job("run job=wrong yes")
      .expect("*** Backup Error ***", /Fatal error: gfapi: .*"port": the port is not a number/)
    #expect(bacula.isAlive)
    try backUpAndRestore(bacula, local, path)
  }

  @Test("tells each file that a full volume does not take, and restores the others")
  func fullVolume() throws {
    let (local, path) = try Scratch.folder(on: "small")
    let commands = """
      cd '\(local)' && mkdir tree && for n in 1 2 3; do head -c 3000000 /dev/urandom > tree/large-$n; done &&
      for n in 1 2 3; do echo $n > tree/small-$n; done
      """
    #expect(try run("sh", "-c", commands).status == 0)
    let bacula = try Bacula(Bacula.line("small", path + "/tree"))
    try bacula.job("run job=backup yes").expect("Backup OK", Self.wellCarried)
    // Room for one of the large ones.
    let filling = try Scratch.fillSmall(leaving: 4_000_000)
    defer { try? FileManager.default.removeItem(atPath: filling) }
    let log = try bacula.restore(path + "/restored")
    try FileManager.default.removeItem(atPath: filling)
    // Files are written side by side: any of them may be the one that finds no room, also a small one.
    let failed = log.client.filter { $0.contains(/Error: gfapi: .*\/tree\/(large|small)-\d: not restored as it was: .*No space left/) }
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
}
