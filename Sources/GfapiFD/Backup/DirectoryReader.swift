import Glibc
import Gluster
import SystemPackage

/// Reads one directory from its beginning to its end, a page at a time, with what the volume tells of each entry. Lives
/// where the volume's calls are made, its listing in one call at a time.
final class DirectoryReader: @unchecked Sendable {
  /// Names in one page.
  static let pageSize = 128

  /// A piece of a directory.
  struct Page: Sendable {
    var items: [Listed] = []
    var isLast = false
  }

  enum Item: Sendable {
    case entry(SourceEntry)
    case failed(SourceFailure)
  }

  /// What a listing tells of a name.
  enum Listed: Sendable {
    case item(Item)
    /// Not enough: the volume is to be asked, see ``examine(_:_:)``. With it the state in which it was listed.
    case name([UInt8], Distribution.State?)
  }

  /// What matters of a volume for those who list its directories.
  struct Rules: Sendable {
    /// Listings tell files' sizes; else each file is asked for its own.
    let trustsListings: Bool
    /// Files are in pieces, in a directory of the root that listings leave out.
    let isSharded: Bool
    /// No directory may be listed with what the volume tells of its entries.
    let listsNamesOnly: Bool
    /// Tells whether a listing can be whole.
    let distribution: Distribution?
  }

  let entry: SourceEntry
  private let rules: Rules
  private var open: Open?
  /// What earlier pages have told.
  private var told: Set<NameHash> = []
  private var isListedAgain = false
  /// It is listed for the second time, after it has been listed to its end.
  private var isListedTwice = false

  private final class Open {
    let directory: Directory
    /// State of the distribution when the directory was opened.
    let state: Distribution.State?
    init(_ directory: consuming Directory, _ state: Distribution.State?) {
      self.directory = directory
      self.state = state
    }
  }

  init(_ entry: SourceEntry, _ rules: Rules) {
    self.entry = entry
    self.rules = rules
  }

  /// The next page; it may be empty and not the last one. A directory that cannot be read, or not to its end, has a failure as its
  /// last item. One whose volume, or the brick that lists it, goes away on the way is listed again from its beginning, and one of a
  /// distributed volume in any case; what has been told of it is left out then.
  func nextPage() -> Page {
    var page = Page()
    var names: [NameHash] = []
    do {
      try entry.object.volume.patience.run { again in
        if again { (open, isListedAgain) = (nil, true) }
        (page, names) = (Page(), [])
        let open = try self.open ?? opened()
        self.open = open
        while page.items.count < Self.pageSize {
          guard let name = try open.directory.next() else {
            // A distributed volume lists one subvolume after another. A file that is moved meanwhile, from one that is not listed
            // yet to one that is, as a rebalance does, is in none of the listings, and nothing tells.
            page.isLast = isListedTwice || !isDistributed(open.state)
            if !page.isLast { (self.open, isListedTwice) = (nil, true) }
            break
          }
          let hash = NameHash(name.name)
          // On a distributed volume a file that is moved is on two subvolumes.
          if isListedAgain || isDistributed(open.state), told.contains(hash) { continue }
          names.append(hash)
          page.items.append(listed(name, open.state))
        }
        // A listing leaves out what is on a subvolume that cannot be reached, and says nothing.
        if let state = open.state { try rules.distribution?.check(since: state) }
      }
    } catch {
      // What came before the error is told; the rest of this directory is not.
      page.items.append(
        .item(.failed(SourceFailure(kind: .directory, path: entry.path, error: asGlusterError(error)))))
      page.isLast = true
    }
    if page.isLast { (open, told) = (nil, []) } else { told.formUnion(names) }
    return page
  }

  private func isDistributed(_ state: Distribution.State?) -> Bool { (state?.count ?? 1) > 1 }

  private func opened() throws -> Open {
    let state = try rules.distribution?.check()
    return try found(in: state) {
      try entry.makeReady()
      let isRoot = entry.path == [UInt8(ascii: "/")]
      return Open(try entry.object.openDirectory(namesOnly: rules.listsNamesOnly || rules.isSharded && isRoot), state)
    }
  }

  /// Makes a call. What it does not find may be on a subvolume that has gone since then.
  private func found<T>(in state: Distribution.State?, _ call: () throws -> T) throws -> T {
    do { return try call() } catch let error as GlusterError where error.meansMissing {
      if let state { try rules.distribution?.check(since: state) }
      throw error
    }
  }

  private func listed(_ name: Directory.Entry, _ state: Distribution.State?) -> Listed {
    let path = path(of: name.name)
    if let failure = SourceFailure.ofLength(path) { return .item(.failed(failure)) }
    guard let found = name.found, rules.trustsListings || !found.status.isRegular else { return .name(name.name, state) }
    // The listing has the times of a directory from one of its subvolumes; the latest of all of them are meant.
    if found.status.isDirectory, isDistributed(state) { return .name(name.name, state) }
    return .item(
      .entry(
        SourceEntry(
          path: path, status: found.status, object: found.object, isListed: entry.isListed, listedIn: entry.object)))
  }

  /// Asks the volume for an entry of which the listing does not tell enough. May be called side by side.
  ///
  /// - Parameter listed: the state in which it was listed.
  func examine(_ name: [UInt8], _ listed: Distribution.State?) -> Item {
    do {
      return .entry(
        try entry.object.volume.patience.run { again in
          let state = again ? try rules.distribution?.check() : listed
          var found = try found(in: state) { try entry.object.lookUp(name) }
          // A directory is on all subvolumes: where one cannot be reached, the others tell of it what they know.
          if found.status.isDirectory, let state { try rules.distribution?.check(since: state) }
          if !rules.trustsListings, found.status.isRegular { found.status = try found.object.status() }
          return SourceEntry(path: path(of: name), status: found.status, object: found.object, isListed: entry.isListed)
        })
    } catch {
      return .failed(SourceFailure(kind: .entry, path: path(of: name), error: asGlusterError(error)))
    }
  }

  /// Stands for a name: 128 bits of it, so that a directory of a million takes some ten megabytes.
  private struct NameHash: Hashable {
    private let first: Int
    private let second: Int

    init(_ name: [UInt8]) {
      var hasher = Hasher()
      name.withUnsafeBytes { hasher.combine(bytes: $0) }
      first = hasher.finalize()
      hasher = Hasher()
      hasher.combine(first)
      name.withUnsafeBytes { hasher.combine(bytes: $0) }
      second = hasher.finalize()
    }

    func hash(into hasher: inout Hasher) { hasher.combine(second) }
  }

  private func path(of name: [UInt8]) -> [UInt8] {
    let slash = [UInt8(ascii: "/")]
    return (entry.path == slash ? [] : entry.path) + slash + name
  }
}
