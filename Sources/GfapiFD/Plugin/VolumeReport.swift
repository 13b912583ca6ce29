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
  package init(_ volume: Volume) throws {
    let base = try volume.lookUp(volume.uri.directory).object
    let space = try volume.fileSystemStatus()
    size = Int(space.f_blocks) * Int(space.f_frsize)
    free = Int(space.f_bavail) * Int(space.f_frsize)
    type = Self.type(try volume.description())
    clientVersion = Self.loadedClientVersion()
    acls = Self.problem { _ = try base.extendedAttributeIfSupported(ACLStream.accessName) }
    extendedAttributes = Self.problem { _ = try base.extendedAttributeNames() }
  }

  private static func problem(_ ask: () throws -> Void) -> String? {
    do {
      try ask()
      return nil
    } catch { return "\(error)" }
  }

  /// The translators of the client's graph that make a volume's type.
  private static func type(_ description: String) -> String {
    let kinds = [
      ("cluster/distribute", "distributed"), ("cluster/replicate", "replicated"), ("cluster/disperse", "dispersed"),
      ("features/shard", "sharded"),
    ]
    let lines = description.split(separator: "\n").map { $0.split(separator: " ") }
    let found = kinds.filter { kind in
      lines.contains { $0.first == "type" && $0.last.map(String.init) == kind.0 }
    }
    let bricks = lines.count { $0.first == "type" && $0.last == "protocol/client" }
    return (found.isEmpty ? "plain" : found.map(\.1).joined(separator: ", ")) + ", \(bricks) brick\(bricks == 1 ? "" : "s")"
  }

  /// libgfapi has no call for its version: the file that is loaded has it in its name.
  private static func loadedClientVersion() -> String {
    guard let maps = fopen("/proc/self/maps", "r") else { return "unknown" }
    defer { fclose(maps) }
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, Int32(line.count), maps) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      if text.contains("libgfapi.so"), let path = text.split(whereSeparator: \.isWhitespace).last { return String(path) }
    }
    return "unknown"
  }
}

extension JobVolume {
  /// Connects and asks what the volume is.
  package func connectAndReport() throws -> VolumeReport {
    try connect(isCancelled: { false }) { _, _ in }
    do {
      return try run(isCancelled: { false }) { try VolumeReport($0.volume!) }
    } catch let error as GlusterError {
      throw ConnectionFailure(description: "\(definition.volume): \(error)")
    }
  }
}
