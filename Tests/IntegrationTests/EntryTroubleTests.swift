import FDPluginABI
import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Entries with problems", .serialized)
struct EntryTroubleTests {
  /// Backs up a volume with the tool. Unlike this process, which has Foundation, the tool finds the shards of a file.
  func backUp(_ volume: String, _ options: String = "") throws -> (status: Int32, said: String, names: Set<Substring>, archive: String) {
    let archive = try Scratch.temporaryFile(".pax")
    let result = try run(Scratch.tool, "backup", Scratch.line(volume) + options, "-o", archive)
    let names = try run("tar", "-tf", archive).output.split(separator: "\n")
    return (result.status, result.output, Set(names), archive)
  }

  @Test("a backup saves a sharded file whole, whatever size listings report", arguments: ["performance.parallel-readdir", "group"])
  func readAhead(_ option: String) throws {
    try Scratch.withVolume("ahead", bricks: 2) {
      try Scratch.shard("ahead")
      try Scratch.gluster("volume", "set", "ahead", option, option == "group" ? "samba" : "on")
      try Scratch.remount("ahead")
      let local = try Scratch.mount("ahead")
      let commands = """
        cd '\(local)'; mkdir -p tree/d; for p in tree tree/d; do head -c 9437184 /dev/urandom > $p/large; echo x > $p/small
        truncate -s 20000000 $p/sparse; printf X | dd of=$p/sparse bs=1 seek=6000000 conv=notrunc status=none; done
        """
      #expect(try run("sh", "-ec", commands).status == 0)
      let saved = try backUp("ahead", "/tree")
      #expect(saved.status == 0 && !saved.said.contains("warning"), "\(saved.said)")
      let restored = try run(Scratch.tool, "restore", saved.archive, Scratch.line("ahead"), "--where", "/restored")
      #expect(restored.status == 0, "\(restored.output)")
      // With this option a FUSE mount, too, sometimes reads wrong data of a sharded file (10.3).
      try Scratch.gluster("volume", "set", "ahead", "performance.parallel-readdir", "off")
      try Scratch.remount("ahead")
      let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/restored/tree")
      #expect(comparison.status == 0, "\(comparison.output)")
    }
  }

  @Test("a backup and `check` report files in shards if features.shard is off")
  func shardOff() throws {
    try Scratch.withVolume("unsharded", bricks: 1) {
      try Scratch.shard("unsharded")
      let local = try Scratch.mount("unsharded")
      let commands =
        "cd '\(local)'; mkdir d; head -c 9437184 /dev/urandom > d/large; head -c 9000 /dev/urandom > d/small; truncate -s 9000000 d/hole"
      #expect(try run("sh", "-ec", commands).status == 0)
      let check = [Scratch.tool, "check", Scratch.line("unsharded"), "--module", Scratch.modulePath]
      #expect(try !run(check[0], Array(check[1...])).output.contains("features.shard is off"))
      try Scratch.gluster("volume", "set", "unsharded", "features.shard", "off")
      let saved = try backUp("unsharded", "/d")
      #expect(saved.status == 1 && saved.names == ["d/", "d/small"], "\(saved)")
      for name in ["large", "hole"] {
        #expect(saved.said.contains("/d/\(name): ") && saved.said.contains("features.shard is off"), "\(saved.said)")
      }
      #expect(saved.said.contains("not in the archive: /d/"), "\(saved.said)")
      #expect(
        try run(check[0], Array(check[1...])).output.contains("shards:      problem: features.shard is off, and there are files in shards"))
    }
  }

  /// Kills the process of a brick.
  func kill(_ volume: String, _ number: Int) throws {
    #expect(try run("pkill", "-9", "-f", "glusterfsd.*--volfile-id \(volume)[.].*\(volume)\(number) ").status == 0)
  }

  @Test("a file without a reachable good copy is reported once and not as deleted, and the others are saved")
  func noGoodCopy() throws {
    let volume = "arbiter"
    try Scratch.withVolume(volume, bricks: 3, "replica", "3", "arbiter", "1") {
      for option in ["self-heal-daemon", "data-self-heal", "metadata-self-heal", "entry-self-heal"] {
        try Scratch.gluster("volume", "set", volume, "cluster.\(option)", "off")
      }
      let local = try Scratch.mount(volume)
      #expect(
        try run("sh", "-ec", "cd '\(local)'; for n in 1 2 3 4 5; do echo $n > f$n; done; mkdir d; echo x > d/g; echo old > bad").status == 0
      )
      var chain = Chain(Scratch.line(volume, ":timeout=4"))
      try chain.backUp()
      try kill(volume, 1)
      // Once a write returns, the client has noticed the dead brick.
      #expect(try run("sh", "-ec", "echo new > '\(local)/bad'").status == 0)
      try Scratch.startBricks(volume)
      try kill(volume, 2)
      try Scratch.remount(volume)
      #expect(try run("cat", local + "/bad").output.contains("not connected"))
      let saved = try backUp(volume, ":timeout=4")
      #expect(saved.status == 1 && saved.names == ["./", "f1", "f2", "f3", "f4", "f5", "d/", "d/g"], "\(saved)")
      #expect(saved.said.ranges(of: "/bad: ").count == 1 && saved.said.contains("though the volume answers"), "\(saved.said)")
      try chain.backUp { $0.level = UInt8(ascii: "I") }
      #expect(chain.deleted == [], "\(chain.messages)")
      #expect(!chain.messages.contains { $0.severity == .fatal }, "\(chain.messages)")
    }
  }

  @Test("if the copies of an entry are different entries, a backup saves one and reports an error that names it")
  func copiesDiffer() throws {
    let volume = "copies"
    try Scratch.withVolume(volume, bricks: 3, "replica", "3") {
      for option in ["self-heal-daemon", "entry-self-heal"] { try Scratch.gluster("volume", "set", volume, "cluster.\(option)", "off") }
      try Scratch.gluster("volume", "set", volume, "cluster.quorum-type", "none")
      let local = try Scratch.mount(volume)
      let folder = local + "/t"
      #expect(try run("sh", "-ec", "mkdir '\(folder)'; cd '\(folder)'; echo same > same; mkdir alike").status == 0)
      func make(_ content: String, without bricks: Int...) throws {
        for brick in bricks { try kill(volume, brick) }
        // The client may not have connected to the other bricks yet.
        #expect(eventually { mkdir(folder + "/directory", 0o755) == 0 })
        #expect(try run("sh", "-ec", "cd '\(folder)'; echo \(content) > file; ln -s \(content) link; mkfifo fifo").status == 0)
        try Scratch.startBricks(volume)
        try Scratch.remount(volume)
      }
      try make("of-2-and-3", without: 1)
      try make("of-1", without: 2, 3)
      let names = ["directory", "file", "link", "fifo"]
      func isBroken(_ name: String) -> Bool {
        var status = stat()
        return lstat("\(folder)/\(name)", &status) != 0 && errno == EIO
      }
      #expect(eventually { names.allSatisfy(isBroken) })
      var chain = Chain(Scratch.line(volume, "/t"))
      // The first job is full, the second one incremental.
      for _ in 1...2 {
        try chain.backUp()
        let told = chain.messages.filter { $0.severity != .info }.map(\.text)
        #expect(told.count == names.count, "\(told)")
        for name in names {
          let said = "/t/\(name): one of its copies is saved, another one may differ (gluster volume heal copies info split-brain)"
          #expect(told.contains { $0.contains(said) }, "\(name): \(told)")
        }
      }
      let saved = try backUp(volume, "/t")
      let all = ["", "same", "alike/", "directory/", "file", "link", "fifo"].map { "t/" + $0 }
      #expect(saved.status == 1 && saved.names.isSuperset(of: all.map { $0[...] }), "\(saved)")
    }
  }

  @Test(
    "a backup reports a file blocked by a lock after timeout=, saves the others, and can be cancelled at once",
    arguments: [false, true])
  func locked(_ isLarge: Bool) throws {
    let volume = "locking"
    try Scratch.withVolume(volume, bricks: 1) {
      try Scratch.gluster("volume", "set", volume, "locks.mandatory-locking", "forced")
      try Scratch.gluster("volume", "stop", volume, "force")
      try Scratch.gluster("volume", "start", volume)
      try Scratch.remount(volume)
      let local = try Scratch.mount(volume)
      let size = isLarge ? 5_000_000 : 100_000
      #expect(try run("sh", "-ec", "cd '\(local)'; for n in 1 2 3; do head -c \(size) /dev/urandom > f$n; done").status == 0)
      let holder = Process()
      holder.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      holder.arguments = [
        "python3", "-c",
        "import fcntl, os, time; f = open('\(local)/f2', 'r+b'); fcntl.lockf(f, fcntl.LOCK_EX); open('\(local)/locked', 'w'); time.sleep(100)",
      ]
      try holder.run()
      defer {
        // Use SIGKILL: the child may have inherited the blocked signals of this process.
        Glibc.kill(holder.processIdentifier, SIGKILL)
        holder.waitUntilExit()
      }
      #expect(eventually { FileManager.default.fileExists(atPath: local + "/locked") })
      for options in ["", ":readahead=0"] {
        let began = ContinuousClock.now
        let saved = try backUp(volume, ":timeout=3" + options)
        #expect(saved.status == 1 && saved.names == ["./", "f1", "f3", "locked"], "\(saved)")
        #expect(
          saved.said.contains("/f2: ") && saved.said.contains("no answer within 3 s, timeout=; a mandatory lock may block it"),
          "\(saved.said)")
        #expect(ContinuousClock.now - began < .seconds(15))
      }
      let began = ContinuousClock.now
      let cancelled = try run("timeout", "--foreground", "-s", "INT", "2", Scratch.tool, "backup", Scratch.line(volume), "-o", "/dev/null")
      #expect(ContinuousClock.now - began < .seconds(6), "\(cancelled.output)")
      #expect(cancelled.output.contains("cancelled"), "\(cancelled.output)")
    }
  }

  @Test("with server.root-squash, a backup reports what root may not read, and saves the other entries exactly")
  func rootSquash() throws {
    try Scratch.withVolume("squashed", bricks: 1) {
      let local = try Scratch.mount("squashed")
      let commands = """
        cd '\(local)'; mkdir -p tree/open tree/closed; echo 1 > tree/open/1; echo 2 > tree/open/2; ln tree/open/2 tree/open/second
        echo x > tree/secret; chmod 600 tree/secret; echo x > tree/closed/in; chmod 700 tree/closed; mkfifo tree/open/fifo
        """
      #expect(try run("sh", "-ec", commands).status == 0)
      try Scratch.gluster("volume", "set", "squashed", "server.root-squash", "on")
      #expect(eventually { !Scratch.mayRename(local) })
      let saved = try backUp("squashed", "/tree")
      #expect(saved.status == 1, "\(saved)")
      for path in ["/tree/closed", "/tree/secret"] { #expect(saved.said.contains(" \(path): "), "\(saved.said)") }
      #expect(!saved.said.contains("/open") && saved.said.contains("not in the archive: /tree/closed"), "\(saved.said)")
      let cause = "volume squashed denies root what root may do: server.root-squash"
      #expect(saved.said.ranges(of: cause).count == 1, "\(saved.said)")
      let refused = try run(Scratch.tool, "restore", saved.archive, Scratch.line("squashed"), "--where", "/refused")
      #expect(refused.status == 1 && refused.output.ranges(of: cause).count == 1, "\(refused.output)")
      let check = try run(Scratch.tool, "check", Scratch.line("squashed"), "--module", Scratch.modulePath)
      #expect(check.status == 1 && check.output.contains("problem: server.root-squash is on"), "\(check.output)")
      try Scratch.gluster("volume", "reset", "squashed", "server.root-squash")
      #expect(eventually { Scratch.mayRename(local) })
      let restored = try run(Scratch.tool, "restore", saved.archive, Scratch.line("squashed"), "--where", "/restored")
      #expect(restored.status == 0, "\(restored.output)")
      let comparison = try run(Scratch.script("compare-trees"), local + "/tree/open", local + "/restored/tree/open")
      #expect(comparison.status == 0, "\(comparison.output)")
    }
  }

  @Test("a backup reports the unreadable entries in the trash of a volume, and one message explains the trash")
  func trash() throws {
    try Scratch.withVolume("trash", bricks: 1) {
      try Scratch.gluster("volume", "set", "trash", "features.trash", "on")
      let local = try Scratch.mount("trash")
      #expect(eventually { FileManager.default.fileExists(atPath: local + "/.trashcan") })
      let commands = "cd '\(local)'; for d in a b; do mkdir $d; echo x > $d/f; rm $d/f; done; echo y > g"
      #expect(try run("sh", "-ec", commands).status == 0)
      let saved = try backUp("trash")
      #expect(saved.status == 1 && saved.names.isSuperset(of: ["./", "g", "a/", "b/"]), "\(saved)")
      #expect(saved.said.ranges(of: "/.trashcan is the trash of the volume (features.trash): exclude it").count == 1, "\(saved.said)")
      let check = try run(Scratch.tool, "check", Scratch.line("trash"), "--module", Scratch.modulePath)
      #expect(check.status == 1 && check.output.contains("warning: features.trash is on"), "\(check.output)")
    }
  }

  @Test("a backup leaves out snapshots that users may see")
  func visibleSnapshots() throws {
    try Scratch.withVolume("visible", bricks: 1) {
      for option in ["features.uss", "features.show-snapshot-directory"] { try Scratch.gluster("volume", "set", "visible", option, "on") }
      try Scratch.remount("visible")
      let local = try Scratch.mount("visible")
      #expect(try run("sh", "-ec", "cd '\(local)'; mkdir d; echo x > d/f").status == 0)
      #expect(eventually { FileManager.default.fileExists(atPath: local + "/.snaps") })
      let saved = try backUp("visible")
      #expect(saved.status == 0 && saved.names == ["./", "d/", "d/f"], "\(saved)")
      #expect(saved.said.contains("(plain, 1 brick)"), "\(saved.said)")
    }
  }

  @Test("an entry with the mark of sockets in the tool's archive is restored as what it is")
  func marked() throws {
    let (local, path) = try Scratch.folder()
    let commands = """
      cd '\(local)'; mkdir tree; cd tree; echo data > full; : > other; mkdir d; for e in full other d; do setfattr -n user.gfapi-fd.type -v mine $e; done
      echo data > exact; setfattr -n user.gfapi-fd.type -v socket exact
      python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('s')"
      """
    #expect(try run("sh", "-ec", commands).status == 0)
    let saved = try backUp("plain", path + "/tree")
    #expect(saved.status == 0, "\(saved.said)")
    let restored = try run(Scratch.tool, "restore", saved.archive, Scratch.line(), "--where", path + "/restored")
    #expect(restored.status == 0, "\(restored.output)")
    let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/restored" + path + "/tree")
    #expect(comparison.status == 0, "\(comparison.output)")
  }

  @Test("`check` refuses a snapdir= with an entry point of snapshots that would end the process")
  func snapshotDirectory() throws {
    try Scratch.withVolume("uss", bricks: 1) {
      try Scratch.gluster("volume", "set", "uss", "features.uss", "enable")
      for (name, isRefused) in [(".snaps", true), ("dir/.snaps", true), ("dir", false)] {
        let check = try run(Scratch.tool, "check", Scratch.line("uss") + ":snapdir=\(name)", "--module", Scratch.modulePath)
        #expect(check.output.contains("snapdir=\(name): it must not contain .snaps") == isRefused, "\(check.output)")
        #expect(
          isRefused ? check.status == 2 : check.status == 0 && check.output.contains("type:        plain, 1 brick\n"), "\(check.output)")
      }
      try Scratch.gluster("volume", "set", "uss", "features.snapshot-directory", ".history")
      let check = try run(Scratch.tool, "check", Scratch.line("uss") + ":snapdir=/.history", "--module", Scratch.modulePath)
      #expect(check.output.contains("it must not contain .history"), "\(check.output)")
    }
  }
}

@Suite("Restore over existing files", .serialized)
struct InPlaceTests {
  static let names = (1...60).map { "f\($0)" } + ["link", "hard", "fifo"]

  /// Makes a tree and a backup of it.
  func make(on kind: String, size: Int = 200_000) throws -> (local: String, path: String, backup: MemoryBackup) {
    let (local, path) = try Scratch.folder(on: kind, "place")
    let commands =
      "cd '\(local)'; for n in $(seq 60); do head -c \(size) /dev/urandom > f$n; done; ln -s f1 link; ln f1 hard; mkfifo fifo; chmod 640 f2; setfattr -n user.a -v 1 f3"
    #expect(try run("sh", "-ec", commands).status == 0)
    let backup = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line(kind, path), to: backup) }
    return (local, path, backup)
  }

  /// Returns the names in a folder.
  func names(_ local: String) throws -> Set<String> { Set(try FileManager.default.contentsOfDirectory(atPath: local)) }

  @Test("a restore replaces existing files by complete ones", arguments: ["plain", "distributed", "replicated"])
  func replaced(_ kind: String) throws {
    let (local, path, backup) = try make(on: kind)
    #expect(
      try run(
        "sh", "-ec",
        "cp -a '\(local)' '\(local)-copy'; cd '\(local)'; for n in $(seq 60); do echo other >> f$n; done; rm fifo; echo x > fifo"
      ).status == 0)
    #expect(try withJob { try backup.restore($0, Scratch.line(kind, path)) }.failed == 0)
    try Scratch.remount(kind)
    #expect(try names(local) == Set(Self.names))
    let comparison = try run(Scratch.script("compare-trees"), local + "-copy", local)
    #expect(comparison.status == 0, "\(comparison.output)")
  }

  @Test(
    "a restore cancelled at any moment leaves existing files whole, and no other files",
    arguments: Soak.cases(["plain"], of: ["plain", "distributed", "dispersed"]))
  func cancelled(_ kind: String) throws {
    let (local, path, backup) = try make(on: kind)
    #expect(try run("cp", "-a", local, local + "-copy").status == 0)
    var random = Random(seed: 11)
    for _ in 0..<Soak.rounds(8, 100) {
      let moment = Int.random(in: 0..<60, using: &random)
      try withJob { job throws in
        _ = try backup.restore(job, Scratch.line(kind, path)) { if $0 == moment { job.cancel() } }
      }
      try Scratch.remount(kind)
      var left: Set<String> = []
      #expect(
        try eventually(within: 10) {
          left = try names(local).symmetricDifference(Self.names)
          return left == []
        }, "\(left) at \(moment)")
      for name in Self.names.dropLast() {
        #expect(try run("cmp", local + "/" + name, local + "-copy/" + name).status == 0, "\(name) at \(moment)")
      }
    }
  }

  @Test("a restore leaves an existing file unchanged if the volume has no room for the new one")
  func noRoom() throws {
    let (local, path, backup) = try make(on: "small", size: 100_000)
    #expect(try run("sh", "-ec", "cd '\(local)'; rm f5[0-9]; for n in $(seq 40); do echo old > f$n; done").status == 0)
    let (failed, messages) = try Scratch.withFullSmall(leaving: 1_500_000) {
      try withJob { job throws in (try backup.restore(job, Scratch.line("small", path)).failed, job.messages) }
    }
    #expect(failed > 0)
    try Scratch.remount("small")
    let told = messages.filter { $0.severity == .error }.map(\.text)
    for number in 2...40 {
      let name = "f\(number)"
      let isOld = try String(contentsOfFile: "\(local)/\(name)", encoding: .isoLatin1) == "old\n"
      let size = try FileManager.default.attributesOfItem(atPath: "\(local)/\(name)")[.size] as? Int
      #expect(isOld || size == 100_000, "\(name)")
      #expect(isOld == told.contains { $0.contains("/\(name): ") }, "\(name): \(told)")
    }
    #expect(told.contains { $0.contains("the existing file is unchanged") }, "\(told)")
    #expect(try names(local).subtracting(Self.names) == [])
    #expect(try run("rm", "-r", local).status == 0)
  }

  @Test("a restore reports a file of which the backup has only a part", arguments: [ABI.bareos21, .bareos26, .bacula9, .bacula15])
  func short(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    var status = stat()
    (status.st_mode, status.st_nlink, status.st_size) = (S_IFREG | 0o644, 1, 400_000)
    let items = [("part", 262_136), ("whole", 400_000)].map { name, length in
      MemoryBackup.Item(
        entry: SavedEntry(type: FD_FT_REG, path: Array("\(path)/\(name)".utf8), status: status), data: [UInt8](repeating: 7, count: length))
    }
    let messages = try withJob(abi: abi) { job throws in
      #expect(try MemoryBackup(items).restore(job, Scratch.line()).failed == 1)
      return job.messages.filter { $0.severity == .error }.map(\.text)
    }
    #expect(messages.count == 1 && messages[0].contains("\(path)/part: the backup has only 262136 of its 400000 bytes"), "\(messages)")
    #expect(try FileManager.default.attributesOfItem(atPath: local + "/part")[.size] as? Int == 262_136)
  }

  /// Backs up each of `lines`, and returns the items of each backup.
  private static func backUp(_ lines: [String], abi: ABI = .bareos26) throws -> [[MemoryBackup.Item]] {
    try lines.map { line in
      let backup = MemoryBackup()
      _ = try withJob(abi: abi) { try $0.backup(line, to: backup) }
      return backup.items
    }
  }

  /// Restores `items`, which were backed up with `line`.
  ///
  /// - Returns: for each item, true if the job goes on after it.
  private static func restore(_ items: [MemoryBackup.Item], of line: String, with restore: inout Restore) throws -> [Bool] {
    restore.goOn(with: line)
    var goesOn: [Bool] = []
    for item in items {
      let data = item.data
      goesOn.append(try restore.restore(item.entry, length: data.count) { write in _ = data.withUnsafeBytes { write(0, $0) } })
    }
    return goesOn
  }

  @Test("a restore goes on with the next plugin line after a late error, and counts the error", arguments: [ABI.bareos26, .bacula9])
  func lines(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-ec", "cd '\(local)'; mkdir -p one two; echo 1 > one/f; echo 2 > two/g; echo 3 > two/h").status == 0)
    let lines = ["one", "two"].map { Scratch.line("plain", "\(path)/\($0)") }
    let backups = try Self.backUp(lines, abi: abi)
    // A directory stands in the place of a file.
    #expect(try run("sh", "-ec", "cd '\(local)'; rm -r one two; mkdir -p one/f").status == 0)
    var finished = false
    let messages = try withJob(abi: abi) { job throws in
      var restore = Restore(job, lines[0])
      for (line, items) in zip(lines, backups) {
        // Restore the directory's own record first, so that the failing entry is the last one of its line.
        finished = try Self.restore(items.reversed(), of: line, with: &restore).last == true
      }
      let failed = restore.end().failed
      #expect(failed > 0)
      return job.messages
    }
    #expect(finished)
    #expect(messages.contains { $0.severity == .error && $0.text.contains("/one/f: ") }, "\(messages)")
    try Scratch.remount("plain")
    #expect(try String(contentsOfFile: local + "/two/g", encoding: .utf8) == "2\n")
    #expect(try String(contentsOfFile: local + "/two/h", encoding: .utf8) == "3\n")
  }

  @Test(
    "with an override, a hard link across plugin lines links to the file that the restore has made",
    arguments: ["plain", "distributed"])
  func linkAcrossLines(_ kind: String) throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-ec", "cd '\(local)'; mkdir -p one/d two; echo 1 > one/d/f; ln one/d/f two/g; echo 2 > two/h").status == 0)
    let lines = ["one", "two"].map { Scratch.line("plain", "\(path)/\($0)") }
    let first = Array("\(path)/one/d/f".utf8)
    let backups = try Self.backUp(lines).map { items in
      items.map { item in
        var item = item
        // A daemon knows the first name from the plugin line before.
        if item.entry.path.ends(with: "/g") { (item.entry.type, item.entry.link, item.data) = (FD_FT_LNKSAVED, first, []) }
        return item
      }
    }
    let target = try Scratch.folder(on: kind)
    for place in ["", "/where"] {
      var options = MiniJob.Options()
      options.pluginOptions = Scratch.line(kind, target.path)
      var restoreOptions = RestoreOptions()
      restoreOptions.prefix = place.isEmpty ? [] : Array((target.path + place).utf8)
      try withJob(options) { job throws in
        var restore = Restore(job, lines[0], restoreOptions)
        for (line, items) in zip(lines, backups) {
          let goesOn = try Self.restore(items, of: line, with: &restore)
          #expect(goesOn.allSatisfy { $0 })
        }
        let failed = restore.end().failed
        #expect(failed == 0, "\(job.messages)")
      }
      try Scratch.remount(kind)
      let folder = target.local + (place.isEmpty ? "" : place + target.path)
      var (file, link) = (stat(), stat())
      #expect(lstat(folder + "/d/f", &file) == 0 && lstat(folder + "/g", &link) == 0 && file.st_ino == link.st_ino, "\(place)")
      #expect(file.st_nlink == 2)
    }
    // The restore has linked nothing to the existing files.
    var file = stat()
    #expect(lstat(local + "/one/d/f", &file) == 0 && file.st_nlink == 2)
  }

  @Test("a directory restored by an earlier plugin line keeps its time when a later line restores into it")
  func times() throws {
    let (local, path) = try Scratch.folder()
    #expect(
      try run("sh", "-ec", "cd '\(local)'; mkdir -p one/d two; echo 1 > one/d/f; echo 2 > two/g; touch -d @1000000 one/d one two").status
        == 0)
    let lines = ["one", "two"].map { Scratch.line("plain", "\(path)/\($0)") }
    let backups = try Self.backUp(lines)
    let target = try Scratch.folder("restored")
    var options = RestoreOptions()
    options.prefix = Array(target.path.utf8)
    try withJob { job throws in
      var restore = Restore(job, lines[0], options)
      // The incremental job has only the file.
      let later = backups[0].filter { $0.entry.path.ends(with: "/f") }
      for (line, items) in [(lines[0], backups[0]), (lines[1], backups[1]), (lines[0], later)] {
        let goesOn = try Self.restore(items, of: line, with: &restore)
        #expect(goesOn.allSatisfy { $0 })
      }
      let failed = restore.end().failed
      #expect(failed == 0)
    }
    try Scratch.remount("plain")
    for folder in ["one", "one/d", "two"] {
      var status = stat()
      #expect(lstat("\(target.local)\(path)/\(folder)", &status) == 0 && status.st_mtim.tv_sec == 1_000_000, "\(folder)")
    }
  }
}

extension [UInt8] {
  fileprivate func ends(with text: String) -> Bool { suffix(text.utf8.count).elementsEqual(text.utf8) }
}
