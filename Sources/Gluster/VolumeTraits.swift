/// Properties of a volume's type that matter for reading the volume.
public struct VolumeTraits: Sendable {
  /// The type in words, such as `replicated` or `distributed, dispersed`; nil if unknown.
  public let type: String?
  /// Number of bricks that this client should reach; nil if unknown.
  public let bricks: Int?
  /// True if directory listings report correct file sizes. Those of a dispersed volume do not: for a file that another client has truncated
  /// a moment ago they report the former size.
  public let listingsTellSizes: Bool
  /// True if all bricks report the same times of an entry. They do so with the translator `utime` (volume option `features.ctime`, on by
  /// default since Gluster 6). Without it each brick reports times of its own clock.
  public let bricksAgreeOnTimes: Bool
  /// True if a file that is larger than one shard is stored in pieces (`features.shard`).
  public let isSharded: Bool
  /// True if directories are read ahead, and listings report the size of a file's first shard instead of the file's own size
  /// (`performance.parallel-readdir` and `performance.readdir-ahead`). Calls that follow such a listing do not correct the size.
  public let listsFirstShards: Bool

  /// True if Gluster may find that the copies of an entry are different entries, each with a GFID of its own (a split-brain). A look-up on
  /// the bricks reports that. A listing reports one of the copies as if there were no other.
  public let copiesMayDiffer: Bool

  /// True if listings and look-ups may report wrong sizes, but the attributes in the reply to a read are right, so that the client knows them
  /// after a read: on a dispersed volume, which locks a file before it reads from it. On a sharded volume these may be the attributes of a
  /// shard.
  public var readsTellSizes: Bool { !listingsTellSizes && bricksAgreeOnTimes && !isSharded && !copiesMayDiffer }

  /// Reads the traits of a volume.
  public init(_ volume: Volume) {
    self.init(translators: (try? volume.translators()) ?? [])
  }

  /// - Parameter translators: types of the translators, see ``Volume/translators()``; empty for a volume that does not report them, for
  ///   which the worst is assumed.
  public init(translators: [String]) {
    guard !translators.isEmpty else {
      (type, bricks, listingsTellSizes, bricksAgreeOnTimes) = (nil, nil, false, false)
      (isSharded, listsFirstShards, copiesMayDiffer) = (true, true, true)
      return
    }
    func count(_ type: String) -> Int { translators.count { $0 == type } }
    // If users see snapshots, there is one more client translator, for the snapshots. It has no brick.
    let bricks = count("protocol/client") - count("features/snapview-client")
    let groups = count("cluster/replicate") + count("cluster/disperse")
    var kinds: [String] = []
    // Every volume has the distributing translator. With one group or one brick it distributes nothing.
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
