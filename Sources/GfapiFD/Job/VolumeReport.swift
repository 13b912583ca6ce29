import GfapiAttributes
import Glibc
import Gluster

/// The properties of a volume and what it supports, for a user who sets up a backup.
package struct VolumeReport: Sendable {
  /// `replicated`, `distributed` …, according to the client's translators.
  package var type: String
  /// The version of libgfapi on this host.
  package var clientVersion: String
  /// The size of the volume, in bytes.
  package var size: Int
  /// The free space of the volume, in bytes.
  package var free: Int
  /// True if Gluster itself stores the times of entries (`features.ctime`). Some changes then do not update a time.
  package var keepsTimes: Bool
  package var isSharded: Bool
  /// The reason why the shards of files cannot be listed; nil: they can be listed, or there are none.
  package var shards: String?
  /// True if the volume has files in shards although `features.shard` is off.
  package var wasSharded: Bool
  /// The bricks that this client cannot reach, by the names of the client's translators.
  package var unreachableBricks: [String]
  /// The reason why no job can begin: a subvolume of a distributed volume is missing; nil: a job can begin.
  package var missingSubvolume: String?
  /// The reason why ACLs cannot be read; nil: they can be read.
  package var acls: String?
  /// The reason why extended attributes cannot be read; nil: they can be read.
  package var extendedAttributes: String?
  /// The reason why the base directory cannot be read; nil: it can be read.
  package var access: String?

  /// Examines a volume. The base directory must exist.
  package init(_ volume: Volume, _ traits: VolumeTraits) throws(GlusterError) {
    let base = try volume.lookUp(volume.uri.directory).object
    let space = try volume.fileSystemStatus()
    size = Int(space.f_blocks) * Int(space.f_frsize)
    free = Int(space.f_bavail) * Int(space.f_frsize)
    type = Self.type(traits)
    (keepsTimes, isSharded) = (traits.bricksAgreeOnTimes, traits.isSharded)
    wasSharded = traits.isSharded ? false : try volume.hasVisibleShards()
    if traits.isSharded {
      shards = Self.problem { _ = try ShardTimes(volume.uri, since: 0, logging: Volume.Logging(), retry: volume.retry) }
    }
    unreachableBricks = try volume.unreachableBricks()
    missingSubvolume = Self.problem { _ = try Distribution(volume)?.check() }
    clientVersion = Volume.clientVersion
    acls = Self.problem { _ = try base.extendedAttributeIfSupported(ACLStream.accessName) }
    extendedAttributes = Self.problem { _ = try base.extendedAttributeNames() }
    access = Self.problem { try base.checkAccess(R_OK | X_OK) }
  }

  /// Returns the type and the number of bricks, in words.
  package static func type(_ traits: VolumeTraits) -> String {
    (traits.type ?? "unknown") + (traits.bricks.map { ", \($0) brick\($0 == 1 ? "" : "s")" } ?? "")
  }

  private static func problem(_ ask: () throws -> Void) -> String? {
    do {
      try ask()
      return nil
    } catch { return "\(error)" }
  }
}

/// The duration of calls on a volume: medians of five.
package struct VolumeLatency: Sendable {
  /// The time to look up a name.
  package let lookUp: Duration
  /// The time to read the beginning of a small file; nil: there is none among the first names of the base directory.
  package let read: Duration?

  /// Measures the calls. The base directory must exist.
  init(_ volume: Volume) throws(GlusterError) {
    let base = try volume.lookUp(volume.uri.directory).object
    // Use a name that does not exist: the client may have existing ones in its cache.
    lookUp = Self.median((1...5).map { number in Self.time { _ = try? base.lookUp(".gfapi-fd-check-\(number)".utf8) } })!
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
    defer { buffer.deallocate() }
    read = Self.median(try Self.someFiles(in: base).map { file in Self.time { _ = try? file.read(into: buffer, at: 0) } })
  }

  /// Returns up to five files with data, from the first names of a directory.
  private static func someFiles(in directory: Object) throws(GlusterError) -> [Object] {
    guard let listing = try? directory.openDirectory() else { return [] }
    var files: [Object] = []
    for _ in 0..<1000 {
      guard files.count < 5, let entry = try listing.next() else { break }
      if let found = entry.found, found.status.isRegular, found.status.st_size > 0 { files.append(found.object) }
    }
    return files
  }

  private static func time(_ body: () -> Void) -> Duration {
    let began = ContinuousClock.now
    body()
    return ContinuousClock.now - began
  }

  private static func median(_ times: [Duration]) -> Duration? {
    times.isEmpty ? nil : times.sorted()[times.count / 2]
  }
}

extension JobVolume {
  /// Connects, examines the volume, and measures calls on it.
  ///
  /// - Returns: `took` is the time to connect.
  package func connectAndReport() throws -> (report: VolumeReport, latency: VolumeLatency, took: Duration) {
    let began = ContinuousClock.now
    return try connect(for: .backup, isCancelled: { false }) {
      let took = ContinuousClock.now - began
      return (try VolumeReport($0.volume, $0.traits), try VolumeLatency($0.volume), took)
    }.prepared
  }

  /// Connects, and returns true if a path is a directory.
  package func isDirectory(_ path: VolumePath) throws -> Bool {
    try connect(for: .backup, isCancelled: { false }) { try $0.volume.lookUp(path).status.isDirectory }.prepared
  }
}
