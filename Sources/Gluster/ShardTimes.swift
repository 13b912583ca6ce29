import CGFAPI
import Glibc

/// Tells whether a shard of a file has changed.
///
/// On a sharded volume the times of a file are those of its first shard: a write beyond it moves none that a client sees. A client whose
/// calls have the process id -1 sees the shards themselves: `/.shard/GFID.N`, each with times of its own. Such a client also bypasses
/// quota, WORM and more, so this is a connection of its own, which looks up shards and does nothing else.
public final class ShardTimes: Sendable {
  /// The process id of Gluster's own geo-replication.
  private static let rawProcess: pid_t = -1
  /// Gluster's extended attribute: the size of a file's shards, a big-endian number of 8 bytes.
  private static let sizeAttribute = "trusted.glusterfs.shard.block-size"

  private let volume: Volume
  private let distribution: Distribution?
  private let setProcess: SetProcess
  private typealias SetProcess = @convention(c) @Sendable (OpaquePointer, pid_t) -> Int32

  /// Connects to a volume once more.
  ///
  /// - Throws: ``GlusterError``; `ENOSYS` if libgfapi has no `glfs_setfspid`, a private function of versions 6.1 and later.
  public init(_ uri: VolumeURI, logging: Volume.Logging, patience: Patience) throws {
    // RTLD_DEFAULT.
    guard let function = dlsym(nil, "glfs_setfspid") else { throw GlusterError(errno: .noFunction, call: "glfs_setfspid") }
    setProcess = unsafeBitCast(function, to: SetProcess.self)
    // No memory of attributes: a shard is looked up once, and its times are to be those of now.
    volume = try Volume(uri, logging: logging, attributeAge: 0, patience: patience)
    distribution = Distribution(volume)
  }

  /// Whether a shard of a file beyond the first has changed at a time or later.
  ///
  /// - Parameters:
  ///   - identity: of the file, see ``Object/identity()``.
  ///   - size: of the file, in bytes.
  ///   - since: seconds since 1970.
  /// - Throws: ``GlusterError``; `ENOENT` or `ESTALE` if there is no such file.
  public func haveChanged(of identity: [UInt8], size: Int, since: Int) throws -> Bool {
    _ = setProcess(volume.handle, Self.rawProcess)
    // The thread makes calls of other connections as well.
    defer { _ = setProcess(volume.handle, getpid()) }
    // A file that was made before the volume was sharded is whole.
    guard let value = try volume.lookUp(identity: identity).object.extendedAttribute(Self.sizeAttribute.utf8), value.count == 8 else {
      return false
    }
    let shardSize = value.reduce(0) { $0 << 8 | Int($1) }
    guard shardSize > 0, size > shardSize else { return false }
    let names = (1...((size - 1) / shardSize)).lazy.map { "\(Volume.text(ofIdentity: identity)).\($0)" }
    while true {
      let state = try distribution?.waitUntilWhole()
      let (isChanged, missing) = try look(names, since)
      // A shard may be missing because the subvolume that it is on is away.
      if isChanged || missing == 0 || distribution?.isWhole(since: state) ?? true { return isChanged }
    }
  }

  /// Looks shards up by their names. Returns whether one has changed, and how many are not there: a hole is no shard.
  private func look(_ names: some Sequence<String>, _ since: Int) throws -> (isChanged: Bool, missing: Int) {
    var missing = 0
    do {
      let folder = try volume.lookUp("/.shard".utf8).object
      for name in names {
        do {
          let status = try folder.lookUp(name.utf8).status
          // Reading a hole makes empty shards (10.3): they have a time and no data. What shrinks a shard changes the file's size.
          guard status.st_size > 0 else { continue }
          if status.st_mtim.tv_sec >= since || status.st_ctim.tv_sec >= since { return (true, missing) }
        } catch let error as GlusterError where error.errno == .noSuchFileOrDirectory {
          missing += 1
        }
      }
      return (false, missing)
    } catch let error as GlusterError where error.errno == .noSuchFileOrDirectory {
      // No file has a second shard.
      return (false, 1)
    }
  }
}
