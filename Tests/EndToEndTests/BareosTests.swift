import Foundation
import Testing
import TestSupport

@Suite("Jobs of the real Bareos", .serialized)
struct BareosTests {
  @Test("The tests of Bareos jobs report that they are skipped if BAREOS_BUILD names no tree", .enabled(if: Bareos.trees.isEmpty))
  func skipped() { print("skipped: the real Bareos: BAREOS_BUILD names no build tree") }

  @Test("Bareos restores a hostile tree exactly, to another directory and in place over damaged files", arguments: Bareos.trees)
  func backupAndRestore(_ tree: String) throws {
    let (local, path) = try Scratch.folder()
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "200", local + "/tree").status == 0)
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain"# + path + ":")

    let backup = try bareos.console("run job=backup level=Full yes", "wait", "messages")
    #expect(backup.contains("Termination:            Backup OK\n"), "\(backup)")
    #expect(backup.contains("0 failed") && !backup.contains("Warning: ") && !backup.contains("Error: "), "\(backup)")

    let restore = try bareos.console(
      "restore client=client restorejob=restore where=\(path)/restored select all done yes", "wait", "messages")
    #expect(restore.contains("Termination:            Restore OK\n"), "\(restore)")
    #expect(restore.contains("0 failed") && !restore.contains("Warning: ") && !restore.contains("Error: "), "\(restore)")
    let copy = local + "/restored" + path + "/tree"
    try expectIdentical(local + "/tree", copy)
    #expect(try bareos.fileDaemonIsAlive())

    // In place, over damage.
    #expect(try run("rm", "-r", local + "/tree/names", local + "/tree/types").status == 0)
    #expect(try run("sh", "-c", "echo damage > '\(local)/tree/data/size-4096'; chmod 777 '\(local)/tree/modes/0000'").status == 0)
    let inPlace = try bareos.console(
      "restore client=client restorejob=restore where=/ select all done yes", "wait", "messages")
    #expect(inPlace.contains("Termination:            Restore OK\n"), "\(inPlace)")
    try Scratch.remount("plain")
    try expectIdentical(copy, local + "/tree")
    #expect(try bareos.fileDaemonIsAlive())
  }

  @Test("Bareos estimates, backs up what has changed, and drops deleted entries in accurate mode", arguments: Bareos.trees)
  func incremental(_ tree: String) throws {
    let (local, path) = try Scratch.folder()
    for name in ["a", "b", "c"] {
      try FileManager.default.createDirectory(atPath: "\(local)/\(name)", withIntermediateDirectories: true)
      _ = FileManager.default.createFile(atPath: "\(local)/\(name)/file", contents: Data(name.utf8))
    }
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain"# + path)
    let estimate = try bareos.console("estimate job=accurate level=Full")
    #expect(estimate.contains("files=7 "), "\(estimate)")
    #expect(try bareos.console("run job=accurate level=Full yes", "wait", "messages").contains("Backup OK\n"))

    _ = FileManager.default.createFile(atPath: local + "/a/new", contents: Data("new".utf8))
    try FileManager.default.removeItem(atPath: local + "/b")
    let job = try bareos.console("run job=accurate level=Incremental yes", "wait", "messages")
    #expect(job.contains("Backup OK\n"), "\(job)")
    let restore = try bareos.console(
      "restore client=client restorejob=restore where=\(path)/restored select current all done yes", "wait", "messages")
    #expect(restore.contains("Restore OK\n"), "\(restore)")
    try FileManager.default.removeItem(atPath: local + "/restored" + path + "/restored", ignoringMissing: true)
    let found = try run("sh", "-c", "cd '\(local)/restored\(path)' && find . | sort | tr '\\n' ' '").output
    #expect(found == ". ./a ./a/file ./a/new ./c ./c/file ")
  }

  @Test(
    "Bareos jobs back up changes without a new time in Gluster, with and without accurate mode",
    arguments: Soak.pairs(Bareos.trees, [("backup", "sharded"), ("accurate", "plain"), ("accurate", "sharded")]))
  func undated(_ tree: String, _ kinds: (job: String, volume: String)) throws {
    let (job, kind) = kinds
    let changes = UndatedChange.all(on: kind)
    let entries = try UndatedTree(kind, changes)
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/"# + kind + entries.path)
    let count = changes.count
    func backUp(_ level: String, _ saved: Int) throws {
      let log = try bareos.console("run job=\(job) level=\(level) yes", "wait", "messages")
      #expect(log.contains("Backup OK\n") && log.contains("gfapi: \(saved) entries and "), "\(log)")
    }
    try backUp("Full", 2 * count + 3)
    try backUp("Incremental", 0)
    try entries.change(changes)
    let estimate = try bareos.console("estimate job=\(job) level=Incremental")
    #expect(estimate.contains("files=\(count) "), "\(estimate)")
    try backUp("Incremental", count)
    try backUp("Incremental", 0)
    try backUp("Differential", count)
    let log = try bareos.console(
      "restore client=client restorejob=restore where=/undated-restored select current all done yes", "wait", "messages")
    #expect(log.contains("Restore OK\n"), "\(log)")
    let restored = try Scratch.mount(kind) + "/undated-restored"
    if kind == "sharded" { try Scratch.remount(kind) }
    try expectIdentical(entries.local, restored + entries.path)
    try FileManager.default.removeItem(atPath: restored)
  }

  @Test("A Bareos job fails with a message if it combines accurate mode, a list and Strip Path", arguments: Bareos.trees)
  func stripped(_ tree: String) throws {
    let (local, path) = try Scratch.folder(on: "plain-logged")
    #expect(try run("sh", "-ec", "cd '\(local)'; mkdir -p tree/d; for n in 1 2 3 4 5 6; do echo $n > tree/d/$n; done").status == 0)
    let bareos = try Bareos(
      tree, line: #"gfapi:volume=gluster\\://scratch/plain-logged"# + path + "/tree:", listed: "plain-logged", option: "Strip Path = 1")
    let full = try bareos.console("run job=listed level=Full yes", "wait", "messages")
    #expect(full.contains("Termination:            Backup OK\n"), "\(full)")
    nextSecond()
    #expect(try run("sh", "-ec", "cd '\(local)'; echo more >> tree/d/1").status == 0)
    let log = try bareos.console("run job=listed level=Incremental yes", "wait", "messages")
    #expect(log.contains("*** Backup Error ***") && log.contains("Strip Path, Accurate and gffilelist cannot be combined"), "\(log)")
    // Without accurate mode the job succeeds.
    let other = try bareos.console(
      "run job=listed-only level=Full yes", "wait", "run job=listed-only level=Incremental yes", "wait", "messages")
    #expect(other.ranges(of: "Termination:            Backup OK\n").count == 2, "\(other)")
  }

  @Test("Bareos backs up the changes that glusterfind lists at each level, and a restore equals the volume", arguments: Bareos.trees)
  func listed(_ tree: String) throws {
    let (local, path) = try Scratch.folder(on: "plain-logged")
    func change(_ script: String) throws {
      // Bareos compares times in whole seconds.
      let result = try run("sh", "-ec", "cd '\(local)'; sleep 1.1; \(script)")
      try #require(result.status == 0, "\(result.output)")
      #expect(try Glusterfind.waitForChangelogs("plain-logged"))
    }
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain-logged"# + path + ":", listed: "plain-logged")
    func backUp(_ job: String, _ level: String) throws -> String {
      let log = try bareos.console("run job=\(job) level=\(level) yes", "wait", "messages")
      #expect(log.contains("Termination:            Backup OK\n"), "\(log)")
      #expect(log.contains(" listed in ") && log.contains("; list: ") && !log.contains("Warning: "), "\(log)")
      return log
    }
    func expectSame(_ place: String) throws {
      let log = try bareos.console(
        "restore client=client restorejob=restore fileset=GlusterChanges where=\(path)-\(place) select current all done yes", "wait",
        "messages")
      #expect(log.contains("Termination:            Restore OK\n"), "\(log)")
      try expectIdentical(local, "\(local)-\(place)\(path)")
    }
    try change(
      """
      mkdir -p d/deep e 'c,d'; echo 1 > d/f; echo 2 > d/deep/g; echo 3 > e/h; echo 4 > 'c,d/i'; echo 5 > a; echo 6 > b; ln a a2
      echo 7 > becomes-directory; mkdir becomes-file; echo 8 > becomes-file/x; mkfifo fifo
      """)
    #expect(try backUp("listed", "Full").contains("names listed in"))
    try expectSame("full")
    try change(
      """
      mv d moved; rm moved/f; echo more >> a; rm b; mv e/h h; rmdir e; echo more >> 'c,d/i'; chmod 700 'c,d'; echo 9 > new+name
      rm becomes-directory; mkdir becomes-directory; echo 10 > becomes-directory/y; rm -r becomes-file; echo 11 > becomes-file
      setfattr -n user.x -v 1 moved/deep; setfacl -m u:7:r moved/deep/g
      """)
    _ = try backUp("listed", "Incremental")
    try expectSame("incremental")
    try change("rm fifo; mv moved/deep deep; echo 12 >> deep/g")
    _ = try backUp("listed", "Differential")
    try expectSame("differential")
    _ = try backUp("listed", "Incremental")
    try expectSame("unchanged")

    // Without accurate mode.
    _ = try backUp("listed-only", "Full")
    try change("mv deep deeper; rm h")
    #expect(try backUp("listed-only", "Incremental").contains("without accurate mode"))
    #expect(try bareos.fileDaemonIsAlive())
    // The script that ran after the job has removed the list.
    #expect(!FileManager.default.fileExists(atPath: try Scratch.temporaryFolder() + "/bareos/list"))
  }

  @Test("Bareos restores to another volume and directory with plugin options", arguments: Bareos.trees)
  func pluginOptions(_ tree: String) throws {
    let (local, path) = try Scratch.folder()
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "20", local + "/tree").status == 0)
    let (other, otherPath) = try Scratch.folder(on: "replicated")
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain"# + path)
    #expect(try bareos.console("run job=backup level=Full yes", "wait", "messages").contains("Backup OK\n"))
    // Four backslashes for the shell's printf and bconsole's own unescaping: two reach the director, one reaches the plugin.
    let options = #"gfapi:volume=gluster\\\\\\\\://scratch/replicated"# + otherPath + "/new"
    let restore = try bareos.console(
      #"restore client=client restorejob=restore where=/ pluginoptions="\#(options)" select all done yes"#, "wait", "messages")
    #expect(restore.contains("Restore OK\n"), "\(restore)")
    try expectIdentical(local + "/tree", other + "/new/tree")
  }

  @Test("A Bareos job canceled while it waits for a hanging brick ends, and the daemon keeps running", arguments: Bareos.trees)
  func cancel(_ tree: String) throws {
    let (local, path) = try Scratch.folder(on: "small")
    for number in 0..<100 { _ = FileManager.default.createFile(atPath: local + "/\(number)", contents: Data("x".utf8)) }
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/small"# + path)
    let brick = try Scratch.firstBrick("small")
    kill(brick, SIGSTOP)
    defer { kill(brick, SIGCONT) }
    _ = try bareos.console("run job=backup level=Full yes")
    #expect(try eventually { try bareos.console("status client=client").contains("backup.") })
    let began = ContinuousClock.now
    let cancelled = try bareos.console("cancel jobid=1 yes", "wait jobid=1", "messages")
    #expect(cancelled.contains("Backup Canceled"), "\(cancelled)")
    #expect(ContinuousClock.now - began < .seconds(20))
    #expect(try bareos.fileDaemonIsAlive())
    kill(brick, SIGCONT)
    #expect(try bareos.console("run job=backup level=Full yes", "wait", "messages").contains("Backup OK\n"))
  }

  @Test("Bareos's trace file shows each plugin call from debug level 200 on, and none below", arguments: Bareos.trees)
  func debugged(_ tree: String) throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain"# + path)
    func trace(_ level: Int) throws -> String {
      _ = try bareos.console("setdebug level=\(level) trace=1 client=client")
      #expect(try bareos.console("run job=backup level=Full yes", "wait", "messages").contains("Backup OK\n"))
      let restore = "restore client=client restorejob=restore where=\(path)/restored select all done yes"
      #expect(try bareos.console(restore, "wait", "messages").contains("Restore OK\n"))
      let file = try Scratch.temporaryFolder() + "/bareos/work/client.trace"
      return String(decoding: FileManager.default.contents(atPath: file) ?? Data(), as: UTF8.self)
    }
    #expect(try !trace(100).contains("gfapi-fd"))
    let shown = try trace(200)
    for call in ["handlePluginEvent(", "startBackupFile: 0: \(path)/file\n", "createFile: 0: "] {
      #expect(shown.contains(call), "\(call): \(shown.suffix(4000))")
    }
  }

  @Test("A Bareos job with a wrong plugin definition ends with the plugin's message, and the daemon keeps running", arguments: Bareos.trees)
  func wrongDefinition(_ tree: String) throws {
    let (_, path) = try Scratch.folder()
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain"# + path)
    let job = try bareos.console("run job=wrong yes", "wait", "messages")
    #expect(job.contains("Backup Error") && job.contains(#""port": the port is not a number"#), "\(job)")
    #expect(try bareos.fileDaemonIsAlive())
    #expect(try bareos.console("run job=backup level=Full yes", "wait", "messages").contains("Backup OK\n"))
  }
}

extension FileManager {
  fileprivate func removeItem(atPath path: String, ignoringMissing: Bool) throws {
    if fileExists(atPath: path) { try removeItem(atPath: path) }
  }
}
