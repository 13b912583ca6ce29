import DeltaFormat
import Gluster

/// What earlier jobs stored of files of several shards, in the volume's ``StateDatabase``: what a delta can build on.
///
/// Tables:
///
/// - `delta_jobs`: one row for each job. `job` is its number in the table `jobs`, `previous` the number of the job that the daemon compared it
///   with; NULL: none. `series` is the job's name without the time of the run. `complete` is 1 if the job has kept everything here.
/// - `delta_states`: one row for each record that such a job stored of a path. `number` is the number of the delta, 0 for a whole file; `base`
///   is the state that a delta builds on; `fingerprint` is that of ``DeltaHeader``. If it is NULL, nothing can build on this state: it was not
///   stored completely, it is not a file of several shards, or it is not needed any more. The row stays, because the daemon's last record of the
///   path is the one that this row is about.
/// - `delta_shards`: the shards of a state that were read for it: their times, and the digests of their blocks. The other shards are those of
///   the state that it builds on.
///
/// The jobs that a job is compared with form a chain: from the previous one, over that one's previous one, to a full backup. These are the jobs
/// whose records the daemon has in its accurate list. A failed job is in no chain.
final class DeltaMemory {
  typealias Failure = Database.Failure

  /// A file as an earlier job stored it.
  struct Base {
    let id: Int64
    /// The number of the delta, 0 for a whole file.
    let number: Int
    /// In bytes.
    let size: Int
    let shardSize: Int
    let fingerprint: [UInt8]
    /// The name of the job that stored it.
    let job: String
    /// By the number of the shard.
    let shards: [Int: Shard]
  }

  /// A shard as an earlier job read it.
  struct Shard {
    /// nil: there was none, or an empty one.
    let stamp: ShardStamp?
    /// True if no later write can have left the shard with the same times: see ``DeltaPlan/settling``.
    let isSettled: Bool
    /// The state that has the digests.
    let state: Int64
  }

  private let database: Database
  private let inTransaction: (() throws(Failure) -> Void) throws(Failure) -> Void
  private let job: Int64
  private let series: String
  /// The jobs that this one is compared with, the previous one first.
  private let chain: [Int64]

  /// - Parameters:
  ///   - job: the number of the running job.
  ///   - previous: the number of the job that the daemon compares with; nil: none.
  ///   - name: the daemon's unique name of the running job: `NAME.DATE_HH.MM.SS_NN`.
  init(_ state: StateDatabase, job: Int64, previous: Int64?, name: String) throws(Failure) {
    (database, inTransaction) = (state.database, state.inTransaction)
    self.job = job
    series = name.split(separator: ".").dropLast(3).joined(separator: ".")
    try database.execute(
      """
      CREATE TABLE IF NOT EXISTS delta_jobs (
        job INTEGER PRIMARY KEY, previous INTEGER, series TEXT NOT NULL, complete INTEGER NOT NULL)
      """,
      """
      CREATE TABLE IF NOT EXISTS delta_states (
        id INTEGER PRIMARY KEY, path BLOB NOT NULL, gfid BLOB, job INTEGER NOT NULL, number INTEGER, base INTEGER, size INTEGER,
        shard_size INTEGER, fingerprint BLOB)
      """,
      "CREATE INDEX IF NOT EXISTS delta_states_path ON delta_states (path)",
      """
      CREATE TABLE IF NOT EXISTS delta_shards (
        state INTEGER NOT NULL, shard INTEGER NOT NULL, modified INTEGER, changed INTEGER, size INTEGER, allocated INTEGER,
        settled INTEGER NOT NULL, digests BLOB NOT NULL, PRIMARY KEY (state, shard)) WITHOUT ROWID
      """)
    // Until the job ends, no other is compared with it. (A job of several plugin lines ends several times.)
    try database.run(
      "INSERT OR REPLACE INTO delta_jobs VALUES (?1, ?2, ?3, 0)",
      [.integer(job), previous.map { .integer($0) } ?? .null, .text(series)])
    var (chain, next) = ([Int64](), previous)
    while let number = next, !chain.contains(number) {
      var found: Int64??
      try database.run("SELECT previous FROM delta_jobs WHERE job = ?1 AND complete = 1", [.integer(number)]) {
        found = .some($0.isNull(0) ? nil : $0.integer(0))
      }
      guard let found else { break }
      chain.append(number)
      next = found
    }
    self.chain = chain
  }

  /// Ends the job: later ones can be compared with it.
  func end() throws(Failure) {
    try inTransaction { () throws(Failure) in
      try database.run("UPDATE delta_jobs SET complete = 1 WHERE job = ?1", [.integer(job)])
      // No chain goes back behind its full backup.
      guard let full = chain.last else { return }
      let old = "SELECT id FROM delta_states WHERE job < ?1 AND job IN (SELECT job FROM delta_jobs WHERE series = ?2)"
      try database.run("DELETE FROM delta_shards WHERE state IN (\(old))", [.integer(full), .text(series)])
      try database.run("DELETE FROM delta_states WHERE id IN (\(old))", [.integer(full), .text(series)])
    }
  }

  // MARK: What was stored

  private struct State {
    let id: Int64
    let job: Int64
    let base: Int64?
    let isUsable: Bool
  }

  /// The states of a path, the newest first.
  private func states(of path: VolumePath) throws(Failure) -> [State] {
    var states: [State] = []
    try database.run(
      "SELECT id, job, base, fingerprint FROM delta_states WHERE path = ?1 ORDER BY job DESC, id DESC", [.bytes(path.bytes)]
    ) {
      states.append(
        State(id: $0.integer(0), job: $0.integer(1), base: $0.isNull(2) ? nil : $0.integer(2), isUsable: !$0.isNull(3)))
    }
    return states
  }

  /// Returns the file that a delta can build on; nil if there is none, or if what is known contradicts the daemon.
  ///
  /// - Parameters:
  ///   - gfid: the file's identity.
  ///   - number: the number of the delta in the daemon's last record of the path.
  func base(_ gfid: [UInt8], _ path: VolumePath, number: Int) throws(Failure) -> Base? {
    guard let latest = try states(of: path).first(where: { chain.contains($0.job) }), latest.isUsable else { return nil }
    var found: (size: Int, shardSize: Int, fingerprint: [UInt8], job: [UInt8])?
    try database.run(
      """
      SELECT size, shard_size, fingerprint, CAST(jobs.name AS BLOB) FROM delta_states JOIN jobs ON jobs.id = job
      WHERE delta_states.id = ?1 AND gfid = ?2 AND number = ?3
      """, [.integer(latest.id), .bytes(gfid), .integer(Int64(number))]
    ) {
      found = (Int($0.integer(0)), Int($0.integer(1)), $0.bytes(2), $0.bytes(3))
    }
    guard let found, let shards = try shards(of: latest.id, found.shardSize) else { return nil }
    return Base(
      id: latest.id, number: number, size: found.size, shardSize: found.shardSize, fingerprint: found.fingerprint,
      job: String(decoding: found.job, as: UTF8.self), shards: shards)
  }

  /// Returns the shards of a state; nil if something is missing.
  private func shards(of id: Int64, _ shardSize: Int) throws(Failure) -> [Int: Shard]? {
    var shards: [Int: Shard] = [:]
    var (next, smallest) = (Optional(id), Int.max)
    while let state = next {
      var found: (base: Int64?, number: Int64, size: Int)?
      try database.run(
        "SELECT base, number, size FROM delta_states WHERE id = ?1 AND shard_size = ?2 AND fingerprint IS NOT NULL",
        [.integer(state), .integer(Int64(shardSize))]
      ) { found = ($0.isNull(0) ? nil : $0.integer(0), $0.integer(1), Int($0.integer(2))) }
      guard let found, (found.base == nil) == (found.number == 0) else { return nil }
      // What a shorter state has cut off is not there any more, even if a later one is longer.
      smallest = min(smallest, found.size)
      try database.run(
        "SELECT shard, modified, changed, size, allocated, settled FROM delta_shards WHERE state = ?1", [.integer(state)]
      ) { row in
        let number = Int(row.integer(0))
        guard shards[number] == nil, number * shardSize < smallest else { return }
        let stamp =
          row.isNull(1)
          ? nil
          : ShardStamp(
            modified: Int(row.integer(1)), changed: Int(row.integer(2)), size: Int(row.integer(3)), allocated: Int(row.integer(4)))
        shards[number] = Shard(stamp: stamp, isSettled: row.integer(5) != 0, state: state)
      }
      next = found.base
    }
    return shards
  }

  /// Returns the digests of a shard's blocks; nil: all its blocks are zeros.
  func digests(of number: Int, _ shard: Shard) throws(Failure) -> BlockDigests? {
    var found: BlockDigests?
    try database.run(
      "SELECT digests FROM delta_shards WHERE state = ?1 AND shard = ?2", [.integer(shard.state), .integer(Int64(number))]
    ) { found = BlockDigests(bytes: $0.bytes(0)) }
    guard let found else { throw Failure(description: "the digests of a shard are missing", isDamage: true) }
    return found.values.isEmpty ? nil : found
  }

  // MARK: What is stored now

  /// Notes that this job stores a record of a path that nothing can build on, if anything is known about the path.
  func forget(_ path: VolumePath) throws(Failure) {
    guard try !states(of: path).isEmpty else { return }
    try database.run("INSERT INTO delta_states (path, job) VALUES (?1, ?2)", [.bytes(path.bytes), .integer(job)])
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
    var ours = Set<Int64>()
    try database.run("SELECT job FROM delta_jobs WHERE series = ?1", [.text(series)]) { ours.insert($0.integer(0)) }
    for state in states where state.isUsable && state.job < job && ours.contains(state.job) && !needed.contains(state.id) {
      try database.run("DELETE FROM delta_shards WHERE state = ?1", [.integer(state.id)])
      try database.run("UPDATE delta_states SET fingerprint = NULL WHERE id = ?1", [.integer(state.id)])
    }
  }
}
