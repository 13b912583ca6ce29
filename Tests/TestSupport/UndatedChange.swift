import Foundation

/// An entry and a change to it. Most of these changes do not change the entry's times in Gluster. `make` and `change` are shell commands
/// in which `$e` is the entry's path.
public struct UndatedChange: Sendable {
  public let name: String
  public let make: String
  public let change: String

  public static let all = [
    UndatedChange(name: "attribute set", make: "head -c 9000 /dev/urandom > $e", change: "setfattr -n user.a -v 1 $e"),
    UndatedChange(
      name: "attribute changed", make: "echo x > $e; setfattr -n user.a -v 1 $e", change: "setfattr -n user.a -v 2 $e"),
    UndatedChange(name: "attribute removed", make: "echo x > $e; setfattr -n user.a -v 1 $e", change: "setfattr -x user.a $e"),
    UndatedChange(name: "attribute of a directory", make: "mkdir $e", change: "setfattr -n user.a -v 1 $e"),
    UndatedChange(name: "attribute of an empty file", make: "touch $e", change: "setfattr -n user.a -v 1 $e"),
    UndatedChange(name: "ACL set", make: "echo x > $e", change: "setfacl -m u:1:r $e"),
    UndatedChange(name: "ACL changed", make: "echo x > $e; setfacl -m u:1:r $e", change: "setfacl -m u:1:rw $e"),
    UndatedChange(name: "ACL removed", make: "echo x > $e; setfacl -m u:1:r $e", change: "setfacl -b $e"),
    UndatedChange(name: "ACL of a directory", make: "mkdir $e", change: "setfacl -m u:1:rwx $e"),
    UndatedChange(name: "default ACL set", make: "mkdir $e", change: "setfacl -d -m u:1:rwx $e"),
    UndatedChange(name: "default ACL removed", make: "mkdir $e; setfacl -d -m u:1:rwx $e", change: "setfacl -k $e"),
    UndatedChange(name: "hole", make: "head -c 600000 /dev/urandom > $e", change: "fallocate -p -o 0 -l 262144 $e"),
    UndatedChange(
      name: "another hole", make: "head -c 600000 /dev/urandom > $e; fallocate -p -o 0 -l 131072 $e",
      change: "fallocate -p -o 262144 -l 131072 $e"),
    UndatedChange(name: "mode", make: "echo x > $e", change: "chmod 640 $e"),
    UndatedChange(name: "owner", make: "echo x > $e", change: "chown 7 $e"),
    UndatedChange(
      name: "data", make: "head -c 9000 /dev/urandom > $e", change: "printf X | dd of=$e bs=1 seek=100 conv=notrunc status=none"),
  ]

  /// All changes that are possible on a kind of volume, for a process that detects changed shards.
  public static func all(on kind: String) -> [UndatedChange] { all + (kind == "sharded" ? ofShards : []) }

  /// Additional changes for a sharded volume with shards of 4 MiB.
  public static let ofShards = [
    UndatedChange(
      name: "write", make: "head -c 12000000 /dev/urandom > $e",
      change: "printf X | dd of=$e bs=1 seek=9000000 conv=notrunc status=none"),
    UndatedChange(name: "append", make: "head -c 9000000 /dev/urandom > $e", change: "printf X >> $e"),
    UndatedChange(name: "append of a shard", make: "head -c 8388608 /dev/urandom > $e", change: "printf X >> $e"),
    UndatedChange(name: "truncation", make: "head -c 12000000 /dev/urandom > $e", change: "truncate -s 9000000 $e"),
    UndatedChange(name: "truncation of whole shards", make: "head -c 12582912 /dev/urandom > $e", change: "truncate -s 8388608 $e"),
    UndatedChange(name: "truncation to one shard", make: "head -c 12582912 /dev/urandom > $e", change: "truncate -s 4194304 $e"),
    UndatedChange(name: "growth by a hole", make: "head -c 9000000 /dev/urandom > $e", change: "truncate -s 30000000 $e"),
    UndatedChange(
      name: "hole in a shard", make: "head -c 12000000 /dev/urandom > $e", change: "fallocate -p -o 8388608 -l 1048576 $e"),
    UndatedChange(
      name: "write into a hole", make: "truncate -s 20000000 $e",
      change: "printf X | dd of=$e bs=1 seek=17000000 conv=notrunc status=none"),
    UndatedChange(
      name: "write into the first shard", make: "head -c 12000000 /dev/urandom > $e",
      change: "printf X | dd of=$e bs=1 seek=100 conv=notrunc status=none"),
  ]
}

/// Two entries for each change: one that is changed, and one that stays the same.
public struct UndatedTree {
  public let local: String
  public let path: String

  public init(_ kind: String, _ changes: [UndatedChange]) throws {
    (local, path) = try Scratch.folder(on: kind, "undated")
    try each(changes, ["changed", "same"], \.make)
  }

  public func change(_ changes: [UndatedChange]) throws { try each(changes, ["changed"], \.change) }

  private func each(_ changes: [UndatedChange], _ folders: [String], _ script: (UndatedChange) -> String) throws {
    let result = try run("sh", "-ec", "cd '\(local)'\n" + Self.script(changes, in: folders, script))
    guard result.status == 0 else { throw TestError(result.output) }
    // The changes must have earlier times than the start of the next job.
    nextSecond()
  }

  /// The shell commands that make or change entries in folders of the current directory.
  public static func script(_ changes: [UndatedChange], in folders: [String], _ script: (UndatedChange) -> String) -> String {
    folders.map { folder in
      "mkdir -p \(folder)\n" + changes.map { "e=\(folder)/\(file($0))\n\(script($0))\n" }.joined()
    }.joined()
  }

  private static func file(_ change: UndatedChange) -> String { change.name.replacing(" ", with: "-") }

  public func paths(_ changes: [UndatedChange], in folder: String = "changed") -> Set<String> {
    Self.paths(changes, in: "\(path)/\(folder)")
  }

  public static func paths(_ changes: [UndatedChange], in folder: String) -> Set<String> { Set(changes.map { "\(folder)/\(file($0))" }) }
}

/// The shell command that writes random bytes into a file, `$e` by default.
///
/// A FUSE mount may lose some of the writes that it makes at once into a new shard, on a busy machine (10.3, once in 30 files of 42 MB, also with
/// `fsync`). It shows them until it is unmounted, and the volume has zeros. So mount the volume again before the content is compared.
public func writeRandomly(_ count: Int, at offset: Int, to file: String = "$e", from source: String = "/dev/urandom") -> String {
  "head -c \(count) \(source) | dd of=\(file) bs=1M seek=\(offset) oflag=seek_bytes iflag=fullblock conv=notrunc status=none"
}
