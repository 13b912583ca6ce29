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

    func paths(_ changes: [Change]) -> Set<String> { Set(changes.map { "\(path)/changed/\(Self.file($0))" }) }
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
    #expect(try chain.difference(kind, from: tree.local, tree.path, in: target) == "")
    try chain.backUp(accurate: false)
    #expect(chain.carried == [])
    try chain.backUp("", .differential, accurate: false)
    #expect(Set(chain.carried) == changed)
    #expect(chain.messages.allSatisfy { $0.severity == .info }, "\(chain.messages)")
  }
}
