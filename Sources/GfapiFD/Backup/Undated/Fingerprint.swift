import Glibc

/// Digests of the parts of an entry that can change without a change of its times.
package struct Fingerprint: Sendable, Equatable {
  /// A part of an entry. The numbers are stored: do not change them.
  package enum Part: Int64, Sendable {
    case acls = 1
    /// Extended attributes; ACLs are backed up as ACLs.
    case attributes = 2
    /// Extended attributes, the ACLs among them.
    case attributesWithACLs = 3
    /// Where a file has holes; of a file of several shards, also its size.
    case layout = 4
    /// How many names a file has: where another is renamed over one of them the others get no new time, and a restore would make them names
    /// of the other.
    case names = 5
  }

  package enum Digest: Sendable, Equatable {
    /// The entry does not have this part.
    case nothing
    /// Never 0.
    case value(Int64)
    /// Could not be read: it counts as changed.
    case unknown
  }

  package private(set) var digests: [Part: Digest] = [:]

  package init() {}

  package subscript(part: Part) -> Digest? {
    get { digests[part] }
    set { digests[part] = newValue }
  }

  /// The fingerprint of what a backup reads.
  ///
  /// - Parameter shardSize: of a sharded volume, in bytes.
  init(_ status: stat, _ details: EntryFetcher.Details, _ wanted: EntryFetcher.Wanted, shardSize: Int?) {
    self.init(layoutOf: status, shardSize: shardSize)
    let isUnknown = details.isIncomplete
    if wanted.acls { self[.acls] = isUnknown ? .unknown : Self.digest([details.acls]) }
    if wanted.extendedAttributes {
      // Bricks list names in different orders.
      let attributes = details.extendedAttributes.sorted { $0.name.lexicographicallyPrecedes($1.name) }
      self[wanted.acls ? .attributes : .attributesWithACLs] =
        isUnknown ? .unknown : Self.digest(attributes.flatMap { [$0.name, $0.value] })
    }
  }

  /// What the attributes of an entry tell without a call.
  init(layoutOf status: stat, shardSize: Int?) {
    if !status.isDirectory { self[.names] = status.st_nlink > 1 ? Self.digest([Self.bytes(Int(status.st_nlink))]) : .nothing }
    guard status.isRegular else { return }
    let size = Int(status.st_size)
    if let shardSize, size > shardSize {
      self[.layout] = Self.digest([Self.bytes(size), Self.bytes(Int(status.st_blocks))])
    } else {
      self[.layout] = status.hasHoles ? Self.digest([Self.bytes(Int(status.st_blocks))]) : .nothing
    }
  }

  private static func bytes(_ number: Int) -> [UInt8] { withUnsafeBytes(of: number.littleEndian, Array.init) }

  /// FNV-1a, 64 bits, over each item's length and bytes; nothing for no bytes at all.
  private static func digest(_ items: [[UInt8]]) -> Digest {
    guard items.contains(where: { !$0.isEmpty }) else { return .nothing }
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ bytes: [UInt8]) { for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 } }
    for item in items {
      add(bytes(item.count))
      add(item)
    }
    return .value(hash == 0 ? 1 : Int64(bitPattern: hash))
  }
}
