import Glibc
import Gluster
import SystemPackage

/// Reads one directory from beginning to end, one page at a time, with the attributes that the volume returns for each entry.
///
/// Used on the threads that make the volume's calls. Only one call at a time may list the directory.
final class DirectoryReader: @unchecked Sendable {
  /// The number of names in one page.
  static let pageSize = 128

  /// One page of a directory listing.
  struct Page: Sendable {
    var items: [Listed] = []
    var isLast = false
  }

  enum Item: Sendable {
    case entry(SourceEntry)
    case failed(SourceFailure)
  }

  /// What a listing returns for a name.
  enum Listed: Sendable {
    case item(Item)
    /// The listing does not return enough: look the name up with ``examine(_:_:)``. The state is that in which the name was listed.
    case name([UInt8], Distribution.State?)
  }

  /// Properties of a volume that decide how its directories are listed.
  struct Rules: Sendable {
    /// True if listings and look-ups return the right sizes of files. Otherwise each file is looked up, and asked for its size when it is
    /// read.
    let trustsSizes: Bool
    /// True if files are stored in shards, in a directory of the root that listings leave out.
    let isSharded: Bool
    /// True if every directory must be listed by names only, without the attributes of its entries.
    let listsNamesOnly: Bool
    /// Checks whether a listing can be complete.
    let distribution: Distribution?
  }

  let entry: SourceEntry
  private let rules: Rules
  private var open: Open?
  /// The names that earlier pages have returned.
  private var told: Set<NameHash> = []
  private var isReadAgain = false
  /// True if the directory is being listed for the second time, after a first listing to its end.
  private var isReadTwice = false

  private final class Open {
    let directory: Directory
    /// The state of the distribution when the directory was opened.
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

  /// Returns the next page. A page may be empty without being the last one.
  ///
  /// If the directory cannot be read, or not to its end, the last item is a failure. If the volume, or the brick that lists the directory,
  /// becomes unreachable meanwhile, the directory is listed again from its beginning. A directory of a distributed volume is always listed
  /// twice. Names that have been returned before are left out of a later listing.
  func nextPage() -> Page {
    var page = Page()
    var names: [NameHash] = []
    do {
      try entry.object.volume.retry.run { again throws(GlusterError) in
        if again { (open, isReadAgain) = (nil, true) }
        (page, names) = (Page(), [])
        if self.open == nil { self.open = try opened() }
        let open = self.open!
        while page.items.count < Self.pageSize {
          guard let name = try open.directory.next() else {
            // A distributed volume lists one subvolume after another. A rebalance may move a file meanwhile from a subvolume that is not
            // listed yet to one that has been listed. Then no listing has the file, and nothing reports this.
            page.isLast = isReadTwice || !isDistributed(open.state)
            if !page.isLast { (self.open, isReadTwice) = (nil, true) }
            break
          }
          let hash = NameHash(name.name)
          // A file that is being moved is on two subvolumes of a distributed volume.
          if isReadAgain || isDistributed(open.state), told.contains(hash) { continue }
          names.append(hash)
          page.items.append(listed(name, open.state))
        }
        // A listing leaves out the entries on an unreachable subvolume, without an error.
        if let state = open.state { try rules.distribution?.check(since: state) }
      }
    } catch {
      // The entries before the error are returned. The rest of this directory is missing.
      page.items.append(
        .item(.failed(SourceFailure(kind: .directory, path: entry.path, error: error))))
      page.isLast = true
    }
    if page.isLast { (open, told) = (nil, []) } else { told.formUnion(names) }
    return page
  }

  private func isDistributed(_ state: Distribution.State?) -> Bool { (state?.count ?? 1) > 1 }

  private func opened() throws(GlusterError) -> Open {
    let state = try rules.distribution?.check()
    return try found(in: state) { () throws(GlusterError) in
      try entry.makeReady()
      return Open(try entry.object.openDirectory(namesOnly: rules.listsNamesOnly || rules.isSharded && entry.path.isRoot), state)
    }
  }

  /// Makes a call. An entry that the call does not find may be on a subvolume that has become unreachable since `state`.
  private func found<T>(in state: Distribution.State?, _ call: () throws(GlusterError) -> T) throws(GlusterError) -> T {
    do { return try call() } catch let error where error.meansMissing {
      if let state { try rules.distribution?.check(since: state) }
      throw error
    }
  }

  private func listed(_ name: Directory.Entry, _ state: Distribution.State?) -> Listed {
    let path = entry.path.appending(name.name)
    if let failure = SourceFailure.ofLength(path) { return .item(.failed(failure)) }
    guard let found = name.found, rules.trustsSizes || !found.status.isRegular else { return .name(name.name, state) }
    // A listing has the times of a directory from one of its subvolumes. The backup needs the latest times of all of them.
    if found.status.isDirectory, isDistributed(state) { return .name(name.name, state) }
    return .item(
      .entry(
        SourceEntry(
          path: path, status: found.status, object: found.object, isNamedByList: entry.isNamedByList, listingDirectory: entry.object)))
  }

  /// Looks up an entry for which the listing does not return enough. Several threads may call this at the same time.
  ///
  /// - Parameter listed: the state of the distribution in which the name was listed.
  func examine(_ name: [UInt8], _ listed: Distribution.State?) -> Item {
    do {
      return .entry(
        try entry.object.volume.retry.run { again throws(GlusterError) in
          let state = again ? try rules.distribution?.check() : listed
          let found = try found(in: state) { () throws(GlusterError) in try entry.object.lookUp(name) }
          // A directory is on all subvolumes. If one is unreachable, the others answer with what they know of the directory.
          if found.status.isDirectory, let state { try rules.distribution?.check(since: state) }
          return SourceEntry(
            path: entry.path.appending(name), status: found.status, object: found.object, isNamedByList: entry.isNamedByList,
            sizeIsUncertain: !rules.trustsSizes && found.status.isRegular)
        })
    } catch {
      return .failed(SourceFailure(kind: .entry, path: entry.path.appending(name), error: error))
    }
  }

  /// Stands for a name with 128 bits of a hash, so that a directory of a million names takes some ten megabytes.
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
}
