import Encodings
import Gluster

/// A name that only bricks have, so that no crawl returns it, or a name that stands for another entry.
enum InternalName {
  /// A shard of a file on a sharded volume, `/.shard/GFID.NUMBER`. Only the shards that were written to are listed.
  case shard(of: [UInt8])
  /// An entry for which the wrapper has no name, `/.gfid/GFID`. The entry is on another brick now, or it is deleted.
  case identity([UInt8])
  /// A file that Gluster uses internally.
  case ofBricks

  /// Returns nil if the name belongs to an entry.
  init?(_ path: VolumePath, isSharded: Bool) {
    let components = path.components
    guard let first = components.first.map(Array.init) else { return nil }
    if isSharded, first == Array(".shard".utf8) {
      let gfid = components.count == 2 ? GFID(components[1].prefix { $0 != UInt8(ascii: ".") }) : nil
      self = gfid.map { .shard(of: $0.bytes) } ?? .ofBricks
    } else if first == Array(".gfid".utf8), components.count == 2, let gfid = GFID(components[1]) {
      self = .identity(gfid.bytes)
    } else if first == Array(".glusterfs".utf8) || Self.isAnonymous(first) {
      self = .ofBricks
    } else {
      return nil
    }
  }

  /// Returns true for `.glusterfs-anonymous-inode-UUID`. A replicated volume uses it for entries that are deleted while the volume is
  /// healed.
  private static func isAnonymous(_ name: [UInt8]) -> Bool {
    let prefix = Array(".glusterfs-anonymous-inode-".utf8)
    return name.starts(with: prefix) && GFID(name.dropFirst(prefix.count)) != nil
  }
}

/// Gluster's identity of an entry. As text it has 32 hexadecimal digits: `0123abcd-0123-…`.
struct GFID {
  let bytes: [UInt8]

  init?(_ text: some Collection<UInt8>) {
    let digits = text.filter { $0 != UInt8(ascii: "-") }
    guard text.count == 36, digits.count == 32, let bytes = Hex.bytes(digits) else { return nil }
    self.bytes = bytes
  }
}
