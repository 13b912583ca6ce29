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
    var kinds: [String] = []
    var bricks: Set<Substring> = []
    var (name, type) = (Substring(), Substring())
    for line in description.split(separator: "\n") {
      let words = line.split(separator: " ")
      switch words.first {
      case "volume": name = words.last!
      case "type":
        type = words.last!
        if type == "protocol/client" { bricks.insert(name) }
        if type == "features/shard" { kinds.append("sharded") }
      case "subvolumes":
        let word = ["cluster/distribute": "distributed", "cluster/replicate": "replicated", "cluster/disperse": "dispersed"][type]
        // Every volume has the distributing translator: with one subvolume it distributes nothing.
        if let word, !kinds.contains(word), type != "cluster/distribute" || words.count > 2 { kinds.append(word) }
      default: break
      }
    }
    return (kinds.isEmpty ? "plain" : kinds.joined(separator: ", ")) + ", \(bricks.count) brick\(bricks.count == 1 ? "" : "s")"
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
    try connect(isCancelled: { false }) { _, _ in }
    do {
      return try run(isCancelled: { false }) { try VolumeReport($0.volume!) }
    } catch let error as GlusterError {
      throw ConnectionFailure(description: "\(definition.volume): \(error)")
    }
  }
}
