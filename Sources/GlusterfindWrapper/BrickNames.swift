import CSysXattr
import Glibc
import GlusterfindList

/// Turns the records of a changelog into changes. The brick keeps the names for the identities (GFIDs) in the records.
///
/// The brick has no name for an entry that was deleted, or that a rebalance moved to another brick. Such an entry is listed by its
/// identity, and the plugin asks the volume for its names.
struct BrickNames {
  private static let root = Array("00000000-0000-0000-0000-000000000001".utf8)
  private static let slash = UInt8(ascii: "/")

  let brick: String
  private var known: [[UInt8]: [UInt8]] = [:]
  private var told: Set<[UInt8]> = []
  /// The paths of the directories that the brick no longer knows by their identities; nil: not searched for yet.
  private var lost: [[UInt8]: [UInt8]]?

  init(brick: String) { self.brick = brick }

  /// Returns the changes for a record.
  ///
  /// - Throws: ``Changelogs/Gap`` if the brick does not know all names of a file.
  mutating func changes(_ record: ChangelogFile.Record) throws(Changelogs.Gap) -> [Change] {
    switch record {
    case .changed(let gfid): return try modified(gfid)
    case .made(let gfid, let place): return try new(gfid, place)
    case .linked(let gfid, let place): return try new(gfid, place) + modified(gfid)
    case .renamed(let gfid, let from, let to): return try (try path(from).map { [Change(.delete, $0)] } ?? []) + new(gfid, to)
    case .removed(let gfid, let place, let path):
      // `modified` adds the remaining names of the file, if it has any.
      return try [try self.path(place), path.map { [Self.slash] + $0 }].compactMap { $0 }.map { Change(.delete, $0) } + modified(gfid)
    }
  }

  /// Returns the changes for an entry with a new name.
  ///
  /// If the directory no longer exists, the entry may have got another name since. All its current names are returned then.
  private mutating func new(_ gfid: [UInt8], _ place: ChangelogFile.Place) throws(Changelogs.Gap) -> [Change] {
    if let path = try path(place) { return [Change(.new, path)] }
    return try modified(gfid)
  }

  /// Returns a change for each name of an entry that has changed.
  ///
  /// - Throws: ``Changelogs/Gap`` if the brick does not know all names of a file.
  mutating func modified(_ gfid: [UInt8], _ kind: Change.Kind = .modify) throws(Changelogs.Gap) -> [Change] {
    // An entry may occur in every changelog. The list needs it only once, but may have it more often, so the set can be emptied.
    if told.count > 10_000 { told = [] }
    guard !told.contains(gfid), kind == .modify ? told.insert(gfid).inserted : true else { return [] }
    if let directory = try directory(gfid) { return [Change(kind, directory)] }
    let names = try names(gfid)
    return names.isEmpty ? [Change(kind, identity: gfid)] : names.map { Change(kind, $0) }
  }

  /// Returns the path of a place; nil if the directory is gone.
  private mutating func path(_ place: ChangelogFile.Place) throws(Changelogs.Gap) -> [UInt8]? {
    try path(of: place.name, in: place.parent[...])
  }

  /// Returns the path of a name in the directory with an identity; nil if the directory is gone.
  private mutating func path(of name: some Collection<UInt8>, in gfid: ArraySlice<UInt8>) throws(Changelogs.Gap) -> [UInt8]? {
    guard let parent = try directory(Array(gfid)) else { return nil }
    return (parent.count == 1 ? [] : parent) + [Self.slash] + name
  }

  /// Returns the path of a directory; nil if no directory has that identity.
  ///
  /// The brick keeps a symbolic link for each directory, `.glusterfs/ab/cd/abcd… -> ../../12/34/1234…/NAME`, with the identity of the
  /// parent.
  private mutating func directory(_ gfid: [UInt8]) throws(Changelogs.Gap) -> [UInt8]? {
    if gfid == Self.root { return [Self.slash] }
    if let path = known[gfid] { return path }
    var status = stat()
    // A symbolic link of the volume is kept here as a hard link, so its link count is at least 2. The link for a directory has 1.
    guard let place = Self.place(of: gfid, onBrick: brick) else { return nil }
    guard lstat(place, &status) == 0 else { return try lostDirectory(gfid) }
    guard status.st_mode & S_IFMT == S_IFLNK, status.st_nlink == 1 else { return nil }
    var target = [UInt8](repeating: 0, count: 4097)
    let length = readlink(place, &target, 4096)
    let parts = target.prefix(max(length, 0)).split(separator: Self.slash)
    guard parts.count == 6, parts[0].elementsEqual("..".utf8), let path = try path(of: parts[5], in: parts[4]) else { return nil }
    if known.count > 10_000 { known = [:] }
    known[gfid] = path
    return path
  }

  /// Returns the path of a directory of which the brick has lost the symbolic link.
  private mutating func lostDirectory(_ gfid: [UInt8]) throws(Changelogs.Gap) -> [UInt8]? {
    if lost == nil { lost = try LostDirectories.find(onBrick: brick) }
    return lost![gfid]
  }

  /// Returns the paths of an entry that is not a directory. The brick keeps parent and name in attributes `trusted.gfid2path.…`.
  private mutating func names(_ gfid: [UInt8]) throws(Changelogs.Gap) -> [[UInt8]] {
    guard let place = Self.place(of: gfid, onBrick: brick) else { return [] }
    for attempt in 1... {
      let found = try listedNames(place)
      var status = stat()
      // One of the hard links is the brick's own. Names that were made while `storage.gfid2path` was off are not kept.
      guard lstat(place, &status) == 0, found.paths.count < Int(status.st_nlink) - 1, found.kept > 0 || status.st_nlink > 2 else {
        return found.paths
      }
      // The file may be getting or losing a name at this moment, or its directory another name: look again.
      if attempt < 3 {
        usleep(200_000)
        continue
      }
      guard found.kept < Int(status.st_nlink) - 1 else {
        throw Changelogs.Gap(
          reason: "the brick \(brick) does not know the directory of a file")
      }
      throw Changelogs.Gap(reason: "not all \(status.st_nlink - 1) names of a file are kept (storage.gfid2path) on the brick \(brick)")
    }
    return []
  }

  /// Reads the names that the brick keeps for a file.
  ///
  /// - Returns: the paths that are known, and the number of names that are kept.
  private mutating func listedNames(_ place: String) throws(Changelogs.Gap) -> (paths: [[UInt8]], kept: Int) {
    var list = [CChar](repeating: 0, count: 65536)
    let length = llistxattr(place, &list, list.count)
    guard length > 0 else { return ([], 0) }
    let names = list[..<length].split(separator: 0).map { String(decoding: $0.map(UInt8.init(bitPattern:)), as: UTF8.self) }
      .filter { $0.hasPrefix("trusted.gfid2path.") }
    var paths: [[UInt8]] = []
    for name in names {
      var value = [UInt8](repeating: 0, count: 4096)
      let length = lgetxattr(place, name, &value, value.count)
      guard length > 0 else { continue }
      let entry = value[..<length]
      guard let slash = entry.firstIndex(of: Self.slash) else { continue }
      if let path = try path(of: entry[(slash + 1)...], in: entry[..<slash]) { paths.append(path) }
    }
    return (paths, names.count)
  }

  /// Returns the path under which a brick keeps the entry with an identity; nil if that is not the text of one.
  static func place(of gfid: [UInt8], onBrick brick: String) -> String? {
    let allowed = gfid.allSatisfy { $0 == UInt8(ascii: "-") || (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    guard gfid.count == 36, allowed else { return nil }
    let text = String(decoding: gfid, as: UTF8.self)
    return "\(brick)/.glusterfs/\(text.prefix(2))/\(text.dropFirst(2).prefix(2))/\(text)"
  }
}
