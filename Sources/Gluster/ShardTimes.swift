import CGFAPI
import Glibc
import Locks

/// Finds the files of which a shard has changed.
///
/// On a sharded volume the times of a file are those of its first shard. A write beyond the first shard changes no time that an ordinary
/// client sees. A client whose calls have the process id -1 sees the shards themselves: `/.shard/GFID.N`, each with times of its own. Such
/// a client also bypasses quota, WORM and more. Therefore this class has a connection of its own, and uses it only to list shards.
///
/// All shards of the volume are listed at once, at the first question about a file: 36,000 a second (10.3). Look-ups by name take ten times
/// as long, and several threads that look up shards at once hinder one another.
public final class ShardTimes: Sendable {
  /// The process id with which Gluster's own geo-replication makes its calls.
  private static let rawProcess: pid_t = -1

  private let volume: Volume
  private let distribution: Distribution?
  private let since: Int
  private let setProcess: SetProcess
  private typealias SetProcess = @convention(c) @Sendable (OpaquePointer, pid_t) -> Int32
  /// The identities, as text, of the files of which a shard has changed; nil if the shards have not been listed yet.
  private let changed = Mutex<Result<Set<[UInt8]>, GlusterError>?>(nil)

  /// Opens another connection to a volume.
  ///
  /// - Parameter since: time in seconds since 1970. A shard that has this time or a later one counts as changed.
  /// - Throws: ``GlusterError``; `ENOSYS` if libgfapi has no `glfs_setfspid`, a private function of versions 6.1 and later.
  public init(_ uri: VolumeURI, since: Int, logging: Volume.Logging, retry: OutageRetry) throws(GlusterError) {
    // nil is `RTLD_DEFAULT`.
    guard let function = dlsym(nil, "glfs_setfspid") else { throw GlusterError(errno: .noFunction, call: "glfs_setfspid") }
    setProcess = unsafeBitCast(function, to: SetProcess.self)
    self.since = since
    volume = try Volume(uri, logging: logging, attributeAge: 0, retry: retry)
    distribution = Distribution(volume)
  }

  /// The error of listing the shards; nil if the listing succeeded, or if nobody has asked for a shard yet.
  public var problem: GlusterError? {
    if case .failure(let error) = changed.withLock({ $0 }) { error } else { nil }
  }

  /// Returns true if a shard of a file other than its first has changed.
  ///
  /// - Parameter identity: the file's identity, see ``Object/identity()``.
  /// - Throws: ``GlusterError``, if the shards cannot be listed.
  public func haveChanged(of identity: [UInt8]) throws(GlusterError) -> Bool {
    let listed = changed.withLock { known in
      let result = known ?? Result { () throws(GlusterError) in try list() }
      known = result
      return result
    }
    return try listed.get().contains(Array(Volume.text(ofIdentity: identity).utf8))
  }

  private func list() throws(GlusterError) -> Set<[UInt8]> {
    _ = setProcess(volume.handle, Self.rawProcess)
    // The process id is set for the thread, which also makes calls of other connections.
    defer { _ = setProcess(volume.handle, getpid()) }
    return try volume.retry.run { _ throws(GlusterError) in
      var changed = Set<[UInt8]>()
      let state = try distribution?.check()
      // A volume without `/.shard` has no file with a second shard.
      if let folder = try find(Volume.shards) {
        // A listing of a distributed volume may leave out an entry that a rebalance moves meanwhile, so a distributed volume is listed
        // twice.
        for _ in 0..<((state?.count ?? 1) > 1 ? 2 : 1) { try list(folder, into: &changed) }
      }
      // A listing leaves out the entries of an unreachable subvolume, without an error.
      if let state { try distribution?.check(since: state) }
      return changed
    }
  }

  private func find(_ path: VolumePath) throws(GlusterError) -> Object? {
    do { return try volume.lookUp(path).object } catch let error where error.meansMissing { return nil }
  }

  private func list(_ folder: Object, into changed: inout Set<[UInt8]>) throws(GlusterError) {
    let directory = try folder.openDirectory()
    while let entry = try directory.next() {
      if volume.retry.isOver { throw GlusterError(errno: .interrupted, call: "listing of shards") }
      guard let identity = Self.identity(entry.name) else { continue }
      var status: stat
      do {
        if let found = entry.found { status = found.status } else { status = try folder.lookUp(entry.name).status }
        guard isNew(status) else { continue }
        // An empty shard does not count as changed: reading a hole creates empty shards, with a new time and without data (10.3). An
        // operation that shrinks a shard changes the file's size as well. On dispersed volumes a listing may report an old size, so the
        // shard is looked up.
        if status.st_size == 0 { status = try folder.lookUp(entry.name).status }
      } catch let error where error.meansMissing {
        continue
      }
      if status.st_size > 0 { changed.insert(identity) }
    }
  }

  private func isNew(_ status: stat) -> Bool { status.st_mtim.tv_sec >= since || status.st_ctim.tv_sec >= since }

  /// The identity in the name of a shard, `GFID.N`; nil if the name has another form.
  static func identity(_ name: [UInt8]) -> [UInt8]? {
    let length = 36
    guard name.count > length + 1, name[length] == UInt8(ascii: "."), name[(length + 1)...].allSatisfy({ 0x30...0x39 ~= $0 }) else {
      return nil
    }
    return Array(name[..<length])
  }
}
