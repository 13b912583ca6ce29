import Glibc

/// Digests of the parts of an entry that can change although the times of the entry do not.
package struct Fingerprint: Sendable, Equatable {
  /// A part of an entry. The database stores these numbers: do not change them.
  package enum Part: Int64, Sendable, CaseIterable {
    case acls = 1
    /// Extended attributes without the ACLs, which are backed up as ACLs.
    case attributes = 2
    /// Extended attributes with the ACLs among them.
    case attributesWithACLs = 3
    /// Where a file has holes. For a file of several shards, also its size.
    case layout = 4
    /// How many names a file has. If another file is renamed over one of the names, the remaining names get no new time, and a restore
    /// would make them names of the other file.
    case names = 5
  }

  package enum Digest: Sendable, Equatable {
    /// The entry does not have this part.
    case nothing
    /// The digest, which is never 0.
    case value(Int64)
    /// The part could not be read, so it counts as changed.
    case unknown
  }

  /// The digest of each part, by its number; nil: not known. Faster than a dictionary, which each record would fill.
  private var byPart = [Digest?](repeating: nil, count: Part.allCases.count + 1)

  package init() {}

  package subscript(part: Part) -> Digest? {
    get { byPart[Int(part.rawValue)] }
    set { byPart[Int(part.rawValue)] = newValue }
  }

  /// The known digests, by the number of their part.
  package var digests: [(part: Part, digest: Digest)] {
    Part.allCases.compactMap { part in self[part].map { (part, $0) } }
  }

  /// Replaces the digests that another fingerprint knows.
  mutating func update(with other: Fingerprint) {
    for part in byPart.indices { byPart[part] = other.byPart[part] ?? byPart[part] }
  }

  /// Makes the fingerprint of what a backup reads.
  ///
  /// - Parameter shardSize: see ``EntryFetcher/shardSize``; in bytes, nil if the volume is not sharded.
  init(_ status: stat, _ details: EntryFetcher.Details, _ wanted: EntryFetcher.Wanted, shardSize: Int?) {
    self.init(layoutOf: status, shardSize: shardSize)
    let isUnknown = details.isIncomplete
    if wanted.acls { self[.acls] = isUnknown ? .unknown : Self.digest([details.acls]) }
    if wanted.extendedAttributes {
      // Sort the names, because bricks list them in different orders.
      let attributes = details.extendedAttributes.sorted { $0.name.lexicographicallyPrecedes($1.name) }
      self[wanted.acls ? .attributes : .attributesWithACLs] =
        isUnknown ? .unknown : Self.digest(attributes.flatMap { [$0.name, $0.value] })
    }
  }

  /// Makes the digests of the parts that the attributes of an entry show without a call.
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

  /// FNV-1a, 64 bits, over each item's length and bytes; `nothing` if there are no bytes at all.
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
