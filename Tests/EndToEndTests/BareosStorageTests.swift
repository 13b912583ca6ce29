import Foundation
import Testing
import TestSupport

@Suite("Volumes of the real Bareos storage daemon on Gluster", .serialized)
struct BareosStorageTests {
  @Test("The storage daemon tests report that they are skipped if BAREOS_BUILD names no tree", .enabled(if: Bareos.trees.isEmpty))
  func skipped() { print("skipped: the real Bareos's storage daemon: BAREOS_BUILD names no build tree") }

  /// Returns the number of parts that the bricks hold of a Bareos volume, and their total size.
  func parts(_ path: String, _ volume: String) throws -> (count: Int, bytes: Int) {
    let files = try Scratch.bricks(of: "distributed").flatMap { brick in
      try FileManager.default.contentsOfDirectory(atPath: "\(brick)\(path)/\(volume)").map { "\(brick)\(path)/\(volume)/\($0)" }
    }
    // A part that is being written gets its final name when it is complete, so a file may vanish here between listing and reading.
    let sizes = files.compactMap { (try? FileManager.default.attributesOfItem(atPath: $0))?[.size] as? Int }
    return (sizes.count, sizes.reduce(0, +))
  }

  func restore(_ bareos: Bareos, _ local: String, _ path: String) throws {
    let log = try bareos.console(
      "restore client=client restorejob=restore where=\(path)/restored select current all done yes", "wait", "messages")
    #expect(log.contains("Termination:            Restore OK\n"), "\(log)")
    let comparison = try run(Scratch.script("compare-trees"), "--seconds", local + "/tree", local + "/restored" + path + "/tree")
    #expect(comparison.status == 0, "\(comparison.output.suffix(3000))")
    try FileManager.default.removeItem(atPath: local + "/restored")
  }

  func backUp(_ bareos: Bareos, _ level: String) throws -> String {
    let log = try bareos.console("run job=backup level=\(level) yes", "wait", "messages")
    #expect(log.contains("Termination:            Backup OK\n") && !log.contains("Error: "), "\(log)")
    return log
  }

  @Test("A Bareos volume on Gluster survives restarts and kills of the daemons, truncation and a new label", arguments: Bareos.trees)
  func life(_ tree: String) throws {
    let (local, path) = try Scratch.folder()
    let (store, storePath) = try Scratch.folder(on: "distributed")
    #expect(try run(Scratch.script("hostile-tree"), "--wide", "20", local + "/tree").status == 0)
    #expect(try run("sh", "-c", "head -c 1073741824 /dev/urandom > '\(local)/tree/gigabyte'").status == 0)
    let bareos = try Bareos(
      tree, line: #"gfapi:volume=gluster\\://scratch/plain"# + path + "/tree:", storage: "gluster://scratch/distributed\(storePath)")
    let label = try bareos.console("label storage=Gluster volume=First pool=Pool drive=0 slot=0", "messages")
    #expect(label.contains("3000 OK label"), "\(label)")
    #expect(try parts(storePath, "First").count == 1)

    #expect(try backUp(bareos, "Full").contains("Volume name(s):         First\n"))
    let full = try parts(storePath, "First")
    #expect(full.count == 17 && full.bytes > 1 << 30)
    try bareos.call("kill storage")
    try bareos.call("start storage")
    try restore(bareos, local, path)

    // The backup continues in the last part.
    #expect(try run("sh", "-c", "echo new > '\(local)/tree/new'; head -c 100000000 /dev/urandom > '\(local)/tree/more'").status == 0)
    #expect(try backUp(bareos, "Incremental").contains("Volume name(s):         First\n"))
    let incremental = try parts(storePath, "First")
    #expect(incremental.count == 18 && incremental.bytes > full.bytes + 100_000_000, "\(full) \(incremental)")
    try restore(bareos, local, path)

    // All daemons are killed while parts are being written.
    _ = try bareos.console("run job=backup level=Full yes")
    #expect(try eventually { try parts(storePath, "First").count > 22 })
    for daemon in ["storage", "file", "director"] { try bareos.call("kill \(daemon)") }
    for daemon in ["storage", "file", "director"] { try bareos.call("start \(daemon)") }
    try restore(bareos, local, path)

    let purged = try bareos.console(
      "purge volume=First yes", "truncate volstatus=Purged storage=Gluster pool=Pool drive=0 yes", "messages")
    #expect(try parts(storePath, "First").bytes < 1000, "\(purged)")
    // Truncation writes a new label with the same name. With another name Bareos (25, 26) writes the label to the parts of the old
    // name, whatever program the device uses.
    #expect(purged.contains("The volume 'First' has been truncated"), "\(purged)")
    let label2 = try bareos.console(
      "delete volume=First yes", "label storage=Gluster volume=Second:a.b pool=Pool drive=0 slot=0", "messages")
    #expect(label2.contains("3000 OK label"), "\(label2)")
    #expect(try backUp(bareos, "Full").contains("Volume name(s):         Second:a.b\n"))
    #expect(try parts(storePath, "Second:a.b").count == incremental.count)
    try restore(bareos, local, path)
    for folder in [local, store] { try FileManager.default.removeItem(atPath: folder) }
  }
}
