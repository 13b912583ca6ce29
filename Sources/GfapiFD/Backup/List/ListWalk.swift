import Glibc
import Gluster
import GlusterfindList

/// Looks up the entries that a list of changes names, as they are on the volume now. Lives where the volume's calls are made,
/// in one call at a time.
///
/// A list tells what happened; what is there is asked of the volume. So the order of the lines does not matter, nor how often
/// an entry is in it. What is new under its path, or stands where something else went away, is crawled if it is a directory:
/// glusterfind lists a directory that was renamed, not what is in it. The directories in which something was created, removed
/// or renamed have other times now, which no list tells: they are told if they changed.
///
/// First come the entries, in the order of their paths; then the directories that are told alone, each after what is in it.
package final class ListWalk: @unchecked Sendable {
  package enum Step: Sendable {
    /// To be told as it is.
    case tell(SourceStep)
    /// A directory to be told with all that is in it.
    case crawl(SourceEntry)
  }

  /// Rows that are looked at in one go.
  private static let pageSize = 256

  private let touched: TouchedPaths
  private let base: BaseDirectory
  private let rules: DirectoryReader.Rules
  private let volume: Volume
  private var walker: PathWalker

  private enum Phase { case identities, entries, suspects, directories, end }
  private var phase = Phase.identities
  /// The last row of the phase that was looked at.
  private var last: [UInt8]?
  /// The directory that is looked through for what the list does not name.
  private var unlisted: DirectoryReader?
  private var lastSuspect: [UInt8] = []
  /// Directories that are crawled and may hold the rows that follow.
  private var crawled: [BaseDirectory] = []

  /// - Parameter touched: all that the list names.
  init(_ touched: TouchedPaths, base: BaseDirectory, volume: Volume, _ rules: DirectoryReader.Rules) throws {
    self.touched = touched
    self.base = base
    self.volume = volume
    self.rules = rules
    walker = PathWalker(try volume.root())
  }

  /// The next entries; nil after the last.
  func nextSteps() throws -> [Step]? {
    while true {
      let steps = try fill()
      if let steps, steps.isEmpty { continue }
      return steps
    }
  }

  // MARK: Rows

  /// Looks at the next rows; nil when all have been.
  private func fill() throws -> [Step]? {
    if let unlisted { return try nextUnlisted(unlisted) }
    switch phase {
    case .identities:
      let gfids = try touched.identities(after: last ?? [], limit: Self.pageSize)
      let failures = try gfids.compactMap(addEntry)
      advance(to: .entries, after: gfids.last?.gfid)
      return failures.map { .tell(.failed($0)) }
    case .entries:
      let rows = try touched.rows(after: last ?? [], limit: Self.pageSize)
      let steps = try lookAt(rows)
      advance(to: .suspects, after: rows.last?.path)
      return steps
    case .suspects:
      let suspect = try touched.suspects(after: last ?? [], limit: 1).first
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
          .tell(
            .directoryAlone(
              SourceEntry(path: row.path, status: status, object: object, isListed: row.marks.contains(.listed))))
        // It was there a moment ago, and what is in it has been told.
        case .missing: nil
        case .failed(let failure): .tell(.failed(failure))
        }
      }
      advance(to: .end, after: rows.last?.path)
      return steps
    case .end: return nil
    }
  }

  private func advance(to next: Phase, after row: [UInt8]?) {
    last = row
    if row == nil { phase = next }
  }

  private enum Found {
    case found(Object, stat)
    case missing
    case failed(SourceFailure)
  }

  private func lookUp(_ path: [UInt8]) -> Found {
    if let failure = SourceFailure.ofLength(path) { return .failed(failure) }
    do {
      guard let found = try walker.lookUp(path) else { return .missing }
      let asksAgain = !rules.trustsListings && found.status.isRegular
      return .found(found.object, asksAgain ? try found.object.status() : found.status)
    } catch {
      return .failed(SourceFailure(kind: .entry, path: path, error: asGlusterError(error)))
    }
  }

  /// Looks all of them up, but what is crawled anyway.
  private func lookUp(_ rows: [TouchedPaths.Row]) throws -> [(row: TouchedPaths.Row, found: Found)] {
    let before = crawled
    return try volume.patience.run { _ in
      crawled = before
      // A subvolume that cannot be reached makes an entry look as if it were not there.
      let state = try rules.distribution?.check()
      walker.forgetMissing()
      var found: [(row: TouchedPaths.Row, found: Found)] = []
      for row in rows where !isCrawled(row.path) {
        let answer = lookUp(row.path)
        if case .found(_, let status) = answer, status.isDirectory, row.marks.isNewHere { crawled.append(BaseDirectory(row.path)) }
        found.append((row, answer))
      }
      if let state { try rules.distribution?.check(since: state) }
      return found
    }
  }

  private func lookAt(_ rows: [TouchedPaths.Row]) throws -> [Step] {
    let found: [(row: TouchedPaths.Row, found: Found)]
    do { found = try lookUp(rows) } catch {
      let lost = asGlusterError(error)
      return rows.map { .tell(.failed(SourceFailure(kind: .entry, path: $0.path, error: lost))) }
    }
    return try found.compactMap { row, found in
      switch found {
      case .missing:
        guard row.marks.contains(.listed), row.marks.isDisjoint(with: [.removed, .guess]) else { return nil }
        try suspect(row.path)
        return .tell(.vanished(row.path))
      case .failed(let failure): return .tell(.failed(failure))
      case .found(let object, let status):
        let isListed = !row.marks.isDisjoint(with: [.listed, .removed])
        let entry = SourceEntry(path: row.path, status: status, object: object, isListed: isListed)
        if !status.isDirectory { return .tell(.entry(entry)) }
        if row.marks.isNewHere { return .crawl(entry) }
        try touched.add(row.path, .pending)
        return nil
      }
    }
  }

  /// Whether a path is in a directory that is crawled. Asked in the order of paths.
  private func isCrawled(_ path: [UInt8]) -> Bool {
    // What comes after `/dir0` is not in `/dir`, and `0` comes after `/`.
    crawled.removeAll { directory in
      directory.path.count > 1 && (directory.path + [UInt8(ascii: "/") + 1]).lexicographicallyPrecedes(path)
    }
    return crawled.contains { $0.contains(path) && $0.path != path }
  }

  // MARK: What glusterfind does not tell

  /// Adds an entry that is listed by its identity: a sharded file that was written to beyond its first piece, or what its brick has no
  /// name for.
  ///
  /// - Returns: the failure, if it may be there and its path cannot be had.
  private func addEntry(_ gfid: [UInt8], isListed: Bool) throws -> SourceFailure? {
    let paths: [[UInt8]]
    do {
      paths = try volume.paths(ofGFID: gfid)
    } catch {
      let error = asGlusterError(error)
      // It is gone, and the list tells that as well.
      if error.meansMissing { return nil }
      let name = gfid.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      return SourceFailure(kind: .entry, path: Array("/.gfid/\(name)".utf8), error: error)
    }
    for path in paths where base.contains(path) { try touched.add(path, isListed ? .listed : .look) }
    return nil
  }

  /// A name that is listed and not there may be a name that glusterfind has cut: at a comma, at a control character, or of blanks
  /// at its end. Has the directory looked through for what the list does not name.
  private func suspect(_ path: [UInt8]) throws {
    var directory = Array(parent(of: path))
    while base.contains(directory), directory != lastSuspect {
      if case .found(_, let status) = lookUp(directory), status.isDirectory {
        lastSuspect = directory
        return try touched.add(directory, [.parent, .suspect, .pending])
      }
      guard directory.count > 1 else { return }
      directory = Array(parent(of: directory))
    }
  }

  /// The next entries of a directory which the list does not name. They are to be told if they changed; a directory with its
  /// content only where its name has a comma, since then the names of what is in it are cut as well.
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
      case .failed(let failure): return .tell(.failed(failure))
      case .entry(let entry):
        guard try touched.marks(of: entry.path) == nil else { return nil }
        guard entry.status.isDirectory else { return .tell(.entry(entry)) }
        let name = entry.path[parent(of: entry.path).endIndex...]
        return name.contains(UInt8(ascii: ",")) ? .crawl(entry) : .tell(.directoryAlone(entry))
      }
    }
  }
}

extension TouchedPaths.Marks {
  /// What is below the path, if anything, was not there before.
  fileprivate var isNewHere: Bool { !isDisjoint(with: [.new, .removed]) }
}

/// Looks paths up that come in the order of their bytes: a directory is looked up once for all that follow and are in it, whether
/// it is there or not. No symbolic link is followed.
private struct PathWalker {
  private var chain: [(name: ArraySlice<UInt8>, object: Object, status: stat)]
  /// The components of a path that is not there.
  private var missing: [ArraySlice<UInt8>] = [[]]

  init(_ root: (object: Object, status: stat)) { chain = [([], root.object, root.status)] }

  /// What was not there may be there now.
  mutating func forgetMissing() { missing = [[]] }

  /// The entry of a path; nil if there is none.
  mutating func lookUp(_ path: [UInt8]) throws -> (object: Object, status: stat)? {
    let names = path.split(separator: UInt8(ascii: "/"))
    if names.starts(with: missing) { return nil }
    var depth = 0
    // The last component is always asked for: its attributes shall be those of now.
    while depth < names.count - 1, depth + 1 < chain.count, chain[depth + 1].name == names[depth] { depth += 1 }
    chain.removeLast(chain.count - 1 - depth)
    if names.isEmpty { return (chain[0].object, try chain[0].object.status()) }
    for name in names[depth...] {
      guard chain.last!.status.isDirectory else { return nil }
      do {
        let found = try chain.last!.object.lookUp(name)
        chain.append((name, found.object, found.status))
      } catch {
        let error = asGlusterError(error)
        guard error.meansMissing || error.errno == .notDirectory else { throw error }
        missing = Array(names[..<chain.count])
        return nil
      }
    }
    return (chain.last!.object, chain.last!.status)
  }
}
