import Glibc
import Gluster
import SystemPackage

/// What a volume is and can do, for a user who sets a backup up.
package struct VolumeReport: Sendable {
  /// `replicated`, `distributed` … as the client's translators tell.
  package var type: String
  /// Of libgfapi on this host.
  package var clientVersion: String
  /// In bytes.
  package var size: Int
  package var free: Int
  /// Whether Gluster keeps the times of entries itself (`features.ctime`): then it does not date every change.
  package var keepsTimes: Bool
  package var isSharded: Bool
  /// Why the shards of files cannot be listed; nil: they can, or there are none.
  package var shards: String?
  /// The volume has files in shards, and `features.shard` is off.
  package var wasSharded: Bool
  /// The bricks that this client does not reach, as its translators are called.
  package var unreachableBricks: [String]
  /// Why no job can begin: a subvolume of a distributed volume is missing; nil: a job can.
  package var missingSubvolume: String?
  /// Why ACLs cannot be had; nil: they can.
  package var acls: String?
  package var extendedAttributes: String?
  /// Why the base directory cannot be read; nil: it can.
  package var access: String?

  /// Asks a volume. The base directory must be there.
  package init(_ volume: Volume, _ traits: VolumeTraits) throws {
    let base = try volume.lookUp(volume.uri.directory).object
    let space = try volume.fileSystemStatus()
    size = Int(space.f_blocks) * Int(space.f_frsize)
    free = Int(space.f_bavail) * Int(space.f_frsize)
    type = Self.type(traits)
    (keepsTimes, isSharded) = (traits.bricksAgreeOnTimes, traits.isSharded)
    wasSharded = try !traits.isSharded && volume.hasVisibleShards()
    if traits.isSharded {
      shards = Self.problem { _ = try ShardTimes(volume.uri, since: 0, logging: Volume.Logging(), patience: volume.patience) }
    }
    unreachableBricks = try volume.unreachableBricks()
    missingSubvolume = Self.problem { _ = try Distribution(volume)?.check() }
    clientVersion = Self.clientVersion
    acls = Self.problem { _ = try base.extendedAttributeIfSupported(ACLStream.accessName) }
    extendedAttributes = Self.problem { _ = try base.extendedAttributeNames() }
    access = Self.problem { try base.checkAccess(R_OK | X_OK) }
  }

  /// Type and number of bricks.
  static func type(_ traits: VolumeTraits) -> String {
    (traits.type ?? "unknown") + (traits.bricks.map { ", \($0) brick\($0 == 1 ? "" : "s")" } ?? "")
  }

  /// Of libgfapi, once there has been a connection.
  static let clientVersion = loadedClientVersion()

  private static func problem(_ ask: () throws -> Void) -> String? {
    do {
      try ask()
      return nil
    } catch { return "\(error)" }
  }

  /// libgfapi has no call for its version: the folder of the translators that it has loaded has it in its path,
  /// `…/glusterfs/10.3/xlator/…`.
  private static func loadedClientVersion() -> String {
    guard let maps = fopen("/proc/self/maps", "r") else { return "unknown" }
    defer { fclose(maps) }
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, Int32(line.count), maps) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      let parts = text.split(separator: "/")
      if let folder = parts.firstIndex(of: "xlator"), folder > 0 { return String(parts[folder - 1]) }
    }
    return "unknown"
  }
}

/// How long calls on a volume take: medians of five.
package struct VolumeLatency: Sendable {
  /// For looking a name up.
  package let lookUp: Duration
  /// For reading the beginning of a small file. Nil: there is none among the first names of the base directory.
  package let read: Duration?

  /// Asks a volume. The base directory must be there.
  init(_ volume: Volume) throws {
    let base = try volume.lookUp(volume.uri.directory).object
    // Nobody has this name: what is there may be in the client's memory.
    lookUp = Self.median((1...5).map { number in Self.time { _ = try? base.lookUp(".gfapi-fd-check-\(number)".utf8) } })!
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 1)
    defer { buffer.deallocate() }
    read = Self.median(try Self.someFiles(in: base).map { file in Self.time { _ = try? file.read(into: buffer, at: 0) } })
  }

  /// Up to five files with data, of the first names of a directory.
  private static func someFiles(in directory: Object) throws -> [Object] {
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
  /// Connects and asks what the volume is.
  package func connectAndReport() throws -> VolumeReport {
    try connect(for: .backup, isCancelled: { false }) { _, _ in }
    return try ask { try VolumeReport($0.volume!, $0.traits!) }
  }

  /// Connects and asks whether a path, absolute and in raw bytes, is a directory.
  package func isDirectory(_ path: [UInt8]) throws -> Bool {
    try connect(for: .backup, isCancelled: { false }) { _, _ in }
    return try ask { try $0.volume!.lookUp(path).status.isDirectory }
  }

  /// Measures calls on the volume that is connected.
  package func measureLatency() throws -> VolumeLatency { try ask { try VolumeLatency($0.volume!) } }

  private func ask<T>(_ body: @escaping @Sendable (VolumeSession) throws -> T) throws -> T {
    do {
      return try run(isCancelled: { false }, body)
    } catch let error as GlusterError {
      throw ConnectionFailure("\(definition.volume): \(error)", cure: error.meansMissing ? Self.baseCure : nil)
    }
  }
}
