import Foundation
import Testing
import TestSupport

@Suite("Round trips of a hostile tree")
struct RoundTripTests {
  @Test("a hostile tree comes back exactly on every kind of volume and in every layout of packets", arguments: Scratch.kinds)
  func roundTrip(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    let wide = kind == "plain" ? Soak.rounds(1000, 20_000) : 100
    let times = kind == "distributed" ? ["--since-1970"] : []
    #expect(try run(Scratch.script("hostile-tree"), ["--wide", "\(wide)"] + times + [local + "/tree"]).status == 0)
    let layouts = ["bareos21", "bareos25", "bareos26", "bacula9", "bacula11", "bacula13", "bacula15"]
    for layout in kind == "plain" ? layouts : Soak.cases(["bareos26", "bacula15"], of: layouts) {
      let archive = try Scratch.temporaryFile(".pax")
      defer { try? FileManager.default.removeItem(atPath: archive) }
      let backup = try run(Scratch.tool, "backup", Scratch.line(kind, path + "/tree"), "-o", archive, "--abi", layout)
      #expect(backup.status == 0, "\(backup.output)")
      let restore = try run(
        Scratch.tool, "restore", archive, Scratch.line(kind), "--where", path + "/" + layout, "--abi", layout)
      #expect(restore.status == 0, "\(restore.output)")
      for output in [backup.output, restore.output] {
        #expect(!output.contains("error:") && !output.contains("warning:"), "\(output)")
      }
      if kind == "sharded" { try Scratch.remount(kind) }
      let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/\(layout)\(path)/tree")
      #expect(comparison.status == 0, "\(comparison.output.suffix(4000))")
      // One round trip of so many entries is enough.
      if kind == "plain", layout == layouts.first { try FileManager.default.removeItem(atPath: local + "/tree/wide") }
    }
  }

  /// Backs up and restores a tree on a volume once, and compares the two trees.
  ///
  /// - Parameters:
  ///   - saving: runs the backup that it is given.
  ///   - prepare: called before the trees are compared, on a new mount.
  func roundTripOnce(
    _ volume: String, saving: (() throws -> CommandResult) throws -> CommandResult = { try $0() }, prepare: () throws -> Void = {}
  ) throws {
    let local = try Scratch.mount(volume)
    // Use no times before 1970: not every file system supports them.
    let made = try run(Scratch.script("hostile-tree"), "--wide", "100", "--since-1970", local + "/tree")
    #expect(made.status == 0, "\(made.output)")
    let archive = try Scratch.temporaryFile(".pax")
    defer { try? FileManager.default.removeItem(atPath: archive) }
    let backup = try saving { try run(Scratch.tool, "backup", Scratch.line(volume, "/tree"), "-o", archive) }
    let restore = try run(Scratch.tool, "restore", archive, Scratch.line(volume), "--where", "/restored")
    for result in [backup, restore] {
      #expect(result.status == 0 && !result.output.contains("error:") && !result.output.contains("warning:"), "\(result.output)")
    }
    try prepare()
    try Scratch.remount(volume)
    let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/restored/tree")
    #expect(comparison.status == 0, "\(comparison.output.suffix(4000))")
  }

  @Test("a hostile tree comes back exactly from XFS, ext4 and btrfs bricks", arguments: Soak.cases(["xfs"], of: ["xfs", "ext4", "btrfs"]))
  func fileSystem(_ type: String) throws {
    try Scratch.withVolume("bricks", on: type) { try roundTripOnce("bricks") }
  }

  @Test(
    "a hostile tree comes back exactly on a volume with a group of options, as administrators set them",
    arguments: Soak.cases(
      [("samba", "distributed"), ("virt", "replicated"), ("metadata-cache", "sharded")],
      of: Soak.pairs(["samba", "metadata-cache", "nl-cache"], ["distributed", "replicated", "sharded"])
        + [("virt", "replicated"), ("distributed-virt", "distributed")]))
  func group(_ group: String, _ kind: String) throws {
    func body() throws {
      if kind == "sharded" { try Scratch.shard("options") }
      try Scratch.gluster("volume", "set", "options", "group", group)
      try Scratch.remount("options")
      // A FUSE mount with `performance.parallel-readdir` reads wrong data of a sharded file that has holes (10.3).
      try roundTripOnce(
        "options",
        prepare: {
          if kind == "sharded" { try Scratch.gluster("volume", "set", "options", "performance.parallel-readdir", "off") }
        })
    }
    if kind == "replicated" {
      try Scratch.withVolume("options", bricks: 3, "replica", "3", body: body)
    } else {
      try Scratch.withVolume("options", bricks: 2, body: body)
    }
  }

  @Test("a hostile tree comes back exactly on an arbiter volume while one of its data bricks is down")
  func arbiter() throws {
    try Scratch.withVolume("options", bricks: 3, "replica", "3", "arbiter", "1") {
      try Scratch.killBrick("options")
      try roundTripOnce("options")
    }
  }

  @Test("a hostile tree comes back exactly from a read-only volume")
  func readOnly() throws {
    try Scratch.withVolume("options", bricks: 1) {
      try roundTripOnce("options", saving: { backUp in try Scratch.withReadOnly("options", backUp) })
    }
  }

  @Test("valgrind finds no error in gfapi-fd during a backup and a restore of a hostile tree", .soak, .enabled(if: !Soak.isSanitized))
  func valgrind() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "300", local + "/tree").status == 0)
    let archive = try Scratch.temporaryFile(".pax")
    let restored = path + "/restored"
    for arguments in [
      ["backup", Scratch.line("plain", path + "/tree"), "-o", archive], ["restore", archive, Scratch.line(), "--where", restored],
    ] {
      // The tool itself never exits with 99.
      let options = ["--quiet", "--error-exitcode=99", "--num-callers=30", "--max-threads=200", Scratch.tool]
      let result = try run("valgrind", options + arguments)
      #expect(result.status == 0 && !result.output.contains("=="), "\(result.output)")
    }
    let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/restored\(path)/tree")
    #expect(comparison.status == 0, "\(comparison.output.suffix(4000))")
  }

  @Test("GNU tar unpacks a hostile tree exactly from the archive of gfapi-fd")
  func tar() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "100", local + "/tree").status == 0)
    let archive = try Scratch.temporaryFile(".pax")
    let unpacked = try Scratch.temporaryFile()
    try FileManager.default.createDirectory(atPath: unpacked, withIntermediateDirectories: true)
    let backup = try run(Scratch.tool, "backup", Scratch.line("plain", path + "/tree"), "-o", archive)
    #expect(backup.status == 0, "\(backup.output)")
    let tar = try run(
      "tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-xpf", archive, "-C", unpacked)
    #expect(tar.status == 0, "\(tar.output)")
    let comparison = try run(Scratch.script("compare-trees"), "--archive", local + "/tree", unpacked + path + "/tree")
    #expect(comparison.status == 0, "\(comparison.output.suffix(4000))")
  }

  @Test("a restore in place over a damaged hostile tree brings it back exactly")
  func inPlace() throws {
    let (local, path) = try Scratch.folder()
    for tree in ["tree", "reference"] {
      #expect(try run(Scratch.script("hostile-tree"), "--wide", "20", local + "/" + tree).status == 0)
    }
    let archive = try Scratch.temporaryFile(".pax")
    let line = Scratch.line("plain", path + "/tree")
    #expect(try run(Scratch.tool, "backup", line, "-o", archive).status == 0)
    #expect(try run("cp", "-a", local + "/tree/.", local + "/before").status == 0)
    #expect(
      try run(
        "sh", "-c",
        """
        cd '\(local)/tree' && rm -r names deep && echo damage > data/size-4096 && rm types/link && mkfifo types/link &&
        chmod 777 modes/0000 && chown 1:1 modes/link-to-directory -h && touch acls/file && rm links/second
        """
      ).status == 0)
    let restore = try run(Scratch.tool, "restore", archive, line)
    #expect(restore.status == 0, "\(restore.output)")
    let comparison = try run(Scratch.script("compare-trees"), local + "/reference/modes", local + "/tree/modes")
    #expect(comparison.status == 0, "\(comparison.output.suffix(4000))")
    // Compare the restored tree with the unpacked archive.
    let unpacked = try Scratch.temporaryFile()
    try FileManager.default.createDirectory(atPath: unpacked, withIntermediateDirectories: true)
    #expect(
      try run("tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "-xpf", archive, "-C", unpacked)
        .status == 0)
    let whole = try run(Scratch.script("compare-trees"), "--archive", local + "/tree", unpacked + path + "/tree")
    #expect(whole.status == 0, "\(whole.output.suffix(4000))")
  }
}
