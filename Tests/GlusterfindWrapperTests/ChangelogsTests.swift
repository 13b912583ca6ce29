import Foundation
import GlusterfindList
import TestSupport
import Testing

@testable import GlusterfindWrapper

@Suite("The changelogs of a brick")
struct ChangelogsTests {
  static let root = "00000000-0000-0000-0000-000000000001"
  /// Identities of `/d`, of `/d/e e`, of a directory that is gone, and of a file.
  static let directory = "11111111-1111-1111-1111-111111111111"
  static let inner = "22222222-2222-2222-2222-222222222222"
  static let gone = "33333333-3333-3333-3333-333333333333"
  static let file = "44444444-4444-4444-4444-444444444444"

  let folder: TemporaryFolder

  /// What a brick keeps of its directories.
  init() throws {
    folder = try TemporaryFolder()
    try link(Self.directory, "../../00/00/\(Self.root)/d")
    try link(Self.inner, "../../11/11/\(Self.directory)/e e")
  }

  func link(_ gfid: String, _ target: String) throws {
    let place = "\(folder.path)/.glusterfs/\(gfid.prefix(2))/\(gfid.dropFirst(2).prefix(2))"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(atPath: "\(place)/\(gfid)", withDestinationPath: target)
  }

  /// The changes that records tell, as lines of a list.
  func lines(_ records: [String]) -> [String] {
    var names = BrickNames(brick: folder.path)
    return records.flatMap { names.changes(Array($0.utf8)) }.map { String(decoding: $0.line.dropLast(), as: UTF8.self) }
  }

  @Test(
    "tell what was created, renamed and removed",
    arguments: [
      ("E \(file) CREATE 33188 0 0 \(root)/new", ["NEW new"]),
      ("E \(file) MKNOD 4480 0 0 \(directory)/fifo", ["NEW d/fifo"]),
      ("E \(inner) MKDIR 16877 0 0 \(directory)/e%20e", ["NEW d/e%20e"]),
      ("E \(file) SYMLINK \(inner)/a%2Cb%0A", ["NEW d/e%20e/a,b%0A"]),
      ("E \(file) LINK \(directory)/second", ["NEW d/second"]),
      ("E \(file) RENAME \(root)/old \(inner)/new", ["DELETE old", "NEW d/e%20e/new"]),
      ("E \(file) UNLINK \(directory)/name", ["DELETE d/name"]),
      ("E \(file) UNLINK \(directory)/name d/name", ["DELETE d/name", "DELETE d/name"]),
      ("E \(gone) RMDIR \(root)/dir dir", ["DELETE dir", "DELETE dir"]),
    ])
  func entries(_ record: String, _ lines: [String]) { #expect(self.lines([record]) == lines) }

  @Test(
    "tell what they can of a directory that is gone",
    arguments: [
      ("E \(file) CREATE 33188 0 0 \(gone)/name", []), ("E \(file) RENAME \(gone)/old \(root)/new", ["NEW new"]),
      ("E \(file) RENAME \(root)/old \(gone)/new", ["DELETE old"]), ("E \(file) UNLINK \(gone)/name gone/name", ["DELETE gone/name"]),
      ("E \(file) UNLINK \(gone)/name ", []),
    ])
  func goneDirectory(_ record: String, _ lines: [String]) { #expect(self.lines([record]) == lines) }

  @Test("tell the path of a directory of which data or attributes changed, once")
  func modified() {
    #expect(
      lines(["M \(Self.inner) SETXATTR", "M \(Self.root) SETATTR", "M \(Self.inner) SETATTR", "D \(Self.directory)"]) == [
        "MODIFY d/e%20e", "MODIFY .", "MODIFY d",
      ])
    #expect(lines(["D \(Self.file)", "M \(Self.gone) SETATTR"]) == [])
  }

  @Test(
    "tell nothing by what is no record",
    arguments: [
      "", " ", "E", "E \(root)", "X \(root) SETATTR", "EE \(root) CREATE 1 2 3 \(root)/a", "E \(file) TRUNCATE \(root)/a",
      "E \(file) SYMLINK name",
      "E \(file) SYMLINK \(root)/a%2", "E \(file) SYMLINK /name", "M", "M ", "M ../../../../../../../../../../../../etc", "M \(root)x",
      "E \(file) SYMLINK ../../../../../../../../etc/aaaaaaaaaa/name",
    ])
  func nonsense(_ record: String) { #expect(lines([record]) == []) }

  @Test("follow no link that is not as a brick makes it")
  func links() throws {
    for (number, target) in [
      "/etc", "../../00/\(Self.root)/x", "x/../00/00/\(Self.root)/x", "../../00/00/none/x", "../../00/00/\(Self.root)/x/y",
    ].enumerated() {
      let gfid = "5555555\(number)-5555-5555-5555-555555555555"
      try link(gfid, target)
      #expect(lines(["M \(gfid) SETATTR"]) == [], "\(target)")
    }
  }

  @Test(
    "begin when logging was turned on last",
    arguments: [
      (["HTIME.1700000000", "HTIME.1800000000", "HTIME.1750000000"], 1_800_000_000),
      (["HTIME.5", "other", "HTIME.", "HTIME.x", "htime.9"], 5),
      ([], nil), (["CHANGELOG.1700000000"], nil),
    ] as [([String], Int?)])
  func start(_ names: [String], _ start: Int?) { #expect(Changelogs.start(names) == start) }

  @Test("have their beginnings in a folder of the brick")
  func htime() { #expect(Changelogs.htimeFolder("/brick") == "/brick/.glusterfs/changelogs/htime") }
}
