import GfapiAttributes
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import SystemPackage

/// Fetches the data, link target, ACLs and extended attributes of entries. Several threads may call it at the same time.
package struct EntryFetcher: Sendable {
  /// The parts of an entry that the FileSet wants.
  package struct Wanted: Sendable, Equatable {
    package var acls = false
    package var extendedAttributes = false
    /// The maximum size of one entry's extended attributes that the daemon accepts, in bytes; nil: no limit.
    package var extendedAttributeLimit: Int? = EntryFetcher.bareosLimit

    /// Adds what another part of the FileSet wants.
    mutating func formUnion(_ other: Wanted) {
      acls = acls || other.acls
      extendedAttributes = extendedAttributes || other.extendedAttributes
      extendedAttributeLimit = other.extendedAttributeLimit
    }
  }

  /// The data and attributes of an entry that are not in its record.
  struct Details: Sendable {
    /// The entry's attributes with its certain size; nil: those in its record are right.
    var status: stat?
    var linkTarget: [UInt8] = []
    var content = Content.none
    /// The content of the ACL stream; empty if the entry has no ACL.
    var acls: [UInt8] = []
    var extendedAttributes: [ExtendedAttribute] = []
    /// Messages about the parts of the entry that could not be read.
    var problems: [JobMessage] = []
    /// True if some attributes or ACLs of the entry could not be read.
    var isIncomplete = false

    package mutating func report(_ code: String, _ text: String) { problems.append(JobMessage(code, text)) }

    /// Returns how many bytes the entry takes beyond `expected`.
    func size(beyond expected: Int) -> Int {
      var size = acls.count + extendedAttributes.reduce(0) { $0 + $1.name.count + $1.value.count }
      switch content {
      case .none: break
      case .whole(let data, _): size += data.count
      case .open(_, let first): size += first?.count ?? 0
      }
      return max(size - expected, 0)
    }
  }

  /// A regular file's data.
  enum Content: Sendable {
    /// The file has no data, or its data has not been fetched.
    case none
    /// All data of the file, and how the file changed while it was read.
    case whole(Piece, ReadOutcome)
    /// The file is to be read piece by piece. The first piece may have been fetched already.
    case open(OpenFile, first: Piece?)
  }

  /// The maximum size of one entry's extended attributes in Bareos, in bytes of its own serialization: its MAX_XATTR_STREAM. Bareos drops
  /// all of the attributes if there are more.
  package static let bareosLimit = 1 << 20

  /// The maximum size of a file that is fetched with one call, in bytes.
  static let wholeSize = 1 << 20

  /// True if the volume always returns the same time for an entry. Otherwise two answers may come from two bricks, and times up to a second
  /// apart count as equal.
  let timesAreExact: Bool
  /// True if reading a file without opening it does not change the access time. This is so where the translator `utime` keeps the access
  /// times. Otherwise a brick's file system changes them, unless the file was opened with O_NOATIME.
  let readsWithoutOpening: Bool
  /// True if holes must be looked for while nothing is read; see ``FileReader``.
  let seeksAlone: Bool
  /// On a sharded volume the smallest size that a shard can have, in bytes: a file up to this size is one piece. nil: the volume is not
  /// sharded, so every file is one piece.
  let shardSize: Int?
  /// Finds the files with changed shards. Set only on a sharded volume, in a job that compares times or makes deltas.
  let shards: ShardTimes?
  private let noShards: GlusterError?
  /// The volume has files in shards, but returns only the first shard of each.
  private let wasSharded: Bool
  private let distribution: Distribution?
  /// See ``VolumeTraits/readsTellSizes``.
  private let readsTellSizes: Bool
  private let pool = PiecePool()

  /// - Parameters:
  ///   - shards: finds the files with changed shards, on a sharded volume, in a job that compares times or makes deltas.
  ///   - noShards: why `shards` could not be made.
  ///   - wasSharded: the volume has files in shards, but returns only the first shard of each.
  init(_ traits: VolumeTraits, _ distribution: Distribution?, shards: ShardTimes?, noShards: GlusterError?, wasSharded: Bool) {
    self.distribution = distribution
    readsTellSizes = traits.readsTellSizes
    (self.shards, self.noShards, self.wasSharded) = (shards, noShards, wasSharded)
    timesAreExact = traits.bricksAgreeOnTimes
    readsWithoutOpening = traits.bricksAgreeOnTimes
    seeksAlone = !traits.listingsTellSizes
    shardSize = traits.isSharded ? 4 << 20 : nil
  }

  /// Fetches the data and attributes of an entry that its record needs. Opens a file that is too large to be fetched at once.
  ///
  /// - Parameter readsData: true to fetch the data of a regular file.
  /// - Throws: ``GlusterError``, if the entry cannot be backed up at all.
  func fetch(_ entry: SourceEntry, _ wanted: Wanted, readsData: Bool) throws(GlusterError) -> Details {
    var (entry, details) = (entry, Details())
    if let error = try entry.makeReady() {
      let volume = entry.object.volume.uri.volume
      details.report(
        "GFD-052",
        "one of its copies is saved, another one may differ (gluster volume heal \(volume) info split-brain): \(error)")
    }
    if entry.status.isSymbolicLink { details.linkTarget = try sure { () throws(GlusterError) in try entry.object.linkTarget() } }
    let wasUncertain = entry.sizeIsUncertain
    if !readsData || wasSharded || !isReadAtOnce(entry.status) { try settleSize(of: &entry) }
    if wasSharded, entry.status.isRegular { try checkPieces(of: entry) }
    if readsData, entry.status.isRegular, entry.status.st_size > 0 { details.content = try content(of: &entry) }
    if wasUncertain { details.status = entry.status }
    try attributes(of: entry, wanted, into: &details)
    return details
  }

  /// Checks that the volume returns all of a file that may be stored in shards. The first shard has the size of the whole file in
  /// `trusted.glusterfs.shard.file-size`: a big-endian `UInt64`, followed by other data.
  private func checkPieces(of entry: SourceEntry) throws(GlusterError) {
    guard let value = try sure({ () throws(GlusterError) in try entry.object.extendedAttribute("trusted.glusterfs.shard.file-size".utf8) }),
      value.count >= 8
    else {
      return
    }
    let size = value[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard size != UInt64(entry.status.st_size) else { return }
    throw GlusterError(
      errno: .ioError,
      call: "features.shard is off, so the volume returns only the first shard, \(entry.status.st_size) of \(size) bytes")
  }

  private func sure<T>(_ call: () throws(GlusterError) -> T) throws(GlusterError) -> T {
    guard let distribution else { return try call() }
    return try distribution.sure(call)
  }

  /// Returns the data of a regular file whose size is certain, or the open file to read the data from.
  ///
  /// - Parameter readsFirst: true to read the first piece of a large file as well.
  func content(of entry: SourceEntry, readsFirst: Bool = true) throws(GlusterError) -> Content {
    var entry = entry
    return try content(of: &entry, readsFirst: readsFirst)
  }

  /// The same for a file whose size may be uncertain; it is certain afterwards.
  private func content(of entry: inout SourceEntry, readsFirst: Bool = true) throws(GlusterError) -> Content {
    try sure { () throws(GlusterError) in try read(&entry, readsFirst: readsFirst) }
  }

  /// Asks the volume for a size that is uncertain.
  private func settleSize(of entry: inout SourceEntry) throws(GlusterError) {
    guard entry.sizeIsUncertain else { return }
    let object = entry.object
    entry.status = try sure { () throws(GlusterError) in
      // The client knows the attributes from the reply.
      if readsTellSizes { _ = try Piece(1, expected: 1) { buffer, _ throws(GlusterError) in try object.read(into: buffer, at: 0) } }
      return try object.status()
    }
    entry.sizeIsUncertain = false
  }

  /// True if all data of a regular file are fetched with one call.
  private func isReadAtOnce(_ status: stat) -> Bool { readsWithoutOpening && 1...Self.wholeSize ~= Int(status.st_size) }

  private func read(_ entry: inout SourceEntry, readsFirst: Bool) throws(GlusterError) -> Content {
    if isReadAtOnce(entry.status) {
      let size = Int(entry.status.st_size)
      // Ask for one byte more than expected. If the byte does not come, the file has not grown.
      let data = try Piece(size + 1, expected: size) { buffer, offset throws(GlusterError) in
        try entry.object.read(into: buffer, at: offset)
      }
      if data.count <= size {
        // The client knows the attributes from the reply to the read. Where it keeps attributes, this call does not use the network.
        let now = try entry.object.status()
        if entry.sizeIsUncertain {
          // A file with the same time as at its look-up has had this size since then. If it has another time, or if a look-up of another name
          // of the file has put another size into the cache meanwhile, begin again.
          if entry.status.hasSameModificationTime(as: now), data.count == Int(now.st_size) {
            (entry.status, entry.sizeIsUncertain) = (now, false)
          } else {
            try settleSize(of: &entry)
            return try read(&entry, readsFirst: readsFirst)
          }
        }
        let outcome = entry.status.outcome(bytesRead: data.count, now: now, timesAreExact: timesAreExact)
        if let error = outcome.error { throw error }
        return .whole(data, outcome)
      }
    }
    try settleSize(of: &entry)
    let file = OpenFile(try entry.object.openForReading(keepAccessTime: true), pool)
    let size = Int(entry.status.st_size)
    return .open(
      file, first: entry.status.hasHoles || !readsFirst ? nil : try file.read(FileReader.pieceSize, at: 0, expected: size))
  }

  /// Fetches ACLs and extended attributes. The list of names covers both, and a name that is not in the list is not requested.
  ///
  /// - Throws: ``GlusterError``, if the volume is unreachable. An error of this entry alone becomes a problem in its ``Details``.
  func attributes(of entry: SourceEntry, _ wanted: Wanted, into details: inout Details) throws(GlusterError) {
    let wantsACLs = wanted.acls && !entry.status.isSymbolicLink
    guard wantsACLs || wanted.extendedAttributes else { return }
    let names: [[UInt8]]
    do {
      names = try sure { () throws(GlusterError) in try entry.object.extendedAttributeNames() }
    } catch {
      if error.meansVolumeIsGone { throw error }
      if error.errno != .notSupported, error.errno != .noData {
        details.isIncomplete = true
        if wantsACLs { details.report("GFD-057", "its ACL was not saved: \(error)") }
        if wanted.extendedAttributes { details.report("GFD-058", "its extended attributes were not saved: \(error)") }
      }
      return
    }
    if names.isEmpty { return }
    if wantsACLs { try readACLs(of: entry, names, into: &details) }
    if wanted.extendedAttributes { try readExtendedAttributes(of: entry, names, wanted, into: &details) }
  }

  /// Why shards cannot be listed, so that files of several shards count as changed; nil if they can be listed or need not be.
  var shardsProblem: GlusterError? { noShards ?? shards?.problem }

  /// Fetches the signs that show whether an entry with unchanged times has changed.
  ///
  /// - Throws: ``GlusterError``, if the entry is missing or the volume is unreachable.
  func signs(of entry: SourceEntry, _ wanted: Wanted) throws(GlusterError) -> UndatedChanges.Signs {
    var (entry, details) = (entry, Details())
    // A size that has just changed came with new times, so the entry would not be compared. Only what depends on the size asks for it.
    if entry.status.hasHoles || shardSize != nil { try settleSize(of: &entry) }
    if let shardSize, entry.status.isRegular, entry.status.st_size > shardSize {
      // If shards cannot be listed, the file counts as changed.
      guard let shards else { return .changed }
      do {
        if try shards.haveChanged(of: try entry.object.identity()) { return .changed }
      } catch let error where !error.meansVolumeIsGone {
        return .changed
      }
    }
    if wanted.acls || wanted.extendedAttributes {
      if try entry.makeReady() != nil { return .changed }
      try attributes(of: entry, wanted, into: &details)
    }
    return .fingerprint(Fingerprint(entry.status, details, wanted, shardSize: shardSize))
  }

  private func readACLs(of entry: SourceEntry, _ names: [[UInt8]], into details: inout Details) throws(GlusterError) {
    do {
      var items: [ACLStream.Item] = []
      for name in [ACLStream.accessName, ACLStream.defaultName] where names.contains(name) {
        if let value = try sure({ () throws(GlusterError) in try entry.object.extendedAttribute(name) }) {
          items.append(.init(name: name, value: value))
        }
      }
      details.acls = ACLStream.encode(items)
    } catch {
      if error.meansVolumeIsGone { throw error }
      details.isIncomplete = true
      details.report("GFD-057", "its ACL was not saved: \(error)")
    }
  }

  private func readExtendedAttributes(
    of entry: SourceEntry, _ names: [[UInt8]], _ wanted: Wanted, into details: inout Details
  ) throws(GlusterError) {
    var size = 0
    for name in AttributeRules.ownNames(names) where AttributeRules.includes(name, aclsTravelAlone: wanted.acls) {
      do {
        guard let value = try sure({ () throws(GlusterError) in try entry.object.extendedAttribute(name) }) else { continue }
        // Count as Bareos does: magic number, two lengths, name with NUL, value.
        size += 13 + name.count + value.count
        if let limit = wanted.extendedAttributeLimit, size >= limit {
          size -= 13 + name.count + value.count
          details.report(
            "GFD-059",
            "its extended attribute \(printable(name)) was not saved: the daemon takes no more than \(limit) bytes for one entry")
          continue
        }
        details.extendedAttributes.append(ExtendedAttribute(name: name, value: value))
      } catch {
        if error.meansVolumeIsGone { throw error }
        details.isIncomplete = true
        details.report("GFD-058", "its extended attribute \(printable(name)) was not saved: \(error)")
      }
    }
  }
}
