import CSysXattr
import Glibc
import GlusterfindList

/// The changelogs of a brick of this node, read by libgfchangelog as glusterfind reads them, for what glusterfind (GlusterFS
/// 10) leaves out of its lists:
///
/// - a directory whose mode, owner, times, ACL or extended attributes changed (every brick logs that),
/// - what was moved out of a directory that was then deleted,
/// - a name with a comma, with control characters, or with blanks at its end,
/// - the other names of a file that got or lost one.
///
/// One per process: the library holds the brick in a global, and other nodes' bricks are read there.
struct Changelogs {
  let brick: String
  /// Where the library keeps what it is reading.
  let folder: String

  /// When the brick began to log without a gap, in seconds since 1970; nil: it does not log. Told by the names of files
  /// `.glusterfs/changelogs/htime/HTIME.SECONDS`: a new one begins whenever logging is turned on.
  static func start(_ names: [some StringProtocol]) -> Int? {
    names.compactMap { $0.hasPrefix("HTIME.") ? Int($0.dropFirst("HTIME.".count)) : nil }.max()
  }

  /// The folder with those files.
  static func htimeFolder(_ brick: String) -> String { brick + "/.glusterfs/changelogs/htime" }

  // MARK: libgfchangelog

  private struct Library {
    typealias Init = @convention(c) (UnsafeMutableRawPointer?) -> Int32
    typealias Register = @convention(c) (UnsafePointer<CChar>, UnsafePointer<CChar>, UnsafePointer<CChar>, Int32, Int32) -> Int32
    typealias History = @convention(c) (UnsafePointer<CChar>, UInt, UInt, Int32, UnsafeMutablePointer<UInt>) -> Int32
    typealias Scan = @convention(c) () -> Int
    typealias Next = @convention(c) (UnsafeMutablePointer<CChar>, Int) -> Int
    typealias Done = @convention(c) (UnsafePointer<CChar>) -> Int32

    let initialize: Init
    let register: Register
    let history: History
    let scan: Scan
    let next: Next
    let done: Done

    init() throws {
      guard let library = dlopen("libgfchangelog.so.0", RTLD_NOW | RTLD_GLOBAL) else {
        throw Failure("libgfchangelog.so.0 cannot be loaded: \(String(cString: dlerror()))")
      }
      func find<F>(_ name: String, _: F.Type) throws -> F {
        guard let symbol = dlsym(library, name) else { throw Failure("libgfchangelog has no \(name)") }
        return unsafeBitCast(symbol, to: F.self)
      }
      initialize = try find("gf_changelog_init", Init.self)
      register = try find("gf_changelog_register", Register.self)
      history = try find("gf_history_changelog", History.self)
      scan = try find("gf_history_changelog_scan", Scan.self)
      next = try find("gf_history_changelog_next_change", Next.self)
      done = try find("gf_history_changelog_done", Done.self)
    }
  }

  /// Tells the changes that were logged since a time.
  func read(since: Int, _ tell: (Change) throws -> Void) throws {
    let library = try Library()
    func check(_ result: Int, _ call: String) throws {
      if result < 0 { throw Failure("\(call) \(brick): \(String(cString: strerror(errno)))") }
    }
    try check(Int(library.initialize(nil)), "gf_changelog_init")
    try check(Int(library.register(brick, folder, "/dev/null", 0, 5)), "gf_changelog_register")
    var end: UInt = 0
    try check(
      Int(library.history(brick + "/.glusterfs/changelogs", UInt(since), .max, 3, &end)), "gf_history_changelog")
    var names = BrickNames(brick: brick)
    while true {
      let count = library.scan()
      try check(count, "gf_history_changelog_scan")
      if count == 0 { break }
      while true {
        var buffer = [CChar](repeating: 0, count: 4097)
        let length = library.next(&buffer, 4096)
        try check(length, "gf_history_changelog_next_change")
        if length == 0 { break }
        let reader: LineReader
        do { reader = try LineReader(buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))) } catch {
          throw Failure("a changelog of \(brick): \(error)")
        }
        while let line = try reader.next() {
          for change in names.changes(line.bytes) { try tell(change) }
        }
        _ = library.done(buffer)
      }
    }
  }
}

/// Turns the records of a changelog into changes, by the identities that the brick keeps.
///
/// The records, as libgfchangelog writes them, with names encoded as glusterfind does:
///
///     E GFID CREATE|MKNOD|MKDIR MODE UID GID PARENT/NAME
///     E GFID LINK|SYMLINK PARENT/NAME
///     E GFID RENAME PARENT/NAME PARENT/NAME
///     E GFID UNLINK|RMDIR PARENT/NAME [PATH]
///     D GFID
///     M GFID …
struct BrickNames {
  private static let root = Array("00000000-0000-0000-0000-000000000001".utf8)
  private static let slash = UInt8(ascii: "/")

  let brick: String
  private var known: [[UInt8]: [UInt8]] = [:]
  private var told: Set<[UInt8]> = []

  init(brick: String) { self.brick = brick }

  /// The changes that a record tells.
  mutating func changes(_ record: [UInt8]) -> [Change] {
    let fields = record.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard fields.count >= 2, let first = fields[0].first, fields[0].count == 1 else { return [] }
    let gfid = Array(fields[1])
    guard first == UInt8(ascii: "E"), fields.count >= 4 else {
      return [UInt8(ascii: "D"), UInt8(ascii: "M")].contains(first) ? modified(gfid) : []
    }
    switch String(decoding: fields[2], as: UTF8.self) {
    case "CREATE", "MKNOD", "MKDIR": return path(fields.last!).map { [Change(.new, $0)] } ?? []
    case "SYMLINK": return path(fields[3]).map { [Change(.new, $0)] } ?? []
    case "LINK": return (path(fields[3]).map { [Change(.new, $0)] } ?? []) + modified(gfid)
    case "RENAME":
      let removed = path(fields[3]).map { [Change(.delete, $0)] } ?? []
      let new = fields.count > 4 ? path(fields[4]) : nil
      return removed + (new.map { [Change(.new, $0)] } ?? [])
    case "UNLINK", "RMDIR":
      let deleted = fields.count > 4 ? ListFormat().decode(fields[4]) : nil
      let paths = [path(fields[3]), deleted.flatMap { $0.isEmpty ? nil : [Self.slash] + $0 }]
      // Other names of the file, if it has any.
      return paths.compactMap { $0 }.map { Change(.delete, $0) } + modified(gfid)
    default: return []
    }
  }

  /// An entry with an identity has changed: all its names.
  private mutating func modified(_ gfid: [UInt8]) -> [Change] {
    // The same again and again, in each changelog: the list needs it once, but may have it more often.
    if told.count > 10_000 { told = [] }
    guard told.insert(gfid).inserted else { return [] }
    if let directory = directory(gfid) { return [Change(.modify, directory)] }
    return names(gfid).map { Change(.modify, $0) }
  }

  /// The path of `PARENT/NAME` in a record, where the name is encoded; nil if the parent is gone.
  private mutating func path(_ entry: ArraySlice<UInt8>) -> [UInt8]? {
    guard let slash = entry.firstIndex(of: Self.slash), let name = ListFormat().decode(entry[(slash + 1)...]) else {
      return nil
    }
    return path(of: name, in: entry[..<slash])
  }

  /// The path of a name in the directory of an identity; nil if that is gone.
  private mutating func path(of name: some Collection<UInt8>, in gfid: ArraySlice<UInt8>) -> [UInt8]? {
    guard let parent = directory(Array(gfid)) else { return nil }
    return (parent.count == 1 ? [] : parent) + [Self.slash] + name
  }

  /// The path of a directory; nil if there is none of that identity. The brick keeps a symbolic link for each,
  /// `.glusterfs/ab/cd/abcd… -> ../../12/34/1234…/NAME`, with the identity of its parent.
  private mutating func directory(_ gfid: [UInt8]) -> [UInt8]? {
    if gfid == Self.root { return [Self.slash] }
    if let path = known[gfid] { return path }
    var status = stat()
    // What is a link itself is there with all its names.
    guard let place = place(of: gfid), lstat(place, &status) == 0, status.st_mode & S_IFMT == S_IFLNK, status.st_nlink == 1
    else { return nil }
    var target = [UInt8](repeating: 0, count: 4097)
    let length = readlink(place, &target, 4096)
    let parts = target.prefix(max(length, 0)).split(separator: Self.slash)
    guard parts.count == 6, parts[0].elementsEqual("..".utf8), let path = path(of: parts[5], in: parts[4]) else { return nil }
    if known.count > 10_000 { known = [:] }
    known[gfid] = path
    return path
  }

  /// The paths of an entry that is no directory: the brick keeps parent and name in attributes `trusted.gfid2path.…`.
  private mutating func names(_ gfid: [UInt8]) -> [[UInt8]] {
    guard let place = place(of: gfid) else { return [] }
    var list = [CChar](repeating: 0, count: 65536)
    let length = llistxattr(place, &list, list.count)
    guard length > 0 else { return [] }
    return list[..<length].split(separator: 0).compactMap { name -> [UInt8]? in
      let name = String(decoding: name.map(UInt8.init(bitPattern:)), as: UTF8.self)
      guard name.hasPrefix("trusted.gfid2path.") else { return nil }
      var value = [UInt8](repeating: 0, count: 4096)
      let length = lgetxattr(place, name, &value, value.count)
      guard length > 0 else { return nil }
      let entry = value[..<length]
      guard let slash = entry.firstIndex(of: Self.slash) else { return nil }
      return path(of: entry[(slash + 1)...], in: entry[..<slash])
    }
  }

  private func place(of gfid: [UInt8]) -> String? {
    let allowed = gfid.allSatisfy { $0 == UInt8(ascii: "-") || (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    guard gfid.count == 36, allowed else { return nil }
    let text = String(decoding: gfid, as: UTF8.self)
    return "\(brick)/.glusterfs/\(text.prefix(2))/\(text.dropFirst(2).prefix(2))/\(text)"
  }
}
