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
  /// Why ACLs cannot be had; nil: they can.
  package var acls: String?
  package var extendedAttributes: String?

  /// Asks a volume. The base directory must be there.
  package init(_ volume: Volume, _ traits: VolumeTraits) throws {
    let base = try volume.lookUp(volume.uri.directory).object
    let space = try volume.fileSystemStatus()
    size = Int(space.f_blocks) * Int(space.f_frsize)
    free = Int(space.f_bavail) * Int(space.f_frsize)
    type = Self.type(traits)
    clientVersion = Self.clientVersion
    acls = Self.problem { _ = try base.extendedAttributeIfSupported(ACLStream.accessName) }
    extendedAttributes = Self.problem { _ = try base.extendedAttributeNames() }
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

extension JobVolume {
  /// Connects and asks what the volume is.
  package func connectAndReport() throws -> VolumeReport {
    try connect(for: .backup, isCancelled: { false }) { _, _ in }
    do {
      return try run(isCancelled: { false }) { try VolumeReport($0.volume!, $0.traits!) }
    } catch let error as GlusterError {
      throw ConnectionFailure(description: "\(definition.volume): \(error)")
    }
  }
}
