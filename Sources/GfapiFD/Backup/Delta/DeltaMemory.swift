import DeltaFormat
import Gluster

/// What earlier jobs stored of files of several shards, in the volume's ``StateDatabase``: what a delta can build on.
///
/// Tables:
///
/// - `delta_jobs`: one row for each job. `job` is its number in the table `jobs`, `previous` the number of the job that the daemon compared it
///   with; NULL: none. `series` is the job's name without the time of the run, `line` its plugin line. `listed` is 1 if the job has looked
///   at the entries of a list of changes only. `complete` is 1 if the job has kept everything here.
/// - `delta_states`: one row for each record that such a job stored of a path. `number` is the number of the delta, 0 for a whole file; `base`
///   is the state that a delta builds on; `fingerprint` is that of ``DeltaHeader``. If it is NULL, nothing can build on this state: it was not
///   stored completely, it is not a file of several shards, or it is not needed any more. The row stays, because the daemon's last record of the
///   path is the one that this row is about.
/// - `delta_shards`: the shards of a state that were read for it: their times, and the digests of their blocks. The other shards are those of
///   the state that it builds on.
/// - `delta_seen`: the states whose file a job has found unchanged.
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

  let database: Database
  let inTransaction: (() throws(Failure) -> Void) throws(Failure) -> Void
  let job: Int64
  let series: String
  /// The jobs that this one is compared with, the previous one first.
  let chain: [Int64]

  /// True if the daemon's previous job is one that the director has put together from other jobs (a virtual full backup). Such a job has all
  /// records of a file with one time, so the daemon does not know which of them is the last.
  private let isMerged: Bool
  /// The states whose file this job has found unchanged.
  private var seen: [Int64] = []

  /// - Parameters:
  ///   - job: the number of the running job.
  ///   - name: the daemon's unique name of the running job: `NAME.DATE_HH.MM.SS_NN`.
  ///   - line: its plugin line.
  ///   - previous: the unique name of the job that the daemon compares with; nil: the daemon does not report it.
  ///   - since: when that job began, in seconds since 1970; 0: nothing is compared.
  init(_ state: StateDatabase, job: Int64, name: String, line: String, previous: String?, since: Int) throws(Failure) {
    (database, inTransaction) = (state.database, state.inTransaction)
    self.job = job
    series = name.split(separator: ".").dropLast(3).joined(separator: ".")
    try database.execute(
      """
      CREATE TABLE IF NOT EXISTS delta_jobs (
        job INTEGER PRIMARY KEY, previous INTEGER, series TEXT NOT NULL, line TEXT NOT NULL, listed INTEGER NOT NULL,
        complete INTEGER NOT NULL)
      """,
      """
      CREATE TABLE IF NOT EXISTS delta_states (
        id INTEGER PRIMARY KEY, path BLOB NOT NULL, gfid BLOB, job INTEGER NOT NULL, number INTEGER, base INTEGER, size INTEGER,
        shard_size INTEGER, fingerprint BLOB)
      """,
      "CREATE INDEX IF NOT EXISTS delta_states_path ON delta_states (path)",
      """
      CREATE TABLE IF NOT EXISTS delta_seen (job INTEGER NOT NULL, state INTEGER NOT NULL, PRIMARY KEY (job, state)) WITHOUT ROWID
      """,
      """
      CREATE TABLE IF NOT EXISTS delta_shards (
        state INTEGER NOT NULL, shard INTEGER NOT NULL, modified INTEGER, changed INTEGER, size INTEGER, allocated INTEGER,
        settled INTEGER NOT NULL, digests BLOB NOT NULL, PRIMARY KEY (state, shard)) WITHOUT ROWID
      """)
    let (head, isMerged) = try Self.head(database, series, previous, since)
    self.isMerged = isMerged
    // Until the job ends, no other is compared with it. (A job of several plugin lines ends several times.)
    try database.run(
      "INSERT OR REPLACE INTO delta_jobs VALUES (?1, ?2, ?3, ?4, 0, 0)",
      [.integer(job), head.map { .integer($0) } ?? .null, .text(series), .text(line)])
    var (chain, next) = ([Int64](), head)
    while let number = next, !chain.contains(number) {
      var found: Int64??
      try database.run(
        "SELECT previous FROM delta_jobs WHERE job = ?1 AND complete = 1 AND series = ?2", [.integer(number), .text(series)]
      ) { found = .some($0.isNull(0) ? nil : $0.integer(0)) }
      guard let found else { break }
      chain.append(number)
      next = found
    }
    self.chain = chain
  }

  /// Returns the number of the job that the daemon compares with; nil if this database does not have what that job stored.
  private static func head(
    _ database: Database, _ series: String, _ previous: String?, _ since: Int
  ) throws(Failure) -> (number: Int64?, isMerged: Bool) {
    var (number, isKnown) = (Int64?.none, false)
    guard since > 0 else { return (nil, false) }
    if let previous {
      try database.run("SELECT id, complete FROM jobs WHERE name = ?1", [.text(previous)]) {
        (number, isKnown) = ($0.integer(1) != 0 ? $0.integer(0) : nil, true)
      }
      guard !isKnown else { return (number, false) }
    }
    // A job that the director has put together has a name of its own, and the time of the last of those jobs.
    try database.run(
      """
      SELECT id FROM jobs JOIN delta_jobs ON job = id
      WHERE series = ?1 AND jobs.complete = 1 AND started BETWEEN ?2 AND ?3 ORDER BY id LIMIT 1
      """,
      [.text(series), .integer(Int64(since)), .integer(Int64(since + StateDatabase.longestWait))]
    ) { number = $0.integer(0) }
    return (number, previous != nil)
  }

  /// Ends the job: later ones can be compared with it.
  func end() throws(Failure) {
    try inTransaction { () throws(Failure) in
      for state in seen { try database.run("INSERT OR IGNORE INTO delta_seen VALUES (?1, ?2)", [.integer(job), .integer(state)]) }
      seen = []
      try database.run("UPDATE delta_jobs SET complete = 1 WHERE job = ?1", [.integer(job)])
      // No chain goes back behind its full backup.
      guard let full = chain.last, let head = chain.first else { return }
      let old = "SELECT id FROM delta_states WHERE job < ?1 AND job IN (SELECT job FROM delta_jobs WHERE series = ?2)"
      try database.run("DELETE FROM delta_shards WHERE state IN (\(old))", [.integer(full), .text(series)])
      try database.run("DELETE FROM delta_states WHERE id IN (\(old))", [.integer(full), .text(series)])
      try database.run(
        "DELETE FROM delta_seen WHERE job < ?1 AND job IN (SELECT job FROM delta_jobs WHERE series = ?2)", [.integer(head), .text(series)])
    }
  }

  // MARK: What was stored

  struct State {
    let id: Int64
    let job: Int64
    let base: Int64?
    /// The number of the delta, 0 for anything else.
    let number: Int
    let isUsable: Bool
    let series: String
    let line: String
  }

  /// The states of a path, the newest first.
  func states(of path: VolumePath) throws(Failure) -> [State] {
    var states: [State] = []
    try database.run(
      """
      SELECT id, job, base, number, fingerprint, CAST(series AS BLOB), CAST(line AS BLOB) FROM delta_states JOIN delta_jobs USING (job)
      WHERE path = ?1 ORDER BY job DESC, id DESC
      """, [.bytes(path.bytes)]
    ) { row in
      states.append(
        State(
          id: row.integer(0), job: row.integer(1), base: row.isNull(2) ? nil : row.integer(2), number: Int(row.integer(3)),
          isUsable: !row.isNull(4), series: String(decoding: row.bytes(5), as: UTF8.self),
          line: String(decoding: row.bytes(6), as: UTF8.self)))
    }
    return states
  }

  /// Returns the file that a delta can build on; nil if there is none, or if what is known contradicts the daemon.
  ///
  /// - Parameters:
  ///   - gfid: the file's identity.
  ///   - number: the number of the delta in the daemon's last record of the path.
  ///   - onAmbiguity: called with the name of another job whose record the daemon may have.
  func base(_ gfid: [UInt8], _ path: VolumePath, number: Int, _ onAmbiguity: (String) -> Void = { _ in }) throws(Failure) -> Base? {
    let states = try states(of: path)
    guard let latest = states.first(where: { chain.contains($0.job) }), latest.isUsable else { return nil }
    guard number == latest.number || isMerged && number < latest.number else { return nil }
    // The daemon's list may have the record of a later job that is not in the chain: of a run at the same time as one of the chain, or of
    // another job with the same FileSet.
    let later = states.prefix { $0.id != latest.id }.filter { $0.job != job && $0.number == latest.number }
    if later.contains(where: { $0.series == series && $0.job < chain[0] }) { return nil }
    if let other = later.first(where: { $0.series != series && $0.line == latest.line }) {
      onAmbiguity(other.series)
      return nil
    }
    if latest.job != chain.first, try !wasSeen(latest.id) { return nil }
    var found: (size: Int, shardSize: Int, fingerprint: [UInt8], job: [UInt8])?
    try database.run(
      """
      SELECT size, shard_size, fingerprint, CAST(jobs.name AS BLOB) FROM delta_states JOIN jobs ON jobs.id = job
      WHERE delta_states.id = ?1 AND gfid = ?2
      """, [.integer(latest.id), .bytes(gfid)]
    ) {
      found = (Int($0.integer(0)), Int($0.integer(1)), $0.bytes(2), $0.bytes(3))
    }
    guard let found, let shards = try shards(of: latest.id, found.shardSize) else { return nil }
    return Base(
      id: latest.id, number: latest.number, size: found.size, shardSize: found.shardSize, fingerprint: found.fingerprint,
      job: String(decoding: found.job, as: UTF8.self), shards: shards)
  }

  /// Returns true if the previous job has found the file of a state. If it has not, the file was away meanwhile: renamed, and renamed back.
  /// (A list of changes names such a file, see ``forget(vanished:)``.)
  private func wasSeen(_ state: Int64) throws(Failure) -> Bool {
    guard let head = chain.first else { return false }
    var was = false
    try database.run("SELECT 1 FROM delta_seen WHERE job = ?1 AND state = ?2", [.integer(head), .integer(state)]) { _ in was = true }
    try database.run("SELECT 1 FROM delta_jobs WHERE job = ?1 AND listed = 1", [.integer(head)]) { _ in was = true }
    return was
  }

  /// Notes that this job looks at the entries of a list of changes only.
  func isListed() throws(Failure) { try database.run("UPDATE delta_jobs SET listed = 1 WHERE job = ?1", [.integer(job)]) }

  /// Notes that this job has found the file of a state unchanged.
  func saw(_ base: Base) { seen.append(base.id) }

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
}
