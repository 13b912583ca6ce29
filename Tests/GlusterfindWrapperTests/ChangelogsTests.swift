import Foundation
import GlusterfindList
import Testing
import TestSupport

@testable import GlusterfindWrapper

@Suite("The paths that a brick stores for the identities in its changelogs")
struct BrickNamesTests {
  static let root = "00000000-0000-0000-0000-000000000001"
  /// Identities of `/d`, of `/d/e e`, of a deleted directory, and of a file.
  static let directory = "11111111-1111-1111-1111-111111111111"
  static let inner = "22222222-2222-2222-2222-222222222222"
  static let gone = "33333333-3333-3333-3333-333333333333"
  static let file = "44444444-4444-4444-4444-444444444444"

  let folder: TemporaryFolder

  /// Makes the links that a brick keeps for its directories.
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

  /// The changes that follow from records, as lines of a list.
  func lines(_ records: [ChangelogFile.Record]) throws -> [String] {
    var names = BrickNames(brick: folder.path)
    return try records.flatMap { try names.changes($0) }.map { String(decoding: $0.line.dropLast(), as: UTF8.self) }
  }

  static func id(_ gfid: String) -> [UInt8] { Array(gfid.utf8) }
  static func place(_ parent: String, _ name: String) -> ChangelogFile.Place { .init(parent: id(parent), name: Array(name.utf8)) }

  @Test("Created, renamed and removed entries become lines with their paths")
  func entries() throws {
    let cases: [(ChangelogFile.Record, [String])] = [
      (.made(Self.id(Self.file), Self.place(Self.root, "new")), ["NEW new"]),
      (.made(Self.id(Self.inner), Self.place(Self.directory, "e e")), ["NEW d/e%20e"]),
      (.made(Self.id(Self.file), Self.place(Self.inner, "a,b\n")), ["NEW d/e%20e/a,b%0A"]),
      (.linked(Self.id(Self.file), Self.place(Self.directory, "second")), ["NEW d/second", "MODIFY .gfid/\(Self.file)"]),
      (
        .renamed(Self.id(Self.file), from: Self.place(Self.root, "old"), to: Self.place(Self.inner, "new")),
        ["DELETE old", "NEW d/e%20e/new"]
      ),
      (
        .removed(Self.id(Self.file), Self.place(Self.directory, "name"), path: nil),
        ["DELETE d/name", "MODIFY .gfid/\(Self.file)"]
      ),
      (
        .removed(Self.id(Self.gone), Self.place(Self.root, "dir"), path: Array("dir".utf8)),
        ["DELETE dir", "DELETE dir", "MODIFY .gfid/\(Self.gone)"]
      ),
    ]
    for (record, lines) in cases { #expect(try self.lines([record]) == lines) }
  }

  @Test("An entry whose directory was deleted is listed by its identity")
  func goneDirectory() throws {
    let unnamed = "MODIFY .gfid/\(Self.file)"
    let cases: [(ChangelogFile.Record, [String])] = [
      (.made(Self.id(Self.file), Self.place(Self.gone, "name")), [unnamed]),
      (.renamed(Self.id(Self.file), from: Self.place(Self.gone, "old"), to: Self.place(Self.root, "new")), ["NEW new"]),
      (.renamed(Self.id(Self.file), from: Self.place(Self.root, "old"), to: Self.place(Self.gone, "new")), ["DELETE old", unnamed]),
      (.removed(Self.id(Self.file), Self.place(Self.gone, "name"), path: Array("gone/name".utf8)), ["DELETE gone/name", unnamed]),
      (.removed(Self.id(Self.file), Self.place(Self.gone, "name"), path: nil), [unnamed]),
      // A directory that was moved out of the deleted one.
      (.made(Self.id(Self.inner), Self.place(Self.gone, "name")), ["MODIFY d/e%20e"]),
    ]
    for (record, lines) in cases { #expect(try self.lines([record]) == lines) }
  }

  @Test("A directory whose data or attributes changed is listed once with its path")
  func modified() throws {
    #expect(
      try lines([Self.inner, Self.root, Self.inner, Self.directory].map { .changed(Self.id($0)) }) == [
        "MODIFY d/e%20e", "MODIFY .", "MODIFY d",
      ])
    #expect(try lines([.changed(Self.id(Self.file))]) == ["MODIFY .gfid/\(Self.file)"])
  }

  @Test("A link that does not have the form of a brick's own links is not followed")
  func links() throws {
    for (number, target) in [
      "/etc", "../../00/\(Self.root)/x", "x/../00/00/\(Self.root)/x", "../../00/00/none/x", "../../00/00/\(Self.root)/x/y",
    ].enumerated() {
      let gfid = "5555555\(number)-5555-5555-5555-555555555555"
      try link(gfid, target)
      #expect(try lines([.changed(Self.id(gfid))]) == ["MODIFY .gfid/\(gfid)"], "\(target)")
    }
  }
}

@Suite("Reading a changelog of a brick")
struct ChangelogFileTests {
  static let gfid = "44444444-4444-4444-4444-444444444444"
  static let root = "00000000-0000-0000-0000-000000000001"
  static let header = "GlusterFS Changelog | version: v1.2 | encoding : 2\n"

  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  func records(_ text: String, isOpen: Bool = false) throws -> [ChangelogFile.Record] {
    let file = try ChangelogFile(folder.write(text.utf8), isOpen: isOpen)
    var records: [ChangelogFile.Record] = []
    while let record = try file.next() { records.append(record) }
    return records
  }

  static func place(_ name: String) -> ChangelogFile.Place { .init(parent: Array(root.utf8), name: Array(name.utf8)) }

  /// Each type of record as GlusterFS 10.3 and 11.1 write it.
  static let each: [(String, ChangelogFile.Record)] = [
    ("D\(gfid)\0", .changed(Array(gfid.utf8))), ("M\(gfid)\u{0}17\0", .changed(Array(gfid.utf8))),
    ("E\(gfid)\u{0}23\u{0}33188\u{0}0\u{0}0\u{0}\(root)/a b\n\0", .made(Array(gfid.utf8), place("a b\n"))),
    ("E\(gfid)\u{0}3\u{0}4480\u{0}1\u{0}2\u{0}\(root)/fifo\0", .made(Array(gfid.utf8), place("fifo"))),
    ("E\(gfid)\u{0}4\u{0}16877\u{0}0\u{0}0\u{0}\(root)/d\0", .made(Array(gfid.utf8), place("d"))),
    ("E\(gfid)\u{0}7\u{0}\(root)/l\0", .made(Array(gfid.utf8), place("l"))),
    ("E\(gfid)\u{0}9\u{0}\(root)/second\0", .linked(Array(gfid.utf8), place("second"))),
    ("E\(gfid)\u{0}8\u{0}\(root)/old\u{0}\(root)/new\0", .renamed(Array(gfid.utf8), from: place("old"), to: place("new"))),
    ("E\(gfid)\u{0}5\u{0}\(root)/x\u{0}x\0", .removed(Array(gfid.utf8), place("x"), path: Array("x".utf8))),
    ("E\(gfid)\u{0}6\u{0}\(root)/d\0\0\0", .removed(Array(gfid.utf8), place("d"), path: nil)),
  ]

  @Test("A changelog is read record by record")
  func each() throws {
    for (text, record) in Self.each { #expect(try records(Self.header + text) == [record]) }
    #expect(try records(Self.header + Self.each.map(\.0).joined()) == Self.each.map(\.1))
    #expect(try records(Self.header) == [])
    let many = String(repeating: Self.each.map(\.0).joined(), count: 1000)
    #expect(try records(Self.header + many).count == 1000 * Self.each.count)
  }

  @Test("A changelog of version 1.1 has no paths of removed entries")
  func older() throws {
    let header = "GlusterFS Changelog | version: v1.1 | encoding : 2\n"
    let text = "E\(Self.gfid)\u{0}5\u{0}\(Self.root)/x\0D\(Self.gfid)\0"
    #expect(try records(header + text) == [.removed(Array(Self.gfid.utf8), Self.place("x"), path: nil), .changed(Array(Self.gfid.utf8))])
  }

  @Test("An open changelog is read up to its last complete record")
  func open() throws {
    for (text, record) in Self.each {
      for length in 0..<text.utf8.count {
        let cut = String(
          decoding: Array((Self.header + text + text).utf8).prefix(Self.header.utf8.count + text.utf8.count + length), as: UTF8.self)
        #expect(try records(cut, isOpen: true) == [record])
      }
    }
    #expect(try records("", isOpen: true) == [])
  }

  @Test("A closed changelog that ends within a record or has an unknown format is rejected")
  func refused() throws {
    func refusal(_ text: String) -> String {
      let failure = #expect(throws: Failure.self) { try records(text) }
      return failure?.description ?? ""
    }
    for (text, _) in Self.each { #expect(refusal(Self.header + text.dropLast()).contains("ends within a record")) }
    #expect(refusal("").contains("no first line"))
    #expect(refusal("GlusterFS Changelog | version: v1.2 | encoding : 1\n").contains("changelog.encoding"))
    #expect(refusal("GlusterFS Changelog | version: v2.0 | encoding : 2\n").contains("has an unknown version"))
    #expect(refusal("something else\n").contains("has an unknown version"))
    for text in [
      "\0\0\0\0", "X\(Self.gfid)\0", "D\(Self.gfid)x\0", "Dshort\0", "E\(Self.gfid)\u{0}99\u{0}\(Self.root)/x\0",
      "E\(Self.gfid)\u{0}7\u{0}name\0", "E\(Self.gfid)\u{0}7\u{0}\(Self.root)/\0",
    ] { #expect(refusal(Self.header + text).contains("has an unknown record"), "\(text)") }
    #expect(refusal(Self.header + "D" + String(repeating: "x", count: 1 << 20) + "\0").contains("longer than"))
  }
}

@Suite("Selecting the changelogs of a brick")
struct ChangelogsTests {
  typealias Entry = Changelogs.Entry

  /// Returns the times of the changelogs that are to be read. In `list`, `E10` stands for an entry of an empty changelog with the
  /// time 10, and `C10` for an entry of one with content.
  func times(
    _ list: String, onDisk: [Int], since: Int, isOpen: Bool = true, pause: Int? = nil, now: Int
  ) throws -> [Int] {
    let entries = list.split(separator: " ").map { Entry(time: Int($0.dropFirst())!, isEmpty: $0.first == "E") }
    let history = Changelogs.History(entries, since: since)
    let closed = onDisk.filter { $0 >= history.earliest }.map { Changelogs.Closed(path: "\($0)", time: $0) }
    return try history.files(
      closed, isOpen: isOpen, longestPause: pause, now: now
    ).map(\.time)
  }

  func gap(_ body: () throws -> [Int]) -> String {
    let gap = #expect(throws: Changelogs.Gap.self) { try body() }
    return gap?.reason ?? ""
  }

  @Test("Changelogs are read from the given time on; empty ones and the open one are left out")
  func usual() throws {
    #expect(try times("C10 E25 C40 C55 E70", onDisk: [10, 40, 55], since: 30, pause: 18, now: 75) == [40, 55])
    #expect(try times("C10 E25 C40 C55 E70", onDisk: [10, 40, 55], since: 40, now: 75) == [40, 55])
    #expect(try times("C10 E25", onDisk: [10], since: 30, now: 30) == [])
    #expect(try times("", onDisk: [], since: 30, now: 31) == [])
  }

  @Test("Changelogs that the brick has not recorded in its list are read too")
  func notEntered() throws {
    #expect(try times("C10 E25 C40 C70", onDisk: [10, 40, 52, 70], since: 30, now: 75) == [40, 52, 70])
    // The brick was down for a long time, and no option of the volume was set.
    #expect(try times("C10 C25 E1015", onDisk: [10, 25, 1000], since: 20, now: 1020) == [25, 1000])
    #expect(try times("C10 C25", onDisk: [10, 25], since: 20, now: 2000) == [25])
  }

  @Test("A missing changelog is noticed, even the latest one")
  func gone() {
    for (list, disk) in [("C10 C25 C40", [10, 40]), ("C10 C25 C40", [10, 25]), ("C10 C25 C40", [])] {
      #expect(gap { try times(list, onDisk: disk, since: 20, now: 45) }.contains("are not there any more"))
    }
    #expect(throws: Never.self) { try times("C10 C25 C40", onDisk: [40], since: 30, now: 45) }
  }

  @Test("Two changelogs closed in the same second are noticed, because the later one replaced the other")
  func sameSecond() {
    #expect(gap { try times("C10 C25 C25 C40", onDisk: [10, 25, 40], since: 20, now: 45) }.contains("was replaced by another"))
    // The earlier one was empty, and the brick keeps no file for it.
    #expect(throws: Never.self) { try times("C10 E25 C25 C40", onDisk: [10, 25, 40], since: 20, now: 45) }
    // Both are older than the requested time.
    #expect(throws: Never.self) { try times("C10 C10 C25", onDisk: [10, 25], since: 20, now: 30) }
  }

  @Test("A long time without a changelog is a gap if options were set, because the brick may not have logged")
  func off() {
    for (list, disk) in [("C10 C25 E1015 E1030", [10, 25]), ("C10 C25 C1015", [10, 25, 1000, 1015]), ("C10 C25 E45", [10, 25])] {
      #expect(gap { try times(list, onDisk: disk, since: 20, pause: 18, now: 1035) }.contains("nothing was logged between 25 and"))
    }
    #expect(gap { try times("C10 C25", onDisk: [10, 25], since: 20, isOpen: false, now: 1035) }.contains("nothing is logged since 25"))
  }

  @Test("Changelogs are read in the order of the list after a clock was set back")
  func setBack() throws {
    #expect(try times("C100 C115 C50 C65 C80", onDisk: [50, 65, 80, 100, 115], since: 110, now: 90) == [50, 65, 80, 100, 115])
  }

  @Test("The changelogs begin when logging was last turned on")
  func start() throws {
    let folder = try TemporaryFolder()
    let changelogs = Changelogs(brick: folder.path, longestPause: nil)
    let htime = folder.path + "/.glusterfs/changelogs/htime"
    #expect(throws: Failure.self) { try changelogs.start() }
    try FileManager.default.createDirectory(atPath: htime, withIntermediateDirectories: true)
    for name in ["other", "HTIME.", "HTIME.x", "htime.9", "CHANGELOG.7"] {
      _ = FileManager.default.createFile(atPath: "\(htime)/\(name)", contents: nil)
    }
    #expect(throws: Changelogs.Gap.self) { try changelogs.start() }
    for name in ["HTIME.1700000000", "HTIME.1800000000", "HTIME.1750000000"] {
      _ = FileManager.default.createFile(atPath: "\(htime)/\(name)", contents: nil)
    }
    #expect(try changelogs.start() == 1_800_000_000)
  }
}

@Suite("The record of a volume's earlier bricks")
struct KnownBricksTests {
  static func record(_ time: Int, _ bricks: String, _ isEverything: Bool = false) -> KnownBricks.Record {
    .init(time: time, isEverything: isEverything, version: 3, rollover: 15, list: "/l", bricks: Set(bricks.map { "n:/\($0)" }))
  }

  @Test("The record of bricks tells if an option was set and how long a brick may close no changelog")
  func pause() {
    func record(_ time: Int, _ version: Int, _ rollover: Int) -> KnownBricks.Record {
      .init(time: time, isEverything: false, version: version, rollover: rollover, list: "/l", bricks: [])
    }
    let known = KnownBricks([record(10, 3, 15), record(20, 4, 15), record(30, 4, 15)])
    #expect(known.longestPause(since: 25, version: 4, rollover: 15) == nil)
    #expect(known.longestPause(since: 15, version: 4, rollover: 15) == 18)
    #expect(known.longestPause(since: 25, version: 5, rollover: 3600) == 18)
    #expect(known.longestPause(since: 25, version: 5, rollover: 2) == 5)
    #expect(known.longestPause(since: 25, version: nil, rollover: 15) == 18)
    #expect(KnownBricks().longestPause(since: 25, version: 1, rollover: 15) == 18)
  }

  func doubt(_ records: [KnownBricks.Record], since: Int, _ bricks: String) -> String? {
    KnownBricks(records).doubt(since: since, bricks: Set(bricks.map { "n:/\($0)" }))
  }

  @Test("The bricks are trusted if the record shows no others since the previous list")
  func same() {
    #expect(doubt([Self.record(10, "ab", true)], since: 5, "ab") == nil)
    #expect(doubt([Self.record(10, "ab")], since: 20, "ab") == nil)
    #expect(doubt([Self.record(10, "ab"), Self.record(20, "ab"), Self.record(30, "ab")], since: 15, "ab") == nil)
    // Brick c was removed long ago.
    #expect(doubt([Self.record(10, "abc"), Self.record(20, "ab", true), Self.record(30, "ab")], since: 25, "ab") == nil)
    // The job of that time listed everything, because a brick was removed.
    #expect(doubt([Self.record(10, "abc"), Self.record(20, "ab", true), Self.record(30, "ab")], since: 15, "ab") == nil)
  }

  @Test("The bricks are doubted if the record shows others, or does not reach back")
  func others() {
    #expect(doubt([], since: 5, "ab")?.contains("is not known") == true)
    #expect(doubt([Self.record(10, "ab")], since: 5, "ab")?.contains("is not known") == true)
    #expect(doubt([Self.record(5000, "ab", true)], since: 5, "ab")?.contains("is not known") == true)
    #expect(doubt([Self.record(10, "abc", true)], since: 5, "ab")?.contains("lost bricks since 5") == true)
    let lost = doubt([Self.record(10, "ab"), Self.record(20, "abc"), Self.record(30, "ab")], since: 15, "ab")
    #expect(lost?.hasSuffix("is not known: n:/c") == true, "\(lost ?? "")")
    #expect(doubt([Self.record(10, "a", true)], since: 11, "ab")?.contains("has got bricks") == true)
    // Belongs to another job, which listed everything later.
    #expect(doubt([Self.record(10, "abc"), Self.record(20, "abc"), Self.record(30, "ab", true)], since: 15, "ab") != nil)
  }

  @Test("A list begins when the list of the last job was begun")
  func begin() {
    func record(_ time: Int, _ list: String) -> KnownBricks.Record {
      .init(time: time, isEverything: false, version: 3, rollover: 15, list: list, bricks: [])
    }
    let known = KnownBricks([record(9000, "/a"), record(9100, "/b"), record(9200, "/a"), record(9300, "/a")])
    #expect(known.begin(ofList: "/a", before: 9250) == 9200)
    #expect(known.begin(ofList: "/b", before: 9250) == 9100)
    #expect(known.begin(ofList: "/c", before: 9250) == 9000)
    #expect(known.begin(ofList: "/c", before: 20_000) == 20_000)
  }

  @Test("The record of bricks is a file with one line for each list, kept for 400 days")
  func file() throws {
    let folder = try TemporaryFolder()
    let file = folder.path + "/new/bricks-x"
    #expect(KnownBricks.read(file).records == [])
    var known = KnownBricks()
    for time in [1, 400 * 86_400, 400 * 86_400 + 5] {
      known.add(
        .init(
          time: time, isEverything: time == 1, version: time, rollover: 2, list: "/var/lib/my list",
          bricks: ["a b%:/x\ny", "fe80::1:/brick"]))
      try known.write(file)
      #expect(KnownBricks.read(file).records == known.records)
    }
    #expect(known.records.map(\.time) == [400 * 86_400, 400 * 86_400 + 5])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/new") == ["bricks-x"])
    for damage in [
      "x", "5 sometimes 1 2 /l n:/a\n", "5 changes 1 2 /l\n", "5 changes 1 2 /l n:/%4\n", "5 changes 1 2 /l n:/a",
      "5 changes n:/a n:/b n:/c n:/d\n",
    ] {
      try Data((damage).utf8).write(to: URL(fileURLWithPath: file))
      #expect(KnownBricks.read(file).records == [], "\(damage)")
    }
  }
}

@Suite("The scan of a brick")
struct BrickScanTests {
  @Test("A scan of a brick finds files with data that were written to, whatever modification time was set")
  func finds() throws {
    let folder = try TemporaryFolder()
    func file(_ gfid: String, _ data: String, modified: Double? = nil) throws {
      let place = "\(folder.path)/.glusterfs/\(gfid.prefix(2))/\(gfid.dropFirst(2).prefix(2))"
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      try Data(data.utf8).write(to: URL(fileURLWithPath: "\(place)/\(gfid)"))
      if let modified {
        try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: modified)], ofItemAtPath: "\(place)/\(gfid)")
      }
    }
    let now = Int(Date().timeIntervalSince1970)
    let gfid = "44444444-4444-4444-4444-444444444444"
    try file(gfid, "x")
    try file("ffff4444-4444-4444-4444-444444444444", "x", modified: 1000)
    try file("55554444-4444-4444-4444-444444444444", "")
    try file("55554444-other", "x")
    _ = FileManager.default.createFile(atPath: folder.path + "/.glusterfs/health_check", contents: Data("x".utf8))
    var found: [String: Bool] = [:]
    func scan(_ since: Int) throws -> Int {
      found = [:]
      return try BrickScan(brick: folder.path).files(since: since) {
        found[String($0.map { Character(Unicode.Scalar($0)) }.prefix(8))] = $1
      }
    }
    // One file was written to. The others were only changed in their status, or are empty.
    #expect(try scan(now - 10) == 4)
    #expect(found == ["44444444": true, "ffff4444": false, "55554444": false])
    // A modification time in the future does not count as a change.
    try file(gfid, "x", modified: Double(now + 5000))
    _ = try scan(now + 1000)
    #expect(found == [:])
  }
}
