import Foundation
import Gluster
import GlusterfindList
import Testing
import TestSupport

@testable import GfapiBackup

@Suite("Loading a list of changes")
struct ListLoaderTests {
  /// Reads a list to its end.
  struct Loaded {
    var problems: [String] = []
    var calls = 0
    let loader: ListLoader

    init(_ file: String, isFull: Bool = false, since: Int = 100, base: String = "/", isSharded: Bool = false, atOnce: Int = 1000) throws {
      let terms = ListTerms(file: Array(file.utf8), format: ListFormat(), isFull: isFull, since: since)
      loader = try ListLoader(terms, base: VolumePath(base), isSharded: isSharded)
      while true {
        let (problems, atEnd) = try loader.load(lines: atOnce)
        self.problems += problems
        calls += 1
        if atEnd { break }
      }
    }

    init(lines: [String], isFull: Bool = false, since: Int = 100, base: String = "/", isSharded: Bool = false, atOnce: Int = 1000) throws {
      let folder = try TemporaryFolder()
      try self.init(folder.write(lines: lines), isFull: isFull, since: since, base: base, isSharded: isSharded, atOnce: atOnce)
    }

    /// The paths in the order of their bytes, each with its marks in the order of their declaration.
    var touched: [String] {
      get throws {
        let names: [(TouchedPaths.Marks, String)] = [
          (.listed, "listed"), (.new, "new"), (.removed, "removed"), (.parent, "parent"), (.guess, "guess"), (.look, "look"),
        ]
        return try loader.touched.rows(after: nil, limit: 1000).map { row in
          ([String(decoding: row.path.bytes, as: UTF8.self)] + names.filter { row.marks.contains($0.0) }.map(\.1)).joined(separator: " ")
        }
      }
    }
  }

  func refusal(_ load: () throws -> Loaded) -> String? {
    let failure = #expect(throws: ListFailure.self) { _ = try load() }
    return failure?.description
  }

  // MARK: Trust

  @Test("A list that cannot be trusted is rejected with the reason", arguments: try Fixtures.rows("lists-bad.txt"))
  func untrusted(_ row: [String]) {
    let file = Fixtures.package.appendingPathComponent("fixtures/lists/bad/\(row[0])").path
    let words = refusal { try Loaded(file, isFull: row[1] == "F") }
    #expect(words?.contains(row[2]) == true && words?.contains(file) == true, "\(words ?? "")")
  }

  @Test("A list that is missing or not a regular file is rejected with a hint to the wrapper")
  func missing() throws {
    let folder = try TemporaryFolder()
    for (file, reason) in [
      (folder.path + "/none", "No such file"), (folder.path, "Is a directory"), ("/dev/null", "no regular file"),
    ] {
      let words = refusal { try Loaded(file) }
      #expect(words?.contains(reason) == true && words?.contains("bareos-glusterfind-wrapper prebackup") == true, "\(words ?? "")")
    }
  }

  @Test("The age of a list without a header is the age of its file")
  func stale() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(lines: ["MODIFY a"])
    try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: 1000)], ofItemAtPath: file)
    #expect(refusal { try Loaded(file, since: 1001) }?.contains("was written at 1000") == true)
    #expect(try Loaded(file, since: 1000).loader.counts.changes == 1)
    // A full backup has no time since when changes are needed.
    #expect(try Loaded(file, isFull: true, since: 1001).loader.counts.changes == 1)
  }

  @Test(
    "The age of a list with a header is the one that the header states",
    arguments: [
      ("since=100 until=100", nil), ("since=0 until=200", nil), ("since=101 until=200", "begins at 101"),
      ("since=50 until=99", "was written at 99"),
    ] as [(String, String?)])
  func header(_ times: String, _ reason: String?) throws {
    let lines = ["#begin 1 level=changes \(times)", "MODIFY a", "#end 1"]
    if let reason {
      #expect(refusal { try Loaded(lines: lines, since: 100) }?.contains(reason) == true)
    } else {
      #expect(try Loaded(lines: lines, since: 100).loader.counts.changes == 1)
    }
  }

  @Test("A list of everything is accepted for every level", arguments: [true, false])
  func full(_ isFull: Bool) throws {
    let loaded = try Loaded(lines: ["#begin 1 level=full since=0 until=200", "NEW a", "#end 1"], isFull: isFull)
    #expect(try loaded.touched == ["/ parent", "/a listed new"])
    #expect(loaded.problems.isEmpty && loaded.loader.crawlReason == nil)
  }

  @Test("An empty list counts as unexplained if it has neither a header nor lines")
  func empty() throws {
    let explained = try Loaded(lines: ["#begin 1 level=changes since=0 until=200", "# a remark", "#end 0"])
    #expect(!explained.loader.counts.isUnexplainedlyEmpty && explained.loader.touched.isEmpty)
    let unexplained = try Loaded(lines: [])
    #expect(unexplained.loader.counts.isUnexplainedlyEmpty && unexplained.loader.touched.isEmpty)
    let outside = try Loaded(lines: ["NEW elsewhere"], base: "/base")
    #expect(!outside.loader.counts.isUnexplainedlyEmpty && outside.loader.counts.outside == 1)
  }

  @Test("A list can require a crawl of the volume, with the reason", arguments: [true, false])
  func crawl(_ isFull: Bool) throws {
    let lines = ["#begin 1 level=full since=0 until=200", "#crawl a node is down", "#end 0"]
    let loaded = try Loaded(lines: lines, isFull: isFull)
    #expect(loaded.loader.crawlReason == "a node is down" && !loaded.loader.counts.isUnexplainedlyEmpty)
  }

  // MARK: Lines

  @Test("Lines that cannot be read are skipped and reported with their number and the reason")
  func unreadable() throws {
    let lines = [
      "NEW a", "NEWS b", "", "MODIFY c%zz", "RENAME d", "MODIFY ../e", "MODIFY " + String(repeating: "f", count: 40_000), "DELETE g",
    ]
    let loaded = try Loaded(lines: lines)
    let reasons = [
      (2, "begins with none of NEW"), (3, "begins with none of NEW"), (4, "hexadecimal"), (5, "one name"), (6, ".."),
      (7, "longer than 32768 bytes"),
    ]
    #expect(loaded.problems.count == reasons.count)
    for (problem, (number, reason)) in zip(loaded.problems, reasons) {
      #expect(problem.hasPrefix("line \(number) of the list is left out: ") && problem.contains(reason))
      #expect(problem.utf8.count < 400)
    }
    #expect(loaded.loader.counts.unreadable == 6 && loaded.loader.counts.changes == 2)
    #expect(try loaded.touched == ["/ parent", "/a listed new", "/g removed"])
  }

  @Test("At most twenty lines that cannot be read are reported; the others are counted", arguments: [1, 7, 1000])
  func cap(_ atOnce: Int) throws {
    let loaded = try Loaded(lines: (1...30).map { "line \($0)" } + ["NEW a"], atOnce: atOnce)
    #expect(loaded.problems.count == 21)
    #expect(loaded.problems[19].hasPrefix("line 20 of the list"))
    #expect(loaded.problems.last == "further lines like this are only counted")
    #expect(loaded.loader.counts.unreadable == 30 && loaded.loader.counts.changes == 1)
    // The end is only noticed with the read after the last line.
    #expect(loaded.calls == 31 / atOnce + 1)
  }

  @Test("The number of lines at the end of a list includes those that cannot be read")
  func count() throws {
    let head = ["#begin 1 level=changes since=0 until=200", "NEW a", "nonsense"]
    #expect(try Loaded(lines: head + ["#end 2"]).loader.counts.unreadable == 1)
    #expect(refusal { try Loaded(lines: head + ["#end 1"]) }?.contains("has 2 lines and should have 1") == true)
  }

  // MARK: Marks

  @Test(
    "A change in a list marks each of its names and the parent directory",
    arguments: [
      (["NEW d/a"], ["/d parent", "/d/a listed new"]),
      (["MODIFY d/a"], ["/d parent", "/d/a listed"]),
      (["DELETE d/a"], ["/d parent", "/d/a removed"]),
      (["RENAME d/a e/b"], ["/d parent", "/d/a removed", "/e parent", "/e/b listed new"]),
      (["DELETE a", "NEW a", "MODIFY a"], ["/ parent", "/a listed new removed"]),
      (["MODIFY ."], ["/ listed parent"]),
      (["NEW d", "NEW d/a"], ["/ parent", "/d listed new parent", "/d/a listed new"]),
    ])
  func touched(_ lines: [String], _ touched: [String]) throws {
    #expect(try Loaded(lines: lines).touched == touched)
  }

  @Test(
    "Changes outside the base directory are counted and otherwise ignored",
    arguments: [
      ("NEW base/a", ["/base parent", "/base/a listed new"], 0),
      ("MODIFY base", ["/base listed"], 0),
      ("MODIFY base2/a", [], 1),
      ("MODIFY a", [], 1),
      ("RENAME base/a out/a", ["/base parent", "/base/a removed"], 1),
      ("RENAME out/a base/a", ["/base parent", "/base/a listed new"], 1),
    ])
  func base(_ line: String, _ touched: [String], _ outside: Int) throws {
    let loaded = try Loaded(lines: [line], base: "/base")
    #expect(try loaded.touched == touched)
    #expect(loaded.loader.counts.outside == outside)
  }

  @Test("Creating or deleting a directory above the base directory counts as a change of the base directory")
  func aboveBase() throws {
    #expect(try Loaded(lines: ["RENAME x p"], base: "/p/base").touched == ["/p/base listed new"])
    #expect(try Loaded(lines: ["DELETE p"], base: "/p/base").touched == ["/p/base removed"])
  }

  @Test("Names that were deleted or moved out of the base directory are counted")
  func removed() throws {
    let loaded = try Loaded(lines: ["DELETE base/a", "RENAME base/b base/c", "RENAME base/d e", "DELETE f", "NEW base/g"], base: "/base")
    #expect(loaded.loader.counts.removed == 3)
  }

  @Test("The names of an ambiguous rename are marked as guesses")
  func guess() throws {
    let folder = try TemporaryFolder()
    let file = try folder.write(lines: ["RENAME a b c"])
    let terms = ListTerms(file: Array(file.utf8), format: ListFormat(encoding: .none), isFull: false, since: 0)
    let loader = try ListLoader(terms, base: "/", isSharded: false)
    _ = try loader.load(lines: 10)
    for path in ["/a", "/a b", "/b c", "/c"] {
      #expect(try loader.touched.marks(of: VolumePath(path))?.contains(.guess) == true, "\(path)")
    }
    // The list has one line, which can be read in two ways.
    #expect(loader.counts.changes == 1)
  }

  @Test("A shard counts as a change of its file, and Gluster's other internal names are ignored")
  func shards() throws {
    let gfid = "01234567-89ab-cdef-0123-456789abcdef"
    let identity: [UInt8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]
    let loaded = try Loaded(
      lines: [
        "NEW .shard", "NEW .shard/\(gfid).1", "MODIFY .shard/\(gfid).22", "NEW .shard/short.1", "NEW .glusterfs/indices",
        "NEW .glusterfs-anonymous-inode-\(gfid)", "DELETE .shard/.remove_me",
      ], isSharded: true)
    #expect(try loaded.touched.isEmpty)
    #expect(try loaded.loader.touched.identities(after: [], limit: 10).map(\.gfid) == [identity])
    // Only at the top of the volume: these are ordinary entries.
    #expect(
      try Loaded(lines: ["NEW d/.shard", "NEW .shards"], isSharded: true).touched == [
        "/ parent", "/.shards listed new", "/d parent", "/d/.shard listed new",
      ])
    // The wrapper found no name for this identity. A user's file can have the same path, so the path counts as a guess.
    let unnamed = try Loaded(lines: ["MODIFY .gfid/\(gfid)"])
    #expect(try unnamed.loader.touched.identities(after: [], limit: 10).map(\.gfid) == [identity])
    #expect(try unnamed.touched == ["/.gfid parent", "/.gfid/\(gfid) listed guess"])
    for (line, hasChanged) in [("MODIFY", true), ("LOOK", false)] {
      #expect(try Loaded(lines: ["\(line) .gfid/\(gfid)"]).loader.touched.identities(after: [], limit: 1).map(\.hasChanged) == [hasChanged])
    }
    #expect(try Loaded(lines: ["LOOK d/e"]).touched == ["/d parent", "/d/e look"])
  }

  @Test(
    "Names that only resemble Gluster's own are ordinary entries",
    arguments: [
      ".glusterfs-notes", ".glusterfs-notes/f", ".shard", ".shard/f", ".shard/01234567-89ab-cdef-0123-456789abcdef.1", ".gfid", ".gfid/f",
      ".glusterfs-anonymous-inode-1", ".glusterfsx",
    ])
  func lookalikes(_ name: String) throws {
    let loaded = try Loaded(lines: ["NEW \(name)"])
    #expect(try loaded.touched.contains("/\(name) listed new"))
    #expect(try loaded.loader.touched.identities(after: [], limit: 10).isEmpty)
  }

  @Test(
    "An identity (GFID) is recognized by its 32 hexadecimal digits and four hyphens",
    arguments: [
      ("01234567-89ab-CDEF-0123-456789abcdef", true), ("0123456789abcdef0123456789abcdef", false),
      ("01234567-89ab-cdef-0123-456789abcdeg", false), ("01234567-89ab-cdef-0123-456789abcde", false),
      ("+1234567-89ab-cdef-0123-456789abcdef", false), ("------------------------------------", false), ("", false),
    ])
  func identity(_ text: String, _ isOne: Bool) { #expect((GFID(text.utf8) != nil) == isOne) }
}
