import DeltaFormat
import Gluster

// What the running job stores.
extension DeltaMemory {
  /// Notes that this job stores a record of a path that nothing can build on, if anything is known about the path.
  func forget(_ path: VolumePath) throws(Failure) {
    guard try !states(of: path).isEmpty else { return }
    try hide(path.bytes)
  }

  /// Adds a state of a path that nothing can build on.
  private func hide(_ path: [UInt8]) throws(Failure) {
    try database.run("INSERT INTO delta_states (path, job) VALUES (?1, ?2)", [.bytes(path), .integer(job)])
  }

  /// Notes that a path, and everything below it, is not there any more.
  func forget(vanished path: VolumePath) throws(Failure) {
    var paths: [[UInt8]] = []
    // 0x30 follows 0x2f, the slash.
    try database.run(
      "SELECT DISTINCT path FROM delta_states WHERE path = ?1 OR path > ?2 AND path < ?3",
      [.bytes(path.bytes), .bytes(path.stem + [0x2f]), .bytes(path.stem + [0x30])]
    ) { paths.append($0.bytes(0)) }
    for path in paths { try hide(path) }
  }

  /// Begins a state. Until it ends, nothing can build on it.
  ///
  /// - Returns: its number.
  func begin(_ gfid: [UInt8], _ path: VolumePath, on base: Base?, shardSize: Int) throws(Failure) -> Int64 {
    var id: Int64 = 0
    try inTransaction { () throws(Failure) in
      try database.run(
        "INSERT INTO delta_states (path, gfid, job, number, base, shard_size) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        [
          .bytes(path.bytes), .bytes(gfid), .integer(job), .integer(Int64(base.map { $0.number + 1 } ?? 0)),
          base.map { .integer($0.id) } ?? .null, .integer(Int64(shardSize)),
        ])
      try database.run("SELECT last_insert_rowid()", []) { id = $0.integer(0) }
    }
    return id
  }

  /// A shard as this job has read it.
  struct ReadShard {
    let number: Int
    /// nil: there was none, or an empty one.
    let stamp: ShardStamp?
    let isSettled: Bool
    /// nil: all blocks are whole, and zeros.
    let digests: BlockDigests?
  }

  /// Keeps shards of a state.
  func add(_ shards: [ReadShard], to state: Int64) throws(Failure) {
    try inTransaction { () throws(Failure) in
      for shard in shards {
        func value(_ path: KeyPath<ShardStamp, Int>) -> Database.Value { shard.stamp.map { .integer(Int64($0[keyPath: path])) } ?? .null }
        try database.run(
          "INSERT OR REPLACE INTO delta_shards VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
          [
            .integer(state), .integer(Int64(shard.number)), value(\.modified), value(\.changed), value(\.size), value(\.allocated),
            .integer(shard.isSettled ? 1 : 0), .bytes(shard.digests?.bytes ?? []),
          ])
      }
    }
  }

  /// Drops the shards of a state: its file is read once more.
  func restart(_ state: Int64) throws(Failure) {
    try database.run("DELETE FROM delta_shards WHERE state = ?1", [.integer(state)])
  }

  /// Ends a state: the next job can build on it. Forgets the digests of states that no job needs any more.
  ///
  /// - Parameter size: of the file as stored, in bytes.
  func end(_ state: Int64, _ path: VolumePath, size: Int, fingerprint: [UInt8]) throws(Failure) {
    try inTransaction { () throws(Failure) in
      try database.run(
        "UPDATE delta_states SET size = ?2, fingerprint = ?3 WHERE id = ?1",
        [.integer(state), .integer(Int64(size)), .bytes(fingerprint)])
      try forgetUnneeded(path)
    }
  }

  /// Needed are this job's state of the path, the last one of the chain, which the next job needs if this one fails, and that of the full
  /// backup, which a differential one needs; and what these build on.
  private func forgetUnneeded(_ path: VolumePath) throws(Failure) {
    // If this full backup fails, the next job needs the chain before it.
    guard !chain.isEmpty else { return }
    let states = try states(of: path)
    let byID = Dictionary(states.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    var needed = Set<Int64>()
    let roots = [states.first { $0.job == job }, states.first { chain.contains($0.job) }, states.first { $0.job == chain.last }]
    for case let root? in roots {
      var next = Optional(root.id)
      while let id = next, needed.insert(id).inserted { next = byID[id]?.base }
    }
    for state in states where state.isUsable && state.job < job && state.series == series && !needed.contains(state.id) {
      try database.run("DELETE FROM delta_shards WHERE state = ?1", [.integer(state.id)])
      try database.run("UPDATE delta_states SET fingerprint = NULL WHERE id = ?1", [.integer(state.id)])
    }
  }
}
