import Testing

@testable import GfapiFD

@Suite("The paths that a list touches")
struct TouchedPathsTests {
  let touched: TouchedPaths

  init() throws { touched = try TouchedPaths() }

  func texts(_ rows: [TouchedPaths.Row]) -> [String] { rows.map { String(decoding: $0.path, as: UTF8.self) } }

  @Test("are kept once, with all marks that they got")
  func marks() throws {
    #expect(touched.isEmpty)
    try touched.add(Array("/a".utf8), .listed)
    try touched.add(Array("/a".utf8), [.removed, .parent])
    try touched.add(Array("/a".utf8), .listed)
    #expect(!touched.isEmpty)
    #expect(try touched.marks(of: "/a".utf8) == [.listed, .removed, .parent])
    for other in ["", "/", "/A", "/a/", "/aa"] { #expect(try touched.marks(of: other.utf8) == nil, "\(other)") }
    #expect(try touched.rows(after: [], limit: 10).count == 1)
  }

  @Test("are told in the order of their bytes, some at a time")
  func order() throws {
    let paths: [[UInt8]] = [
      [0x2f], [0x2f, 0x00, 0x61], [0x2f, 0x61], [0x2f, 0x61, 0x20], [0x2f, 0x61, 0x2f, 0x62], [0x2f, 0x61, 0x62], [0x2f, 0xff],
    ]
    for path in paths.reversed() { try touched.add(path, .listed) }
    #expect(try touched.rows(after: [], limit: 100).map(\.path) == paths)
    var told: [[UInt8]] = []
    while case let rows = try touched.rows(after: told.last ?? [], limit: 2), !rows.isEmpty {
      #expect(rows.count <= 2)
      told += rows.map(\.path)
    }
    #expect(told == paths)
  }

  @Test("of directories that are told alone come last first")
  func pending() throws {
    for path in ["/", "/a", "/a/b", "/c"] { try touched.add(Array(path.utf8), path == "/a" ? .listed : [.listed, .pending]) }
    #expect(try texts(touched.pendingDirectories(before: nil, limit: 2)) == ["/c", "/a/b"])
    #expect(try texts(touched.pendingDirectories(before: Array("/a/b".utf8), limit: 2)) == ["/"])
    #expect(try touched.pendingDirectories(before: Array("/".utf8), limit: 2).isEmpty)
  }

  @Test("of directories that may hold more than the list names come in order")
  func suspects() throws {
    for path in ["/a", "/b", "/c"] { try touched.add(Array(path.utf8), path == "/b" ? .parent : [.parent, .suspect]) }
    #expect(try texts(touched.suspects(after: [], limit: 1)) == ["/a"])
    #expect(try texts(touched.suspects(after: Array("/a".utf8), limit: 10)) == ["/c"])
  }

  @Test("are apart from the identities of sharded files")
  func shards() throws {
    for gfid: [UInt8] in [[9, 0], [1, 2], [9, 0], [0, 0]] { try touched.addIdentity(gfid, isListed: gfid == [1, 2]) }
    try touched.addIdentity([9, 0], isListed: true)
    try touched.addIdentity([9, 0], isListed: false)
    #expect(try touched.identities(after: [], limit: 2).map(\.gfid) == [[0, 0], [1, 2]])
    #expect(try touched.identities(after: [], limit: 3).map(\.isListed) == [false, true, true])
    #expect(try touched.identities(after: [1, 2], limit: 2).map(\.gfid) == [[9, 0]])
    #expect(touched.isEmpty)
  }
}

@Suite("An entry that a backup from a list has not told")
struct ListedPathsTests {
  @Test(
    "stays if neither it nor a directory above it was touched",
    arguments: [
      ("/base/untouched", true), ("/base/d/untouched", true), ("/base/d2/x", true), ("/base/file2", true),
      // Touched: it would have been told.
      ("/base/file", false), ("/base/d", false), ("/base/d/", false), ("/base", false),
      // A directory that was told with all that is in it, or is gone.
      ("/base/new/x", false), ("/base/new/x/y/", false), ("/base/gone/x", false),
      // Of a directory that was told alone, only the record was.
      ("/base/alone", false), ("/base/alone/x", true), ("/base/alone/new/x", false),
      // Of another part of the FileSet.
      ("/base2", false), ("/", false), ("/other/x", false),
    ])
  func keep(_ path: String, _ stays: Bool) throws {
    let touched = try TouchedPaths()
    for (path, marks) in [
      ("/base", [.parent, .pending]), ("/base/file", .listed), ("/base/d", [.parent, .pending]), ("/base/new", [.listed, .new]),
      ("/base/gone", .removed), ("/base/alone", [.listed, .pending]), ("/base/alone/new", [.listed, .new]),
      // Above the base directory: of no concern.
      ("/", [.listed, .new]),
    ] as [(String, TouchedPaths.Marks)] { try touched.add(Array(path.utf8), marks) }
    #expect(ListedPaths(touched: touched, base: BaseDirectory(Array("/base".utf8))).keep(Array(path.utf8)) == stays)
  }

  @Test("stays if the list is empty, and it is in the base directory")
  func empty() throws {
    let listed = ListedPaths(touched: try TouchedPaths(), base: BaseDirectory(Array("/base".utf8)))
    #expect(listed.keep(Array("/base/a".utf8)) && listed.keep(Array("/base/".utf8)))
    #expect(!listed.keep(Array("/basement".utf8)))
    let all = ListedPaths(touched: try TouchedPaths(), base: BaseDirectory(Array("/".utf8)))
    #expect(all.keep(Array("/a".utf8)) && all.keep(Array("/".utf8)))
  }

  @Test("is below the root like anything else")
  func root() throws {
    let touched = try TouchedPaths()
    try touched.add(Array("/".utf8), [.parent, .pending])
    let listed = ListedPaths(touched: touched, base: BaseDirectory(Array("/".utf8)))
    #expect(listed.keep(Array("/a/b".utf8)) && !listed.keep(Array("/".utf8)))
    try touched.add(Array("/".utf8), .new)
    #expect(listed.keep(Array("/a/b".utf8)))
    let crawled = try TouchedPaths()
    try crawled.add(Array("/".utf8), .new)
    #expect(!ListedPaths(touched: crawled, base: BaseDirectory(Array("/".utf8))).keep(Array("/a/b".utf8)))
  }
}

@Suite("Places that could not be read")
struct UnreadPlacesTests {
  func bytes(_ path: String) -> [UInt8] { Array(path.utf8) }

  @Test(
    "contain what is in them, by whole components",
    arguments: [
      ("/a/b", true), ("/a/b/", true), ("/a/b/c", true), ("/a/b/c/d/", true), ("/a/bc", false), ("/a", false), ("/a/", false),
      ("/", false), ("/b", false), ("/x", true), ("/x/y", true),
    ])
  func contain(_ path: String, _ isContained: Bool) {
    var places = UnreadPlaces()
    #expect(!places.contain(bytes(path)))
    places.add(bytes("/a/b"))
    places.add(bytes("/x"))
    #expect(places.contain(bytes(path)) == isContained)
  }

  @Test("are everywhere if the root is one of them")
  func root() {
    var places = UnreadPlaces()
    places.add(bytes("/"))
    #expect(places.contain(bytes("/a")) && places.contain(bytes("/")))
  }

  @Test("are everywhere if there are too many to keep apart")
  func limit() {
    var places = UnreadPlaces()
    for number in 1...UnreadPlaces.limit { places.add(bytes("/a/\(number)")) }
    places.add(bytes("/a/1"))
    #expect(places.contain(bytes("/a/1000")) && !places.contain(bytes("/b")))
    places.add(bytes("/a/one more"))
    #expect(places.contain(bytes("/b")) && places.contain(bytes("/a/1")))
    places.add(bytes("/c"))
    #expect(places.contain(bytes("/d")))
  }

  @Test("are those of several backups together")
  func together() {
    var (places, others) = (UnreadPlaces(), UnreadPlaces())
    places.add(bytes("/a"))
    others.add(bytes("/b"))
    places.add(others)
    #expect(places.contain(bytes("/a/x")) && places.contain(bytes("/b/x")) && !places.contain(bytes("/c")))
    #expect(!others.contain(bytes("/a")))
    others.addEverything()
    places.add(others)
    #expect(places.contain(bytes("/c")))
  }
}
