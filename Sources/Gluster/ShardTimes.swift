import CGFAPI
import Glibc
import Locks

/// Finds the files of which a shard has changed, and the times of a file's shards.
///
/// On a sharded volume the times of a file are those of its first shard. A write beyond the first shard changes no time that an ordinary
/// client sees. A client whose calls have the process id -1 sees the shards themselves: `/.shard/GFID.N`, each with times of its own. Such
/// a client also bypasses quota, WORM and more. Therefore this class has a connection of its own, and uses it only to ask for shards.
///
/// All shards of the volume are listed at once, at the first question about a file: 36,000 a second (10.3). Look-ups by name take ten times
/// as long, and several threads that look up shards at once hinder one another.
public final class ShardTimes: Sendable {
  /// The process id with which Gluster's own geo-replication makes its calls.
  private static let rawProcess: pid_t = -1

  private let volume: Volume
  private let distribution: Distribution?
  private let since: Int
  private let keepsStamps: Bool
  /// True if a listing tells the times and the size of each shard as they are. On a dispersed volume they come from one brick, which may be
  /// behind, so each shard is looked up.
  private let trustsListings: Bool
  private let setProcess: SetProcess
  private typealias SetProcess = @convention(c) @Sendable (OpaquePointer, pid_t) -> Int32
  /// nil: the shards have not been listed yet.
  private let listing = Mutex<Result<Listing, GlusterError>?>(nil)

  /// What a listing of all shards has told.
  private struct Listing {
    /// The identities, as text, of the files of which a shard has changed.
    var changed = Set<[UInt8]>()
    /// The shards of each file, by its identity as text.
    var stamps: [[UInt8]: [Int: ShardStamp]] = [:]
    /// The latest time of any shard, in nanoseconds since 1970.
    var latest = 0
  }

  /// Opens another connection to a volume.
  ///
  /// - Parameters:
  ///   - since: time in seconds since 1970. A shard that has this time or a later one counts as changed.
  ///   - keepsStamps: true if ``shards(of:)`` is called.
  /// - Throws: ``GlusterError``; `ENOSYS` if libgfapi has no `glfs_setfspid`, a private function of versions 6.1 and later.
  public init(
    _ uri: VolumeURI, since: Int, keepsStamps: Bool = false, logging: Volume.Logging, retry: OutageRetry
  ) throws(GlusterError) {
    // nil is `RTLD_DEFAULT`.
    guard let function = dlsym(nil, "glfs_setfspid") else { throw GlusterError(errno: .noFunction, call: "glfs_setfspid") }
    setProcess = unsafeBitCast(function, to: SetProcess.self)
    (self.since, self.keepsStamps) = (since, keepsStamps)
    volume = try Volume(uri, logging: logging, attributeAge: 0, retry: retry)
    distribution = Distribution(volume)
    trustsListings = VolumeTraits(volume).listingsTellSizes
  }

  /// The error of listing the shards; nil if the listing succeeded, or if nobody has asked for a shard yet.
  public var problem: GlusterError? {
    if case .failure(let error) = listing.withLock({ $0 }) { error } else { nil }
  }

  /// Returns true if a shard of a file other than its first has changed.
  ///
  /// - Parameter identity: the file's identity, see ``Object/identity()``.
  /// - Throws: ``GlusterError``, if the shards cannot be listed.
  public func haveChanged(of identity: [UInt8]) throws(GlusterError) -> Bool { try listed().changed.contains(Self.name(of: identity)) }

  /// Returns the shards of a file. The first one is looked up now; the others are as the listing found them.
  ///
  /// - Parameter identity: the file's identity, see ``Object/identity()``.
  /// - Returns: nil if the file is older than the sharding of the volume, and has no shards.
  /// - Throws: ``GlusterError``, if the shards cannot be listed, or if there is no such file.
  public func shards(of identity: [UInt8]) throws(GlusterError) -> FileShards? {
    let listing = try listed()
    var stamps = listing.stamps[Self.name(of: identity)] ?? [:]
    return try raw { () throws(GlusterError) in
      let (object, status) = try volume.lookUp(identity: identity)
      guard let value = try object.extendedAttribute("trusted.glusterfs.shard.block-size".utf8) else { return nil }
      let size = value.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      guard value.count == 8, size > 0, size <= UInt64(Int32.max) * 4096 else {
        throw GlusterError(errno: .invalidArgument, call: "size of the file's shards")
      }
      let first = ShardStamp(status)
      stamps[0] = first
      return FileShards(size: Int(size), stamps: stamps, latest: max(listing.latest, first.modified, first.changed))
    }
  }

  /// Returns some of a file's shards as they are now; a shard that does not exist is left out.
  ///
  /// - Parameters:
  ///   - numbers: which ones.
  ///   - identity: the file's identity.
  public func stamps(_ numbers: some Sequence<Int>, of identity: [UInt8]) throws(GlusterError) -> [Int: ShardStamp] {
    try raw { () throws(GlusterError) in
      var stamps: [Int: ShardStamp] = [:]
      let folder = try find(Volume.shards)
      for number in numbers {
        do throws(GlusterError) {
          if number == 0 {
            stamps[0] = ShardStamp(try volume.lookUp(identity: identity).status)
          } else if let folder {
            stamps[number] = ShardStamp(try folder.lookUp(Self.name(of: identity) + Array(".\(number)".utf8)).status)
          }
        } catch {
          guard error.meansMissing else { throw error }
        }
      }
      return stamps
    }
  }

  private static func name(of identity: [UInt8]) -> [UInt8] { Array(Volume.text(ofIdentity: identity).utf8) }

  private func listed() throws(GlusterError) -> Listing {
    let listed = listing.withLock { known in
      let result = known ?? Result { () throws(GlusterError) in try list() }
      known = result
      return result
    }
    return try listed.get()
  }

  /// Makes calls that see shards.
  private func raw<T>(_ calls: () throws(GlusterError) -> T) throws(GlusterError) -> T {
    _ = setProcess(volume.handle, Self.rawProcess)
    // The process id is set for the thread, which also makes calls of other connections.
    defer { _ = setProcess(volume.handle, getpid()) }
    return try calls()
  }

  private func list() throws(GlusterError) -> Listing {
    try raw { () throws(GlusterError) in
      try volume.retry.run { _ throws(GlusterError) in
        var listing = Listing()
        let state = try distribution?.check()
        // A volume without `/.shard` has no file with a second shard.
        if let folder = try find(Volume.shards) {
          // A listing of a distributed volume may leave out an entry that a rebalance moves meanwhile, so a distributed volume is listed
          // twice.
          for _ in 0..<((state?.count ?? 1) > 1 ? 2 : 1) { try list(folder, into: &listing) }
        }
        // A listing leaves out the entries of an unreachable subvolume, without an error.
        if let state { try distribution?.check(since: state) }
        return listing
      }
    }
  }

  private func find(_ path: VolumePath) throws(GlusterError) -> Object? {
    do { return try volume.lookUp(path).object } catch let error where error.meansMissing { return nil }
  }

  private func list(_ folder: Object, into listing: inout Listing) throws(GlusterError) {
    let directory = try folder.openDirectory()
    while let entry = try directory.next() {
      if volume.retry.isOver { throw GlusterError(errno: .interrupted, call: "listing of shards") }
      guard let (identity, number) = Self.identity(entry.name) else { continue }
      var status: stat
      do {
        if trustsListings, let found = entry.found { status = found.status } else { status = try folder.lookUp(entry.name).status }
        guard keepsStamps || isNew(status) else { continue }
        // An empty shard does not count as changed: reading a hole creates empty shards, with a new time and without data (10.3). An
        // operation that shrinks a shard changes the file's size as well.
      } catch let error where error.meansMissing {
        continue
      }
      if status.st_size > 0, isNew(status) { listing.changed.insert(identity) }
      guard keepsStamps else { continue }
      let stamp = ShardStamp(status)
      listing.stamps[identity, default: [:]][number] = stamp
      listing.latest = max(listing.latest, stamp.modified, stamp.changed)
    }
  }

  private func isNew(_ status: stat) -> Bool { status.st_mtim.tv_sec >= since || status.st_ctim.tv_sec >= since }

  /// Returns the identity and the number in the name of a shard, `GFID.N`; nil if the name has another form.
  static func identity(_ name: [UInt8]) -> (identity: [UInt8], number: Int)? {
    let length = 36
    guard name.count > length + 1, name[length] == UInt8(ascii: "."), name[(length + 1)...].allSatisfy({ 0x30...0x39 ~= $0 }),
      let number = Int(String(decoding: name[(length + 1)...], as: UTF8.self))
    else {
      return nil
    }
    return (Array(name[..<length]), number)
  }
}

/// The shards of a file.
public struct FileShards: Sendable {
  /// The size of each shard but the last, in bytes.
  public let size: Int
  /// The shards that exist, by their numbers: 0 is the first.
  public var stamps: [Int: ShardStamp]
  /// The latest time of any shard of the volume that was listed, in nanoseconds since 1970.
  public let latest: Int

  public init(size: Int, stamps: [Int: ShardStamp], latest: Int) { (self.size, self.stamps, self.latest) = (size, stamps, latest) }

  /// What tells about a shard; nil: the file has a hole there, without a shard or with an empty one. (Reading a hole creates empty shards.)
  public subscript(number: Int) -> ShardStamp? { stamps[number].flatMap { number > 0 && $0.size == 0 ? nil : $0 } }
}

/// What tells whether a shard has changed.
public struct ShardStamp: Sendable, Equatable {
  /// The shard's own times, in nanoseconds since 1970.
  public let modified: Int
  public let changed: Int
  /// The shard's own size, and what it takes on the bricks, in bytes.
  public let size: Int
  public let allocated: Int

  public init(modified: Int, changed: Int, size: Int, allocated: Int) {
    (self.modified, self.changed, self.size, self.allocated) = (modified, changed, size, allocated)
  }

  init(_ status: stat) {
    func nanoseconds(_ time: timespec) -> Int { time.tv_sec &* 1_000_000_000 &+ time.tv_nsec }
    self.init(
      modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim), size: Int(status.st_size),
      allocated: Int(status.st_blocks) * 512)
  }
}
