import Gluster
import Testing

@testable import GfapiBackup
@testable import GfapiJob

@Suite("The paths marked by a list")
struct TouchedPathsTests {
  let touched: TouchedPaths

  init() throws { touched = try TouchedPaths() }

  func texts(_ rows: [TouchedPaths.Row]) -> [String] { rows.map { String(decoding: $0.path.bytes, as: UTF8.self) } }

  @Test("A path is stored once, with all marks that were added to it")
  func marks() throws {
    #expect(touched.isEmpty)
    try touched.add("/a", .listed)
    try touched.add("/a", [.removed, .parent])
    try touched.add("/a", .listed)
    #expect(!touched.isEmpty)
    #expect(try touched.marks(of: "/a") == [.listed, .removed, .parent])
    for other in ["/", "/A", "/a/a", "/aa"] as [VolumePath] { #expect(try touched.marks(of: other) == nil, "\(other)") }
    #expect(try touched.rows(after: nil, limit: 10).count == 1)
  }

  @Test("Paths are returned in the order of their bytes, in batches")
  func order() throws {
    let bytes: [[UInt8]] = [
      [0x2f], [0x2f, 0x01, 0x61], [0x2f, 0x61], [0x2f, 0x61, 0x20], [0x2f, 0x61, 0x2f, 0x62], [0x2f, 0x61, 0x62], [0x2f, 0xff],
    ]
    let paths = bytes.map { VolumePath($0)! }
    for path in paths.reversed() { try touched.add(path, .listed) }
    #expect(try touched.rows(after: nil, limit: 100).map(\.path) == paths)
    var told: [VolumePath] = []
    while case let rows = try touched.rows(after: told.last, limit: 2), !rows.isEmpty {
      #expect(rows.count <= 2)
      told += rows.map(\.path)
    }
    #expect(told == paths)
  }

  @Test("Pending directories are returned in reverse order")
  func pending() throws {
    for path in ["/", "/a", "/a/b", "/c"] { try touched.add(VolumePath(path), path == "/a" ? .listed : [.listed, .pending]) }
    #expect(try texts(touched.pendingDirectories(before: nil, limit: 2)) == ["/c", "/a/b"])
    #expect(try texts(touched.pendingDirectories(before: "/a/b", limit: 2)) == ["/"])
    #expect(try touched.pendingDirectories(before: "/", limit: 2).isEmpty)
  }

  @Test("Directories that may hold more entries than the list names are returned in order")
  func suspects() throws {
    for path in ["/a", "/b", "/c"] { try touched.add(VolumePath(path), path == "/b" ? .parent : [.parent, .suspect]) }
    #expect(try texts(touched.suspects(after: nil, limit: 1)) == ["/a"])
    #expect(try texts(touched.suspects(after: "/a", limit: 10)) == ["/c"])
  }

  @Test("Identities of sharded files are stored separately from paths")
  func shards() throws {
    for gfid: [UInt8] in [[9, 0], [1, 2], [9, 0], [0, 0]] { try touched.addIdentity(gfid, hasChanged: gfid == [1, 2]) }
    try touched.addIdentity([9, 0], hasChanged: true)
    try touched.addIdentity([9, 0], hasChanged: false)
    #expect(try touched.identities(after: [], limit: 2).map(\.gfid) == [[0, 0], [1, 2]])
    #expect(try touched.identities(after: [], limit: 3).map(\.hasChanged) == [false, true, true])
    #expect(try touched.identities(after: [1, 2], limit: 2).map(\.gfid) == [[9, 0]])
    #expect(touched.isEmpty)
  }
}

@Suite("Entries that a backup from a list has not reported to the daemon")
struct ListedPathsTests {
  @Test(
    "An entry is kept if neither it nor a directory above it was touched",
    arguments: [
      ("/base/untouched", true), ("/base/d/untouched", true), ("/base/d2/x", true), ("/base/file2", true),
      // Touched: the job would have reported it.
      ("/base/file", false), ("/base/d", false), ("/base/d/", false), ("/base", false),
      // In a directory that was reported with all its entries, or that was deleted.
      ("/base/new/x", false), ("/base/new/x/y/", false), ("/base/gone/x", false),
      // Of a directory with the marks `listed` and `pending`, the job reported only the record.
      ("/base/alone", false), ("/base/alone/x", true), ("/base/alone/new/x", false),
      // Belongs to another part of the FileSet.
      ("/base2", false), ("/", false), ("/other/x", false),
    ])
  func keep(_ path: String, _ stays: Bool) throws {
    let touched = try TouchedPaths()
    for (path, marks) in [
      ("/base", [.parent, .pending]), ("/base/file", .listed), ("/base/d", [.parent, .pending]), ("/base/new", [.listed, .new]),
      ("/base/gone", .removed), ("/base/alone", [.listed, .pending]), ("/base/alone/new", [.listed, .new]),
      // Above the base directory: has no effect.
      ("/", [.listed, .new]),
    ] as [(String, TouchedPaths.Marks)] { try touched.add(VolumePath(path), marks) }
    #expect(ListedPaths(touched: touched, base: "/base").keep(VolumePath(path)) == stays)
  }

  @Test("With an empty list every entry in the base directory is kept")
  func empty() throws {
    let listed = ListedPaths(touched: try TouchedPaths(), base: "/base")
    #expect(listed.keep("/base/a") && listed.keep("/base/"))
    #expect(!listed.keep("/basement"))
    let all = ListedPaths(touched: try TouchedPaths(), base: "/")
    #expect(all.keep("/a") && all.keep("/"))
  }

  @Test("Entries below the root are kept and dropped by the same rules as others")
  func root() throws {
    let touched = try TouchedPaths()
    try touched.add("/", [.parent, .pending])
    let listed = ListedPaths(touched: touched, base: "/")
    #expect(listed.keep("/a/b") && !listed.keep("/"))
    try touched.add("/", .new)
    #expect(listed.keep("/a/b"))
    let crawled = try TouchedPaths()
    try crawled.add("/", .new)
    #expect(!ListedPaths(touched: crawled, base: "/").keep("/a/b"))
  }
}

@Suite("Places that could not be read")
struct UnreadPlacesTests {
  @Test(
    "An unread place contains the entries below it, compared by whole path components",
    arguments: [
      ("/a/b", true), ("/a/b/", true), ("/a/b/c", true), ("/a/b/c/d/", true), ("/a/bc", false), ("/a", false), ("/a/", false),
      ("/", false), ("/b", false), ("/x", true), ("/x/y", true),
    ])
  func contain(_ path: String, _ isContained: Bool) {
    var places = UnreadPlaces()
    #expect(!places.contain(VolumePath(path)))
    places.add("/a/b")
    places.add("/x")
    #expect(places.contain(VolumePath(path)) == isContained && !places.contain(nil))
  }

  @Test("If the root could not be read, every path is unread")
  func root() {
    var places = UnreadPlaces()
    places.add("/")
    #expect(places.contain("/a") && places.contain("/") && places.contain(nil))
  }

  @Test("With more unread places than the limit, every path is unread")
  func limit() {
    var places = UnreadPlaces()
    for number in 1...UnreadPlaces.limit { places.add(VolumePath("/a/\(number)")) }
    places.add("/a/1")
    #expect(places.contain("/a/1000") && !places.contain("/b"))
    places.add("/a/one more")
    #expect(places.contain("/b") && places.contain("/a/1"))
    places.add("/c")
    #expect(places.contain("/d"))
  }

  @Test("Adding the unread places of another backup combines both")
  func together() {
    var (places, others) = (UnreadPlaces(), UnreadPlaces())
    places.add("/a")
    others.add("/b")
    places.add(others)
    #expect(places.contain("/a/x") && places.contain("/b/x") && !places.contain("/c"))
    #expect(!others.contain("/a"))
    others.addEverything()
    places.add(others)
    #expect(places.contain("/c"))
  }
}
