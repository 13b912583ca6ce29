import Encodings
import Glibc
import Gluster
import GlusterfindList

/// Looks up the entries that a list of changes names, as they are on the volume now. Used on the threads that make the volume's calls, by
/// one call at a time.
///
/// A list says what happened. The volume is asked which entries exist. So the order of the lines does not matter, nor how often an entry is
/// listed. A directory is crawled if its path is new, or if another entry was removed at its path: glusterfind lists a renamed directory
/// without its content. A directory has new times if something in it was created, removed or renamed, and no list names this directory. It
/// is backed up if it changed.
///
/// The entries come first, in the order of their paths. The directories that are reported alone follow, each after its content.
package final class ListWalk: @unchecked Sendable {
  package enum Step: Sendable {
    /// A step that the source returns unchanged.
    case yield(SourceStep)
    /// A directory that is backed up with everything in it.
    case crawl(SourceEntry)
  }

  /// The number of rows that are looked up at once.
  private static let pageSize = 256

  private let touched: TouchedPaths
  private let base: VolumePath
  private let rules: DirectoryReader.Rules
  private let volume: Volume
  private var walker: PathWalker

  private enum Phase { case identities, entries, suspects, directories, end }
  private var phase = Phase.identities
  /// The last identity that was looked up.
  private var lastIdentity: [UInt8] = []
  /// The last row of the phase that was looked up.
  private var last: VolumePath?
  /// The directory that is searched for entries that the list does not name.
  private var unlisted: DirectoryReader?
  private var lastSuspect: VolumePath?
  /// Directories that are crawled and may contain the rows that follow.
  private var crawled: [VolumePath] = []

  /// - Parameter touched: all paths and identities that the list names.
  init(_ touched: TouchedPaths, base: VolumePath, volume: Volume, _ rules: DirectoryReader.Rules) throws(GlusterError) {
    self.touched = touched
    self.base = base
    self.volume = volume
    self.rules = rules
    walker = PathWalker(try volume.root())
  }

  /// Returns the next entries; nil after the last.
  func nextSteps() throws -> [Step]? {
    while true {
      let steps = try fill()
      if let steps, steps.isEmpty { continue }
      return steps
    }
  }

  // MARK: Rows

  /// Looks up the next rows. Returns nil after the last row.
  private func fill() throws -> [Step]? {
    if let unlisted { return try nextUnlisted(unlisted) }
    switch phase {
    case .identities:
      let gfids = try touched.identities(after: lastIdentity, limit: Self.pageSize)
      let failures = try gfids.compactMap(addEntry)
      if let last = gfids.last { lastIdentity = last.gfid } else { phase = .entries }
      return failures.map { .yield(.failed($0)) }
    case .entries:
      let rows = try touched.rows(after: last, limit: Self.pageSize)
      let steps = try lookAt(rows)
      advance(to: .suspects, after: rows.last?.path)
      return steps
    case .suspects:
      let suspect = try touched.suspects(after: last, limit: 1).first
      if let suspect, case .found(let object, let status) = lookUp(suspect.path), status.isDirectory {
        unlisted = DirectoryReader(SourceEntry(path: suspect.path, status: status, object: object), rules)
      }
      advance(to: .directories, after: suspect?.path)
      return []
    case .directories:
      let rows = try touched.pendingDirectories(before: last, limit: Self.pageSize)
      let steps: [Step] = rows.compactMap { row in
        switch lookUp(row.path) {
        case .found(let object, let status):
          .yield(
            .directoryAlone(
              SourceEntry(path: row.path, status: status, object: object, isNamedByList: row.marks.contains(.listed))))
        // The directory has been deleted since its first look-up. The entries in it have been returned already.
        case .missing: nil
        case .failed(let failure): .yield(.failed(failure))
        }
      }
      advance(to: .end, after: rows.last?.path)
      return steps
    case .end: return nil
    }
  }

  private func advance(to next: Phase, after row: VolumePath?) {
    last = row
    if row == nil { phase = next }
  }

  private enum Found {
    case found(Object, stat)
    case missing
    case failed(SourceFailure)
  }

  private func lookUp(_ path: VolumePath) -> Found {
    if let failure = SourceFailure.ofLength(path) { return .failed(failure) }
    do {
      guard let found = try walker.lookUp(path) else { return .missing }
      return .found(found.object, found.status)
    } catch {
      return .failed(SourceFailure(kind: .entry, path: path, error: error))
    }
  }

  /// Looks up all rows, except those in a directory that is crawled.
  private func lookUp(_ rows: [TouchedPaths.Row]) throws(GlusterError) -> [(row: TouchedPaths.Row, found: Found)] {
    let before = crawled
    return try volume.retry.run { _ throws(GlusterError) in
      crawled = before
      // An entry on an unreachable subvolume looks as if it did not exist.
      let state = try rules.distribution?.check()
      walker.forgetMissing()
      var found: [(row: TouchedPaths.Row, found: Found)] = []
      for row in rows where !isCrawled(row.path) {
        let answer = lookUp(row.path)
        if case .found(_, let status) = answer, status.isDirectory, row.marks.isNewHere { crawled.append(row.path) }
        found.append((row, answer))
      }
      if let state { try rules.distribution?.check(since: state) }
      return found
    }
  }

  private func lookAt(_ rows: [TouchedPaths.Row]) throws -> [Step] {
    let found: [(row: TouchedPaths.Row, found: Found)]
    do { found = try lookUp(rows) } catch {
      return rows.map { .yield(.failed(SourceFailure(kind: .entry, path: $0.path, error: error))) }
    }
    return try found.compactMap { row, found in
      switch found {
      case .missing where row.marks.contains(.named):
        let error = GlusterError(errno: .noSuchFileOrDirectory, call: "glfs_h_lookupat", path: row.path.bytes)
        return .yield(.failed(SourceFailure(kind: .entry, path: row.path, error: error)))
      case .missing:
        guard row.marks.contains(.listed), row.marks.isDisjoint(with: [.removed, .guess]) else { return nil }
        try suspect(row.path)
        return .yield(.vanished(row.path))
      case .failed(let failure): return .yield(.failed(failure))
      case .found(let object, let status):
        let isNamedByList = !row.marks.isDisjoint(with: [.listed, .removed])
        let entry = SourceEntry(
          path: row.path, status: status, object: object, isNamedByList: isNamedByList,
          sizeIsUncertain: !rules.trustsSizes && status.isRegular)
        if !status.isDirectory { return .yield(.entry(entry)) }
        if row.marks.isNewHere { return .crawl(entry) }
        try touched.add(row.path, .pending)
        return nil
      }
    }
  }

  /// Returns true if a path is in a directory that is crawled. Call this in the order of paths.
  private func isCrawled(_ path: VolumePath) -> Bool {
    crawled.removeAll { $0.contentPrecedes(path) }
    return crawled.contains { $0.contains(path) && $0 != path }
  }

  // MARK: Entries that glusterfind does not name

  /// Adds an entry that is listed by its identity: a sharded file that was written to beyond its first shard, or an entry for which its
  /// brick has no name.
  ///
  /// - Returns: the failure, if the entry may exist and its path could not be read.
  private func addEntry(_ gfid: [UInt8], hasChanged: Bool) throws -> SourceFailure? {
    let paths: [VolumePath]
    do {
      paths = try volume.paths(ofGFID: gfid)
    } catch {
      // The entry is deleted, and the list names its deletion as well.
      if error.meansMissing { return nil }
      return SourceFailure(kind: .entry, path: VolumePath(components: [".gfid".utf8, Hex.text(gfid).utf8]), error: error)
    }
    for path in paths where base.contains(path) { try touched.add(path, hasChanged ? .listed : .look) }
    return nil
  }

  /// Has a directory searched for entries that the list does not name. A listed name that does not exist may have been cut by glusterfind:
  /// at a comma, at a control character, or by the blanks at its end.
  private func suspect(_ path: VolumePath) throws {
    var directory = path.parent
    while base.contains(directory), directory != lastSuspect {
      if case .found(_, let status) = lookUp(directory), status.isDirectory {
        lastSuspect = directory
        return try touched.add(directory, [.parent, .suspect, .pending])
      }
      guard !directory.isRoot else { return }
      directory = directory.parent
    }
  }

  /// Returns the next entries of a directory that the list does not name. They are backed up if they changed. A directory is returned with
  /// its content only if its name has a comma, because glusterfind cuts the names of its content as well then.
  private func nextUnlisted(_ reader: DirectoryReader) throws -> [Step] {
    let page = reader.nextPage()
    if page.isLast { unlisted = nil }
    return try page.items.compactMap { listed in
      let item =
        switch listed {
        case .item(let item): item
        case .name(let name, let state): reader.examine(name, state)
        }
      switch item {
      case .failed(let failure): return .yield(.failed(failure))
      case .entry(let entry):
        guard try touched.marks(of: entry.path) == nil else { return nil }
        guard entry.status.isDirectory else { return .yield(.entry(entry)) }
        return entry.path.name.contains(UInt8(ascii: ",")) ? .crawl(entry) : .yield(.directoryAlone(entry))
      }
    }
  }
}

extension TouchedPaths.Marks {
  /// True if anything below the path was not there before.
  fileprivate var isNewHere: Bool { !isDisjoint(with: [.new, .removed]) }
}

/// Looks up paths that come in the order of their bytes. A directory is looked up once for all following paths in it, whether the directory
/// exists or not. No symbolic link is followed.
private struct PathWalker {
  private var chain: [(name: ArraySlice<UInt8>, object: Object, status: stat)]
  /// The components of the last path that does not exist.
  private var missing: [ArraySlice<UInt8>] = [[]]

  init(_ root: (object: Object, status: stat)) { chain = [([], root.object, root.status)] }

  /// Forgets the missing path, because it may exist now.
  mutating func forgetMissing() { missing = [[]] }

  /// Returns the entry of a path; nil if there is none.
  mutating func lookUp(_ path: VolumePath) throws(GlusterError) -> (object: Object, status: stat)? {
    let names = path.components
    if names.starts(with: missing) { return nil }
    var depth = 0
    // The last component is always looked up, so that its attributes are current.
    while depth < names.count - 1, depth + 1 < chain.count, chain[depth + 1].name == names[depth] { depth += 1 }
    chain.removeLast(chain.count - 1 - depth)
    if names.isEmpty { return (chain[0].object, try chain[0].object.status()) }
    for name in names[depth...] {
      guard chain.last!.status.isDirectory else { return nil }
      do {
        let found = try chain.last!.object.lookUp(name)
        chain.append((name, found.object, found.status))
      } catch {
        guard error.meansMissing || error.errno == .notDirectory else { throw error }
        missing = Array(names[..<chain.count])
        return nil
      }
    }
    return (chain.last!.object, chain.last!.status)
  }
}
