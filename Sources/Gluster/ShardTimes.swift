import CGFAPI
import Glibc
import Locks

/// Tells of which files a shard has changed.
///
/// On a sharded volume the times of a file are those of its first shard: a write beyond it moves none that a client sees. A client whose
/// calls have the process id -1 sees the shards themselves: `/.shard/GFID.N`, each with times of its own. Such a client also bypasses
/// quota, WORM and more, so this is a connection of its own, which lists shards and does nothing else.
///
/// All shards of the volume are listed at once, when a file is first asked for: 36,000 a second (10.3). Looking them up by name takes ten
/// times as long, and several threads at once hinder one another.
public final class ShardTimes: Sendable {
  /// The process id of Gluster's own geo-replication.
  private static let rawProcess: pid_t = -1

  private let volume: Volume
  private let distribution: Distribution?
  private let since: Int
  private let setProcess: SetProcess
  private typealias SetProcess = @convention(c) @Sendable (OpaquePointer, pid_t) -> Int32
  /// The files of which a shard has changed, as their identities in text; nil: not listed yet.
  private let changed = Mutex<Result<Set<[UInt8]>, GlusterError>?>(nil)

  /// Connects to a volume once more.
  ///
  /// - Parameter since: seconds since 1970 after which a shard counts as changed.
  /// - Throws: ``GlusterError``; `ENOSYS` if libgfapi has no `glfs_setfspid`, a private function of versions 6.1 and later.
  public init(_ uri: VolumeURI, since: Int, logging: Volume.Logging, patience: Patience) throws {
    // RTLD_DEFAULT.
    guard let function = dlsym(nil, "glfs_setfspid") else { throw GlusterError(errno: .noFunction, call: "glfs_setfspid") }
    setProcess = unsafeBitCast(function, to: SetProcess.self)
    self.since = since
    volume = try Volume(uri, logging: logging, attributeAge: 0, patience: patience)
    distribution = Distribution(volume)
  }

  /// Why the shards could not be listed; nil: they could, or nobody has asked.
  public var problem: GlusterError? {
    if case .failure(let error) = changed.withLock({ $0 }) { error } else { nil }
  }

  /// Whether a shard of a file beyond the first has changed.
  ///
  /// - Parameter identity: of the file, see ``Object/identity()``.
  /// - Throws: ``GlusterError``, if the shards cannot be listed.
  public func haveChanged(of identity: [UInt8]) throws -> Bool {
    let listed = changed.withLock { known in
      let result = known ?? Result { try list() }.mapError(asGlusterError)
      known = result
      return result
    }
    return try listed.get().contains(Array(Volume.text(ofIdentity: identity).utf8))
  }

  private func list() throws -> Set<[UInt8]> {
    _ = setProcess(volume.handle, Self.rawProcess)
    // The thread makes calls of other connections as well.
    defer { _ = setProcess(volume.handle, getpid()) }
    return try volume.patience.run { _ in
      var changed = Set<[UInt8]>()
      let state = try distribution?.check()
      // Without it no file has a second shard.
      if let folder = try find("/.shard".utf8) {
        // A listing of a distributed volume leaves out what a rebalance moves meanwhile.
        for _ in 0..<((state?.count ?? 1) > 1 ? 2 : 1) { try list(folder, into: &changed) }
      }
      // A listing leaves out what is on a subvolume that cannot be reached, and says nothing.
      if let state { try distribution?.check(since: state) }
      return changed
    }
  }

  private func find(_ path: String.UTF8View) throws -> Object? {
    do { return try volume.lookUp(path).object } catch let error as GlusterError where error.meansMissing { return nil }
  }

  private func list(_ folder: Object, into changed: inout Set<[UInt8]>) throws {
    let directory = try folder.openDirectory()
    while let entry = try directory.next() {
      if volume.patience.isOver { throw GlusterError(errno: .interrupted, call: "listing of shards") }
      guard let identity = Self.identity(entry.name) else { continue }
      var status: stat
      do {
        status = try entry.found?.status ?? folder.lookUp(entry.name).status
        guard isNew(status) else { continue }
        // Reading a hole makes empty shards (10.3): they have a time and no data. What shrinks a shard changes the file's size. The
        // sizes in listings may be older ones (dispersed volumes).
        if status.st_size == 0 { status = try folder.lookUp(entry.name).status }
      } catch let error as GlusterError where error.meansMissing {
        continue
      }
      if status.st_size > 0 { changed.insert(identity) }
    }
  }

  private func isNew(_ status: stat) -> Bool { status.st_mtim.tv_sec >= since || status.st_ctim.tv_sec >= since }

  /// The identity in the name of a shard, `GFID.N`; nil: something else has this name.
  static func identity(_ name: [UInt8]) -> [UInt8]? {
    let length = 36
    guard name.count > length + 1, name[length] == UInt8(ascii: "."), name[(length + 1)...].allSatisfy({ 0x30...0x39 ~= $0 }) else {
      return nil
    }
    return Array(name[..<length])
  }
}
