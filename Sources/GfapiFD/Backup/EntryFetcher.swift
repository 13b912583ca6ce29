import Glibc
import Gluster
import SystemPackage

/// Fetches what belongs to an entry beside its record. Its calls may be made side by side.
package struct EntryFetcher: Sendable {
  /// What of an entry the FileSet wants.
  package struct Wanted: Sendable, Equatable {
    package var acls = false
    package var extendedAttributes = false
    /// The most that the daemon takes of one entry's extended attributes, in bytes; nil: all.
    package var extendedAttributeLimit: Int? = EntryFetcher.bareosLimit

    /// Adds what another part of the FileSet wants.
    mutating func formUnion(_ other: Wanted) {
      acls = acls || other.acls
      extendedAttributes = extendedAttributes || other.extendedAttributes
      extendedAttributeLimit = other.extendedAttributeLimit
    }
  }

  /// What belongs to an entry beside its record.
  struct Details: Sendable {
    var linkTarget: [UInt8] = []
    var content = Content.none
    /// Content of the ACL stream; empty: none.
    var acls: [UInt8] = []
    var extendedAttributes: [ExtendedAttribute] = []
    /// What could not be read of it, in words.
    var problems: [String] = []
    /// Some of its attributes could not be read.
    var isIncomplete = false

    /// What it holds beyond what it was expected to, in bytes.
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
    /// Has none, or they have not been fetched.
    case none
    /// All of it, and what became of it while it was read.
    case whole(Piece, ReadOutcome)
    /// To be read piece by piece, the first perhaps fetched already.
    case open(OpenFile, first: Piece?)
  }

  package struct ExtendedAttribute: Sendable {
    package let name: [UInt8]
    package let value: [UInt8]
  }

  /// The most that Bareos takes of one entry's extended attributes, in its own serialization: its MAX_XATTR_STREAM. It
  /// drops them all when there are more.
  package static let bareosLimit = 1 << 20

  /// Up to this size, in bytes, a file is fetched with one call.
  static let wholeSize = 1 << 20

  /// The volume tells the same time at each question; else two answers may come from two bricks, and up to a second apart is
  /// the same.
  let timesAreExact: Bool
  /// Reading without opening leaves access times as they are. They do where the translator `utime` has them in its care; else
  /// a brick's file system changes them, unless the file has been opened so that it does not.
  let readsWithoutOpening: Bool
  /// See ``FileReader``.
  let seeksAlone: Bool
  /// Files up to this size are one piece, on a sharded volume: the smallest size that a shard can have, in bytes. nil: all files are.
  let shardSize: Int?
  /// Of a sharded volume, in a job that compares times.
  private let shards: ShardTimes?
  private let noShards: GlusterError?
  /// The volume has files in shards, and gives only the first of each.
  private let wasSharded: Bool
  private let distribution: Distribution?
  private let pool = PiecePool()

  /// - Parameters:
  ///   - shards: of a sharded volume, in a job that compares times.
  ///   - noShards: why that could not be had.
  ///   - wasSharded: the volume has files in shards, and gives only the first of each.
  init(_ traits: VolumeTraits, _ distribution: Distribution?, shards: ShardTimes?, noShards: GlusterError?, wasSharded: Bool) {
    self.distribution = distribution
    (self.shards, self.noShards, self.wasSharded) = (shards, noShards, wasSharded)
    timesAreExact = traits.bricksAgreeOnTimes
    readsWithoutOpening = traits.bricksAgreeOnTimes
    seeksAlone = !traits.listingsTellSizes
    shardSize = traits.isSharded ? 4 << 20 : nil
  }

  /// Fetches what an entry needs beside its attributes, and opens it if it has many data.
  ///
  /// - Parameter readsData: a regular file's data are wanted.
  /// - Throws: ``GlusterError``, if the entry cannot be carried at all.
  func fetch(_ entry: SourceEntry, _ wanted: Wanted, readsData: Bool) throws -> Details {
    var details = Details()
    if let error = try entry.makeReady() {
      let volume = entry.object.volume.uri.volume
      details.problems.append(
        "one of its copies is saved, another one may differ (gluster volume heal \(volume) info split-brain): \(error)")
    }
    if entry.status.isSymbolicLink { details.linkTarget = try sure { try entry.object.linkTarget() } }
    if wasSharded, entry.status.isRegular { try checkPieces(of: entry) }
    if readsData, entry.status.isRegular, entry.status.st_size > 0 { details.content = try content(of: entry) }
    try attributes(of: entry, wanted, into: &details)
    return details
  }

  /// Of a file in shards the first has the size of the whole: `trusted.glusterfs.shard.file-size`, a big-endian `UInt64`, and more.
  private func checkPieces(of entry: SourceEntry) throws {
    guard let value = try sure({ try entry.object.extendedAttribute("trusted.glusterfs.shard.file-size".utf8) }), value.count >= 8 else {
      return
    }
    let size = value[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard size != UInt64(entry.status.st_size) else { return }
    throw GlusterError(
      errno: .ioError,
      call: "features.shard is off, so the volume returns only the first shard, \(entry.status.st_size) of \(size) bytes")
  }

  private func sure<T>(_ call: () throws -> T) throws -> T { try distribution.map { try $0.sure(call) } ?? call() }

  /// A regular file's data, or the file opened for them.
  func content(of entry: SourceEntry) throws -> Content { try sure { try read(entry) } }

  private func read(_ entry: SourceEntry) throws -> Content {
    let size = Int(entry.status.st_size)
    if size <= Self.wholeSize, readsWithoutOpening {
      // One byte more than there should be tells that there is none.
      let data = try Piece(size + 1, expected: size) { try entry.object.read(into: $0, at: $1) }
      if data.count <= size {
        // The reply to the reading has told the client: this is no call on the network where it keeps attributes.
        let now = try entry.object.status()
        let outcome = entry.status.outcome(bytesRead: data.count, now: now, timesAreExact: timesAreExact)
        if let error = outcome.error { throw error }
        return .whole(data, outcome)
      }
    }
    let file = OpenFile(try entry.object.openForReading(keepAccessTime: true), pool)
    return .open(
      file, first: entry.status.hasHoles ? nil : try file.read(FileReader.pieceSize, at: 0, expected: size))
  }

  /// Fetches ACLs and extended attributes: the list of names tells both, and what is not in it is not asked for.
  ///
  /// - Throws: ``GlusterError``, if the volume is gone: what the entry alone does not give is a problem of its ``Details``.
  func attributes(of entry: SourceEntry, _ wanted: Wanted, into details: inout Details) throws {
    let wantsACLs = wanted.acls && !entry.status.isSymbolicLink
    guard wantsACLs || wanted.extendedAttributes else { return }
    let names: [[UInt8]]
    do {
      names = try sure { try entry.object.extendedAttributeNames() }
    } catch {
      let error = asGlusterError(error)
      if error.meansVolumeIsGone { throw error }
      if error.errno != .notSupported, error.errno != .noData {
        details.isIncomplete = true
        if wantsACLs { details.problems.append("its ACL was not saved: \(error)") }
        if wanted.extendedAttributes { details.problems.append("its extended attributes were not saved: \(error)") }
      }
      return
    }
    if names.isEmpty { return }
    if wantsACLs { try readACLs(of: entry, names, into: &details) }
    if wanted.extendedAttributes { try readExtendedAttributes(of: entry, names, wanted, into: &details) }
  }

  /// Why shards cannot be listed, so that files of several count as changed; nil: they can, or need not be.
  var shardsProblem: GlusterError? { noShards ?? shards?.problem }

  /// What tells whether an entry has changed whose times have not.
  ///
  /// - Throws: ``GlusterError``, if the entry is missing or the volume is gone.
  func signs(of entry: SourceEntry, _ wanted: Wanted) throws -> UndatedChanges.Signs {
    var details = Details()
    if let shardSize, entry.status.isRegular, entry.status.st_size > shardSize {
      // Where shards cannot be listed the file counts as changed.
      guard let shards else { return .changed }
      do {
        if try shards.haveChanged(of: try entry.object.identity()) { return .changed }
      } catch let error as GlusterError where !error.meansVolumeIsGone {
        return .changed
      }
    }
    if wanted.acls || wanted.extendedAttributes {
      if try entry.makeReady() != nil { return .changed }
      try attributes(of: entry, wanted, into: &details)
    }
    return .fingerprint(Fingerprint(entry.status, details, wanted, shardSize: shardSize))
  }

  private func readACLs(of entry: SourceEntry, _ names: [[UInt8]], into details: inout Details) throws {
    do {
      var items: [ACLStream.Item] = []
      for name in [ACLStream.accessName, ACLStream.defaultName] where names.contains(name) {
        if let value = try sure({ try entry.object.extendedAttribute(name) }) { items.append(.init(name: name, value: value)) }
      }
      details.acls = ACLStream.encode(items)
    } catch {
      let error = asGlusterError(error)
      if error.meansVolumeIsGone { throw error }
      details.isIncomplete = true
      details.problems.append("its ACL was not saved: \(error)")
    }
  }

  private func readExtendedAttributes(
    of entry: SourceEntry, _ names: [[UInt8]], _ wanted: Wanted, into details: inout Details
  ) throws {
    var size = 0
    for name in AttributeRules.ownNames(names) where AttributeRules.carries(name, aclsTravelAlone: wanted.acls) {
      do {
        guard let value = try sure({ try entry.object.extendedAttribute(name) }) else { continue }
        // As Bareos counts: magic, two lengths, name with NUL, value.
        size += 13 + name.count + value.count
        if let limit = wanted.extendedAttributeLimit, size >= limit {
          size -= 13 + name.count + value.count
          details.problems.append(
            "its extended attribute \(printable(name)) was not saved: the daemon takes no more than \(limit) bytes for one entry")
          continue
        }
        details.extendedAttributes.append(ExtendedAttribute(name: name, value: value))
      } catch {
        let error = asGlusterError(error)
        if error.meansVolumeIsGone { throw error }
        details.isIncomplete = true
        details.problems.append("its extended attribute \(printable(name)) was not saved: \(error)")
      }
    }
  }
}
