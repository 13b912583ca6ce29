import Foundation
import MiniDaemon
import TestSupport
import Testing

/// Gluster does not date every change (`features.ctime`, on by default): a backup that goes by times would miss it.
@Suite("A change that Gluster does not date")
struct UndatedChangeTests {
  /// One entry of the tree: how it is made, in a shell, `$e` is its path; and how it changes.
  struct Change: Sendable {
    let name: String
    let make: String
    let change: String

    static let all = [
      Change(name: "attribute set", make: "head -c 9000 /dev/urandom > $e", change: "setfattr -n user.a -v 1 $e"),
      Change(
        name: "attribute changed", make: "echo x > $e; setfattr -n user.a -v 1 $e", change: "setfattr -n user.a -v 2 $e"),
      Change(name: "attribute removed", make: "echo x > $e; setfattr -n user.a -v 1 $e", change: "setfattr -x user.a $e"),
      Change(name: "attribute of a directory", make: "mkdir $e", change: "setfattr -n user.a -v 1 $e"),
      Change(name: "attribute of an empty file", make: "touch $e", change: "setfattr -n user.a -v 1 $e"),
      Change(name: "ACL set", make: "echo x > $e", change: "setfacl -m u:1:r $e"),
      Change(name: "ACL changed", make: "echo x > $e; setfacl -m u:1:r $e", change: "setfacl -m u:1:rw $e"),
      Change(name: "ACL removed", make: "echo x > $e; setfacl -m u:1:r $e", change: "setfacl -b $e"),
      Change(name: "ACL of a directory", make: "mkdir $e", change: "setfacl -m u:1:rwx $e"),
      Change(name: "default ACL set", make: "mkdir $e", change: "setfacl -d -m u:1:rwx $e"),
      Change(name: "default ACL removed", make: "mkdir $e; setfacl -d -m u:1:rwx $e", change: "setfacl -k $e"),
      Change(name: "hole", make: "head -c 600000 /dev/urandom > $e", change: "fallocate -p -o 0 -l 262144 $e"),
      Change(
        name: "another hole", make: "head -c 600000 /dev/urandom > $e; fallocate -p -o 0 -l 131072 $e",
        change: "fallocate -p -o 262144 -l 131072 $e"),
      Change(name: "mode", make: "echo x > $e", change: "chmod 640 $e"),
      Change(name: "owner", make: "echo x > $e", change: "chown 7 $e"),
      Change(name: "data", make: "head -c 9000 /dev/urandom > $e", change: "printf X | dd of=$e bs=1 seek=100 conv=notrunc status=none"),
    ]

    /// Of a sharded volume with shards of 4 MiB, beyond the first.
    static let ofShards = [
      Change(
        name: "write", make: "head -c 12000000 /dev/urandom > $e",
        change: "printf X | dd of=$e bs=1 seek=9000000 conv=notrunc status=none"),
      Change(name: "append", make: "head -c 9000000 /dev/urandom > $e", change: "printf X >> $e"),
      Change(name: "append of a shard", make: "head -c 8388608 /dev/urandom > $e", change: "printf X >> $e"),
      Change(name: "truncation", make: "head -c 12000000 /dev/urandom > $e", change: "truncate -s 9000000 $e"),
      Change(name: "truncation of whole shards", make: "head -c 12582912 /dev/urandom > $e", change: "truncate -s 8388608 $e"),
      Change(name: "truncation to one shard", make: "head -c 12582912 /dev/urandom > $e", change: "truncate -s 4194304 $e"),
      Change(name: "growth by a hole", make: "head -c 9000000 /dev/urandom > $e", change: "truncate -s 30000000 $e"),
      Change(
        name: "hole in a shard", make: "head -c 12000000 /dev/urandom > $e", change: "fallocate -p -o 8388608 -l 1048576 $e"),
      Change(
        name: "write into a hole", make: "truncate -s 20000000 $e",
        change: "printf X | dd of=$e bs=1 seek=17000000 conv=notrunc status=none"),
      Change(
        name: "write into the first shard", make: "head -c 12000000 /dev/urandom > $e",
        change: "printf X | dd of=$e bs=1 seek=100 conv=notrunc status=none"),
    ]
  }

  /// Two of each entry: one that changes, and one that stays.
  struct Tree {
    let local: String
    let path: String

    init(_ kind: String, _ changes: [Change]) throws {
      (local, path) = try Scratch.folder(on: kind, "undated")
      try each(changes, ["changed", "same"], \.make)
    }

    func change(_ changes: [Change]) throws { try each(changes, ["changed"], \.change) }

    private func each(_ changes: [Change], _ folders: [String], _ script: (Change) -> String) throws {
      var text = "set -e\n"
      for folder in folders {
        for change in changes {
          text += "mkdir -p '\(local)/\(folder)'; e='\(local)/\(folder)/\(Self.file(change))'\n\(script(change))\n"
        }
      }
      let result = try run("sh", "-c", text)
      try #require(result.status == 0, "\(result.output)")
      // What was done is done in the second before the next job.
      nextSecond()
    }

    private static func file(_ change: Change) -> String { change.name.replacing(" ", with: "-") }

    func paths(_ changes: [Change], in folder: String = "changed") -> Set<String> {
      Set(changes.map { "\(path)/\(folder)/\(Self.file($0))" })
    }
  }

  @Test(
    "is in the next incremental and differential backup, on each kind of volume, and nothing else is",
    arguments: Soak.cases(Scratch.kinds.map { ($0, .bareos26) } + [("plain", .bacula15)], of: Soak.pairs(Scratch.kinds, ABI.allCases)))
  func crawled(_ kind: String, _ abi: ABI) throws {
    let tree = try Tree(kind, Change.all)
    var chain = Chain(Scratch.line(kind, tree.path), abi: abi)
    try chain.backUp(accurate: false)
    try chain.backUp(accurate: false)
    #expect(chain.carried == [])
    try tree.change(Change.all)
    let changed = tree.paths(Change.all)
    try chain.backUp(accurate: false)
    #expect(Set(chain.carried) == changed)
    let target = try Scratch.folder(on: kind, "restored")
    let difference = try chain.difference(kind, from: tree.local, tree.path, in: target)
    #expect(difference == "", "\(difference)")
    try chain.backUp(accurate: false)
    #expect(chain.carried == [])
    try chain.backUp("", .differential, accurate: false)
    #expect(Set(chain.carried) == changed)
    #expect(chain.messages.allSatisfy { $0.severity == .info }, "\(chain.messages)")
  }

  /// By the tool: a process that has Foundation does not find the shards of a file.
  @Test("beyond the first shard of a file is in the next incremental backup, and nothing else is")
  func shards() throws {
    let tree = try Tree("sharded", Change.ofShards)
    let archives = try Scratch.temporaryFolder() + "/" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: archives, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: archives) }
    var began: [Int] = []
    /// The paths of files that a backup has.
    func backUp(since: Int? = nil) throws -> Set<String> {
      let archive = "\(archives)/\(began.count)"
      began.append(time(nil))
      let options = since.map { ["--since", "\($0)"] } ?? []
      let result = try run(Scratch.tool, ["backup", Scratch.line("sharded", tree.path), "-o", archive] + options)
      #expect(result.status == 0 && !result.output.contains("warning"), "\(result.output)")
      return Set(try run("tar", "-tf", archive).output.split(separator: "\n").map { "/" + $0 }.filter { !$0.hasSuffix("/") })
    }
    _ = try backUp()
    nextSecond()
    #expect(try backUp(since: began[0]) == [])
    try tree.change(Change.ofShards)
    let changed = tree.paths(Change.ofShards)
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

  static let dated = ["attribute removed", "default ACL removed", "mode", "owner", "data"]

  @Test("is missed with attributes=dated, and found by the next job without it")
  func dated() throws {
    let tree = try Tree("plain", Change.all)
    var chain = Chain(Scratch.line("plain", tree.path))
    try chain.backUp(accurate: false)
    try tree.change(Change.all)
    let all = tree.paths(Change.all)
    let dated = tree.paths(Change.all.filter { Self.dated.contains($0.name) })
    try chain.backUp(":attributes=dated", accurate: false)
    #expect(Set(chain.carried) == dated)
    nextSecond()
    try chain.backUp(accurate: false)
    #expect(Set(chain.carried) == all.subtracting(dated))
  }

  @Test("is found again after a job that failed, and is only counted by an estimate")
  func failed() throws {
    let tree = try Tree("plain", Change.all)
    let line = Scratch.line("plain", tree.path)
    var chain = Chain(line)
    try chain.backUp(accurate: false)
    try tree.change(Change.all)
    let changed = tree.paths(Change.all)
    for _ in 0..<2 {
      try chain.backUp(accurate: false, fails: true)
      #expect(Set(chain.carried) == changed)
    }
    for _ in 0..<2 { #expect(try chain.estimate() == changed) }
    try chain.backUp(accurate: false)
    #expect(Set(chain.carried) == changed)
    #expect(try chain.estimate() == [])
  }

  @Test("is backed up once more where the database is lost or damaged, with one message", arguments: ["rm $d", "echo nonsense > $d"])
  func lost(_ damage: String) throws {
    let tree = try Tree("plain", Change.all)
    let directory = try Scratch.temporaryFile(".state")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var chain = Chain(Scratch.line("plain", tree.path, ":statedir=\(directory)"))
    try chain.backUp(accurate: false)
    try tree.change(Change.all)
    let result = try run("sh", "-ec", "d=$(ls \(directory)/*.db); [ -s $d ]; \(damage)")
    try #require(result.status == 0, "\(result.output)")
    try chain.backUp(accurate: false)
    let changed = tree.paths(Change.all.filter { $0.name != "ACL removed" })
    // Those that have not changed and have attributes, ACLs or holes.
    let same = ["attribute changed", "attribute removed", "ACL changed", "ACL removed", "default ACL removed", "another hole"]
    #expect(Set(chain.carried) == changed.union(tree.paths(Change.all.filter { same.contains($0.name) }, in: "same")))
    let warnings = chain.messages.filter { $0.severity == .warning && $0.text.contains(": this job backs up every entry that has ") }
    #expect(warnings.count == 1, "\(chain.messages)")
    nextSecond()
    try chain.backUp(accurate: false)
    #expect(chain.carried == [] && chain.messages.allSatisfy { $0.severity == .info }, "\(chain.carried) \(chain.messages)")
  }

  @Test("is not lost where the disk of the database is full")
  func full() throws {
    let tree = try Tree("plain", Change.all)
    let disk = try Scratch.temporaryFile(".disk")
    let result = try run("sh", "-ec", "mkdir \(disk); mount -t tmpfs -o size=64k state \(disk)")
    try #require(result.status == 0, "\(result.output)")
    defer { _ = try? run("umount", disk) }
    var chain = Chain(Scratch.line("plain", tree.path, ":statedir=\(disk)/state"))
    try chain.backUp(accurate: false)
    _ = try run("sh", "-c", "head -c 1000000 /dev/zero > \(disk)/fill")
    try tree.change(Change.all)
    let changed = tree.paths(Change.all)
    try chain.backUp(accurate: false)
    #expect(Set(chain.carried) == changed)
    #expect(chain.messages.contains { $0.severity == .warning && $0.text.contains(" cannot be written: ") }, "\(chain.messages)")
    // What that job saw is not known: all that has something, or had, is backed up again.
    #expect(try run("rm", disk + "/fill").status == 0)
    nextSecond()
    try chain.backUp(accurate: false)
    let undated = tree.paths(Change.all.filter { !Self.dated.contains($0.name) })
    #expect(Set(chain.carried).isSuperset(of: undated))
    try chain.backUp(accurate: false)
    #expect(chain.carried == [] && chain.messages.allSatisfy { $0.severity == .info }, "\(chain.carried) \(chain.messages)")
  }

  @Test("is in both of two jobs that run at once")
  func atOnce() throws {
    let tree = try Tree("plain", Change.all)
    let line = Scratch.line("plain", tree.path)
    /// The jobs of one daemon.
    final class Daemon: @unchecked Sendable {
      var chain: Chain
      init(_ chain: Chain) { self.chain = chain }
    }
    let daemons = [Daemon(Chain(line)), Daemon(Chain(line, abi: .bacula15))]
    for daemon in daemons { try daemon.chain.backUp(accurate: false) }
    try tree.change(Change.all)
    DispatchQueue.concurrentPerform(iterations: 2) { index in
      #expect(throws: Never.self) { try daemons[index].chain.backUp(accurate: false) }
    }
    for daemon in daemons { #expect(Set(daemon.chain.carried) == tree.paths(Change.all), "\(daemon.chain.messages)") }
    nextSecond()
    // What the other job saw after this one had begun may come once more.
    for daemon in daemons { try daemon.chain.backUp(accurate: false) }
    nextSecond()
    for daemon in daemons {
      try daemon.chain.backUp(accurate: false)
      #expect(daemon.chain.carried == [], "\(daemon.chain.messages)")
    }
  }
}
