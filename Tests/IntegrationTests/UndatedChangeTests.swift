import Foundation
import MiniDaemon
import Testing
import TestSupport

/// Not every change gets a new time from Gluster (`features.ctime`, on by default). A backup that compares times would miss such an
/// undated change.
@Suite("Changes that Gluster does not date")
struct UndatedChangeTests {
  @Test(
    "the next incremental and differential backup save an undated change, and nothing else, on each kind of volume",
    arguments: Soak.cases(Scratch.kinds.map { ($0, .bareos26) } + [("plain", .bacula15)], of: Soak.pairs(Scratch.kinds, ABI.allCases)))
  func crawled(_ kind: String, _ abi: ABI) throws {
    let tree = try UndatedTree(kind, UndatedChange.all)
    var chain = Chain(Scratch.line(kind, tree.path), abi: abi)
    try chain.backUp(accurate: false)
    try chain.backUp(accurate: false)
    #expect(chain.backedUp == [])
    try tree.change(UndatedChange.all)
    let changed = tree.paths(UndatedChange.all)
    try chain.backUp(accurate: false)
    #expect(Set(chain.backedUp) == changed)
    let target = try Scratch.folder(on: kind, "restored")
    let difference = try chain.difference(kind, from: tree.local, tree.path, in: target)
    #expect(difference == "", "\(difference)")
    try chain.backUp(accurate: false)
    #expect(chain.backedUp == [])
    try chain.backUp("", .differential, accurate: false)
    #expect(Set(chain.backedUp) == changed)
    #expect(chain.messages.allSatisfy { $0.severity == .info }, "\(chain.messages)")
  }

  /// Uses the tool, because a process that has Foundation does not find the shards of a file.
  @Test("the next incremental backup saves a change beyond the first shard of a file, and nothing else")
  func shards() throws {
    let tree = try UndatedTree("sharded", UndatedChange.ofShards)
    let archives = try Scratch.temporaryFolder() + "/" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: archives, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: archives) }
    var began: [Int] = []
    /// Runs a backup and returns the paths of the files in it.
    func backUp(since: Int? = nil) throws -> Set<String> {
      let archive = "\(archives)/\(began.count)"
      began.append(time(nil))
      let options = since.map { ["--since", "\($0)"] } ?? []
      let result = try run(Scratch.tool, ["backup", Scratch.line("sharded", tree.path), "-o", archive] + options)
      #expect(result.status == 0 && !result.output.contains("warning"), "\(result.status): \(result.output)")
      return Set(try run("tar", "-tf", archive).output.split(separator: "\n").map { "/" + $0 }.filter { !$0.hasSuffix("/") })
    }
    _ = try backUp()
    nextSecond()
    #expect(try backUp(since: began[0]) == [])
    try tree.change(UndatedChange.ofShards)
    let changed = tree.paths(UndatedChange.ofShards)
    #expect(try backUp(since: began[1]) == changed)
    nextSecond()
    #expect(try backUp(since: began[2] + 1) == [])
    #expect(try backUp(since: began[1]) == changed)
    let target = try Scratch.folder(on: "sharded", "restored")
    for archive in [0, 2] {
      let result = try run(Scratch.tool, "restore", "\(archives)/\(archive)", Scratch.line("sharded"), "--where", target.path)
      #expect(result.status == 0, "\(result.output)")
    }
    try Scratch.remount("sharded")
    let comparison = try run(Scratch.script("compare-trees"), tree.local, target.local + tree.path)
    // The second restore puts files into a directory that its archive does not have.
    let differences = comparison.output.split(separator: "\n").filter { !$0.hasPrefix("b'changed': time:") }
    #expect(differences.count == 1, "\(comparison.output)")
  }

  @Test("an incremental backup saves a sparse image of 2 GiB with shards of 64 MiB, wherever it was written", .soak)
  func image() throws {
    try Scratch.withVolume("image", bricks: 1) {
      try Scratch.shard("image", size: nil)
      let mount = try Scratch.mount("image")
      let local = mount + "/disk"
      /// Writes 1 MiB at each of `count` random places beyond the first shard of each named image.
      func write(_ names: [String], seed: UInt64, count: Int) throws {
        let script = """
          import os, random
          for name in '\(names.joined(separator: " "))'.split():
            places = random.Random(\(seed))
            with open('\(local).' + name, 'r+b' if os.path.exists('\(local).' + name) else 'w+b') as file:
              file.truncate(2 << 30)
              for _ in range(\(count)):
                file.seek(places.randrange(65 << 20, 2047 << 20)); file.write(os.urandom(1 << 20))
          """
        let result = try run("python3", "-c", script)
        try #require(result.status == 0, "\(result.output)")
        nextSecond()
      }
      let archive = try Scratch.temporaryFile(".pax")
      defer { try? FileManager.default.removeItem(atPath: archive) }
      /// Runs an incremental backup and returns the names of the images in it.
      func backUp(since: Int) throws -> String {
        let result = try run(Scratch.tool, "backup", Scratch.line("image"), "-o", archive, "--since", "\(since)")
        #expect(result.status == 0 && !result.output.contains("warning"), "\(result.status): \(result.output)")
        return try run("tar", "-tf", archive).output
      }
      try write(["changes", "stays"], seed: 1, count: 20)
      #expect(try run(Scratch.tool, "backup", Scratch.line("image"), "-o", "/dev/null").status == 0)
      for seed in 2..<5 as Range<UInt64> {
        nextSecond()
        let since = time(nil)
        #expect(try backUp(since: since) == "")
        try write(["changes"], seed: seed, count: 1)
        #expect(try backUp(since: since) == "disk.changes\n")
      }
      #expect(try run(Scratch.tool, "restore", archive, Scratch.line("image"), "--where", "/restored").status == 0)
      try Scratch.remount("image")
      let sums = try run("sh", "-c", "cd '\(mount)'; sha256sum < disk.changes; sha256sum < restored/disk.changes").output
      #expect(Set(sums.split(separator: "\n")).count == 1, "\(sums)")
    }
  }

  /// The files are in the root of a sharded volume, which is listed by names alone.
  @Test("if shards cannot be listed, an incremental backup saves all files of several shards, with a warning")
  func noShards() throws {
    try Scratch.withVolume("unlisted", bricks: 1) {
      try Scratch.shard("unlisted")
      let commands =
        "cd '\(try Scratch.mount("unlisted"))'; for n in 1 2; do head -c 9000000 /dev/urandom > large-$n; echo $n > small-$n; done"
      #expect(try run("sh", "-ec", commands).status == 0)
      let archive = try Scratch.temporaryFile(".pax")
      defer { try? FileManager.default.removeItem(atPath: archive) }
      func backUp(_ options: String...) throws -> (said: String, paths: Set<Substring>) {
        let result = try run(Scratch.tool, ["backup", Scratch.line("unlisted"), "-o", archive] + options)
        #expect(result.status == 0, "\(result.output)")
        return (result.output, Set(try run("tar", "-tf", archive).output.split(separator: "\n")))
      }
      nextSecond()
      let since = "\(time(nil))"
      _ = try backUp()
      nextSecond()
      let warning = "files of more than one shard count as changed: their times are those of the first shard, and the others cannot"
      let listed = try backUp("--since", since)
      #expect(!listed.said.contains(warning) && listed.paths == [], "\(listed)")
      let unlisted = try Scratch.withoutListings(on: "unlisted") { try backUp("--since", since) }
      #expect(unlisted.said.contains(warning) && unlisted.paths == ["large-1", "large-2"], "\(unlisted)")
    }
  }

  @Test("an incremental backup saves all names of a file that lost one because another file was renamed over it", arguments: [true, false])
  func renamedOver(_ isFirst: Bool) throws {
    let (local, path) = try Scratch.folder("names")
    let names = isFirst ? ["a", "b"] : ["b", "a"]
    #expect(
      try run(
        "sh", "-ec", "cd '\(local)'; echo old > \(names[0]); ln \(names[0]) \(names[1]); ln a c; echo another > other; echo x > e; ln e f"
      ).status == 0)
    nextSecond()
    var chain = Chain(Scratch.line("plain", path))
    try chain.backUp(accurate: false)
    try chain.backUp(accurate: false)
    #expect(chain.backedUp == [])
    nextSecond()
    #expect(try run("mv", local + "/other", local + "/" + names[0]).status == 0)
    nextSecond()
    try chain.backUp()
    #expect(Set(chain.backedUp) == [path, "\(path)/a", "\(path)/b", "\(path)/c"], "\(chain.messages)")
    let difference = try chain.difference("plain", from: local, path, in: Scratch.folder("restored"))
    #expect(difference == "", "\(difference)")
    try chain.backUp()
    #expect(chain.backedUp == [])
  }

  static let dated = ["attribute removed", "default ACL removed", "mode", "owner", "data"]

  @Test(
    "a backup with attributes=dated misses an undated change, and the next job without it finds it",
    arguments: Soak.cases(["plain"], of: Scratch.kinds))
  func dated(_ kind: String) throws {
    let tree = try UndatedTree(kind, UndatedChange.all)
    var chain = Chain(Scratch.line(kind, tree.path))
    try chain.backUp(accurate: false)
    try tree.change(UndatedChange.all)
    let all = tree.paths(UndatedChange.all)
    let dated = tree.paths(UndatedChange.all.filter { Self.dated.contains($0.name) })
    try chain.backUp(":attributes=dated", accurate: false)
    #expect(Set(chain.backedUp) == dated)
    #expect(chain.messages.first?.text.contains(", by crawl (times") == true, "\(chain.messages)")
    nextSecond()
    try chain.backUp(accurate: false)
    #expect(Set(chain.backedUp) == all.subtracting(dated))
    #expect(chain.messages.first?.text.contains(", by crawl (times, attributes, ACLs, holes") == true, "\(chain.messages)")
  }

  @Test("a backup compares times alone if the bricks keep them (features.ctime off), and misses no change")
  func ctimeOff() throws {
    let small = try Scratch.mount("small")
    try Scratch.withSmall(["features.ctime": "off"]) {
      // The client of the mount was connected before the bricks had this option.
      try Scratch.remount("small")
      let tree = try UndatedTree("small", UndatedChange.all)
      var chain = Chain(Scratch.line("small", tree.path))
      try chain.backUp(accurate: false)
      try chain.backUp(accurate: false)
      #expect(chain.backedUp == [])
      try tree.change(UndatedChange.all)
      try chain.backUp(accurate: false)
      #expect(Set(chain.backedUp) == tree.paths(UndatedChange.all))
      #expect(chain.messages.first?.text.hasSuffix(", by crawl (times)") == true, "\(chain.messages)")
    }
    #expect(try run("sh", "-c", "rm -r '\(small)'/undated-*").status == 0)
  }

  @Test("an incremental backup does not save unchanged files again that are older than the sharding of the volume")
  func shardedLater() throws {
    try Scratch.withVolume("later") {
      let local = try Scratch.mount("later")
      #expect(try run("sh", "-ec", "cd '\(local)'; head -c 9000000 /dev/urandom > old; truncate -s 9000000 hole").status == 0)
      try Scratch.shard("later")
      nextSecond()
      var chain = Chain(Scratch.line("later"))
      try chain.backUp(accurate: false)
      try chain.backUp(accurate: false)
      #expect(chain.backedUp == [] && chain.messages.allSatisfy { $0.severity == .info }, "\(chain.backedUp) \(chain.messages)")
      // Such a file has no shards of which a delta could be made.
      var deltas = Chain(Scratch.line("later", "", ":delta=yes"))
      try deltas.backUp()
      _ = try run("sh", "-ec", "cd '\(local)'; printf x >> old")
      nextSecond()
      try deltas.backUp()
      #expect(deltas.backedUp == ["/old"] && deltas.messages.allSatisfy { $0.severity == .info }, "\(deltas.backedUp) \(deltas.messages)")
      #expect(deltas.items.contains { $0.entry.delta == 0 && $0.data.count == 9_000_001 })
    }
  }

  @Test("a job waits for an unreachable brick with shards, and does not take a missing shard for a hole")
  func shardOnBrickThatIsAway() throws {
    try Scratch.withVolume("pieces") {
      try Scratch.shard("pieces")
      let local = try Scratch.mount("pieces")
      #expect(try run("sh", "-ec", "cd '\(local)'; for n in 1 2 3 4; do head -c 30000000 /dev/urandom > $n; done").status == 0)
      nextSecond()
      let line = Scratch.line("pieces")
      #expect(try run(Scratch.tool, "backup", line, "-o", "/dev/null").status == 0)
      nextSecond()
      let since = time(nil)
      let write = "cd '\(local)'; for n in 1 2 3 4; do for m in 1 2 3 4 5 6 7; do printf X | dd of=$n bs=1 seek=${m}000000$m conv=notrunc"
      #expect(try run("sh", "-ec", write + "; done; done").status == 0)
      nextSecond()
      try Scratch.killBrick("pieces", for: 4) { true }
      let result = try run(Scratch.tool, "list", line, "--since", "\(since)")
      #expect(result.status == 0, "\(result.output)")
      for name in 1...4 { #expect(result.output.contains(" /\(name)\n"), "\(result.output)") }
    }
  }

  @Test("a backup finds an undated change again after a failed job or an estimate")
  func failed() throws {
    let tree = try UndatedTree("plain", UndatedChange.all)
    let line = Scratch.line("plain", tree.path)
    var chain = Chain(line)
    try chain.backUp(accurate: false)
    try tree.change(UndatedChange.all)
    let changed = tree.paths(UndatedChange.all)
    for _ in 0..<2 {
      try chain.backUp(accurate: false, fails: true)
      #expect(Set(chain.backedUp) == changed)
    }
    let undated = UndatedChange.all.count - Self.dated.count
    #expect(chain.messages.last?.text.hasSuffix("; \(undated) have changed without a new time") == true, "\(chain.messages)")
    for _ in 0..<2 { #expect(try chain.estimate() == changed) }
    try chain.backUp(accurate: false)
    #expect(Set(chain.backedUp) == changed)
    #expect(try chain.estimate() == [])
  }

  @Test("a backup saves undated changes even if earlier jobs were killed at any moment")
  func killed() throws {
    let tree = try UndatedTree("plain", UndatedChange.all)
    let directory = try Scratch.temporaryFile(".state")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let line = Scratch.line("plain", tree.path, ":statedir=\(directory)")
    #expect(try run(Scratch.tool, "backup", line, "-o", "/dev/null").status == 0)
    nextSecond()
    let since = time(nil)
    try tree.change(UndatedChange.all)
    for hundredths in Soak.isOn ? Array(1...60) : [5, 15, 25, 40] {
      _ = try run(
        "timeout", "-s", "KILL", "\(Double(hundredths) / 100)", Scratch.tool, "backup", line, "-o", "/dev/null", "--since", "\(since)")
    }
    let output = try run(Scratch.tool, "backup", line, "-o", "/dev/null", "--since", "\(since)").output
    #expect(output.contains("gfapi: \(UndatedChange.all.count) entries and "), "\(output)")
    let databases = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".db") }
    #expect(databases.count == 1)
    let check = try run("sqlite3", "\(directory)/\(databases.first ?? "")", "PRAGMA integrity_check")
    #expect(check.output == "ok\n", "\(check.output)")
  }

  @Test(
    "a backup saves entries once more if the database is lost or damaged, with one message", arguments: ["rm $d", "echo nonsense > $d"])
  func lost(_ damage: String) throws {
    let tree = try UndatedTree("plain", UndatedChange.all)
    let directory = try Scratch.temporaryFile(".state")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var chain = Chain(Scratch.line("plain", tree.path, ":statedir=\(directory)"))
    try chain.backUp(accurate: false)
    try tree.change(UndatedChange.all)
    let result = try run("sh", "-ec", "d=$(ls \(directory)/*.db); [ -s $d ]; \(damage)")
    try #require(result.status == 0, "\(result.output)")
    try chain.backUp(accurate: false)
    let changed = tree.paths(UndatedChange.all.filter { $0.name != "ACL removed" })
    // Unchanged entries that have attributes, ACLs or holes are backed up as well.
    let same = ["attribute changed", "attribute removed", "ACL changed", "ACL removed", "default ACL removed", "another hole"]
    #expect(Set(chain.backedUp) == changed.union(tree.paths(UndatedChange.all.filter { same.contains($0.name) }, in: "same")))
    let warnings = chain.messages.filter { $0.severity == .warning && $0.text.contains(": this job backs up every entry that has ") }
    #expect(warnings.count == 1, "\(chain.messages)")
    nextSecond()
    try chain.backUp(accurate: false)
    #expect(chain.backedUp == [] && chain.messages.allSatisfy { $0.severity == .info }, "\(chain.backedUp) \(chain.messages)")
  }

  @Test("a backup saves undated changes even if the disk of the database is full")
  func full() throws {
    let tree = try UndatedTree("plain", UndatedChange.all)
    let disk = try Scratch.temporaryFile(".disk")
    let result = try run("sh", "-ec", "mkdir \(disk); mount -t tmpfs -o size=64k state \(disk)")
    try #require(result.status == 0, "\(result.output)")
    defer { _ = try? run("umount", disk) }
    var chain = Chain(Scratch.line("plain", tree.path, ":statedir=\(disk)/state"))
    try chain.backUp(accurate: false)
    _ = try run("sh", "-c", "head -c 1000000 /dev/zero > \(disk)/fill")
    try tree.change(UndatedChange.all)
    let changed = tree.paths(UndatedChange.all)
    try chain.backUp(accurate: false)
    #expect(Set(chain.backedUp) == changed)
    #expect(chain.messages.contains { $0.severity == .warning && $0.text.contains(" cannot be written: ") }, "\(chain.messages)")
    // The state that the last job saw is not known, so every entry that has or had attributes, ACLs or holes is backed up again.
    #expect(try run("rm", disk + "/fill").status == 0)
    nextSecond()
    try chain.backUp(accurate: false)
    let undated = tree.paths(UndatedChange.all.filter { !Self.dated.contains($0.name) })
    #expect(Set(chain.backedUp).isSuperset(of: undated))
    try chain.backUp(accurate: false)
    #expect(chain.backedUp == [] && chain.messages.allSatisfy { $0.severity == .info }, "\(chain.backedUp) \(chain.messages)")
  }

  @Test("two jobs that run at once both save undated changes")
  func atOnce() throws {
    let tree = try UndatedTree("plain", UndatedChange.all)
    let line = Scratch.line("plain", tree.path)
    /// The jobs of one daemon.
    final class Daemon: @unchecked Sendable {
      var chain: Chain
      init(_ chain: Chain) { self.chain = chain }
    }
    let daemons = [Daemon(Chain(line)), Daemon(Chain(line, abi: .bacula15))]
    for daemon in daemons { try daemon.chain.backUp(accurate: false) }
    try tree.change(UndatedChange.all)
    DispatchQueue.concurrentPerform(iterations: 2) { index in
      #expect(throws: Never.self) { try daemons[index].chain.backUp(accurate: false) }
    }
    for daemon in daemons { #expect(Set(daemon.chain.backedUp) == tree.paths(UndatedChange.all), "\(daemon.chain.messages)") }
    nextSecond()
    // Changes that the other job saw after this job had begun may be backed up once more.
    for daemon in daemons { try daemon.chain.backUp(accurate: false) }
    nextSecond()
    for daemon in daemons {
      try daemon.chain.backUp(accurate: false)
      #expect(daemon.chain.backedUp == [], "\(daemon.chain.messages)")
    }
  }
}
