/// What matters of a volume's type to those who read it.
public struct VolumeTraits: Sendable {
  /// `replicated`, `distributed, dispersed` …; nil: not known.
  public let type: String?
  /// How many bricks this client is to reach; nil: not known.
  public let bricks: Int?
  /// Whether directory listings tell files' sizes rightly. A dispersed volume's do not: for a file that was truncated a
  /// moment ago by another client they tell its former size.
  public let listingsTellSizes: Bool
  /// Whether all bricks tell the same times of an entry: they do with the translator `utime` (volume option
  /// `features.ctime`, on by default since Gluster 6). Without it each brick has its own clock's.
  public let bricksAgreeOnTimes: Bool
  /// Whether files of more than one shard are in pieces (`features.shard`).
  public let isSharded: Bool
  /// Whether directories are read ahead, and listings tell the size of a file's first shard in place of its own
  /// (`performance.parallel-readdir` and `performance.readdir-ahead`). What comes after such a listing does not correct it.
  public let listsFirstShards: Bool

  /// Whether an entry has copies that Gluster may find to be different entries, each with a GFID of its own (a split-brain). A look-up on
  /// the bricks says so; a listing tells one of them as if there were no other.
  public let copiesMayDiffer: Bool

  /// Asks a volume.
  public init(_ volume: Volume) {
    self.init(translators: (try? volume.translators()) ?? [])
  }

  /// - Parameter translators: their types, see ``Volume/translators()``; none: a volume that does not tell them, taken for
  ///   the worst.
  public init(translators: [String]) {
    guard !translators.isEmpty else {
      (type, bricks, listingsTellSizes, bricksAgreeOnTimes) = (nil, nil, false, false)
      (isSharded, listsFirstShards, copiesMayDiffer) = (true, true, true)
      return
    }
    func count(_ type: String) -> Int { translators.count { $0 == type } }
    // Where users see snapshots there is one for these, which is no brick.
    let bricks = count("protocol/client") - count("features/snapview-client")
    let groups = count("cluster/replicate") + count("cluster/disperse")
    var kinds: [String] = []
    // Every volume has the distributing translator: with one group, or one brick, it distributes nothing.
    if count("cluster/distribute") > 0, (groups > 0 ? groups : bricks) > 1 { kinds.append("distributed") }
    if count("cluster/replicate") > 0 { kinds.append("replicated") }
    if count("cluster/disperse") > 0 { kinds.append("dispersed") }
    isSharded = count("features/shard") > 0
    if isSharded { kinds.append("sharded") }
    listsFirstShards = isSharded && count("performance/readdir-ahead") > 0
    type = kinds.isEmpty ? "plain" : kinds.joined(separator: ", ")
    self.bricks = bricks
    listingsTellSizes = count("cluster/disperse") == 0
    copiesMayDiffer = count("cluster/replicate") > 0
    bricksAgreeOnTimes = count("features/utime") > 0
  }
}
