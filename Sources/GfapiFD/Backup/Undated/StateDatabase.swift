import Glibc

/// The fingerprints that earlier jobs saw, in one file for each volume.
///
/// Tables:
///
/// - `jobs`: one row for each job, in the order in which the jobs began. `name` is the daemon's unique name of the job; NULL if the job has
///   none or has not ended. `started` is in seconds since 1970, by this host's clock. `complete` is 1 if everything that the job saw is in
///   `entries`.
/// - `entries`: one row for each part that an entry has, or had. `gfid` is the entry's identity on the volume. `part` is the number of a
///   ``Fingerprint/Part``. `digest` is the digest of the part: 0 if the entry does not have the part any more, NULL if the digest is
///   unknown. `seen` is the number of the first job that saw this digest. If other jobs had begun since that one, `seen` is the number
///   after theirs.
///
/// An entry has not changed for a job if its digests are those in `entries`, and if they were seen no later than the job that the daemon
/// compares with. So a differential backup finds the changes that an incremental backup before it found. The changes that a failed job saw
/// are found again.
final class StateDatabase {
  typealias Failure = Database.Failure

  /// What is known about one part of an entry.
  struct Known {
    let digest: Fingerprint.Digest
    let seen: Int64
  }

  /// `PRAGMA user_version`: the version of the tables.
  private static let version: Int64 = 1
  /// How long to wait while another job writes, in milliseconds.
  private static let wait: Int32 = 30_000
  /// The application ID `gfap`, which file(1) can show.
  private static let application: Int64 = 0x6766_6170

  let database: Database
  private let path: String

  /// Returns the path of a volume's database.
  static func path(directory: String, volume: String) -> String { "\(directory)/\(volume).db" }

  /// Opens the database of a volume, and creates it if it is missing.
  ///
  /// - Parameters:
  ///   - directory: the directory of the databases. It is created if it is missing, for this user alone.
  ///   - volume: the volume's identity, as text.
  init(directory: String, volume: String) throws(Failure) {
    if mkdir(directory, 0o700) != 0, errno != EEXIST {
      throw Failure(description: "\(directory): \(String(cString: strerror(errno)))")
    }
    // SQLITE_OPEN_NOFOLLOW refuses a symbolic link anywhere in the path. So resolve the links in the directory's path first.
    guard let real = realpath(directory, nil) else {
      throw Failure(description: "\(directory): \(String(cString: strerror(errno)))")
    }
    defer { free(real) }
    path = Self.path(directory: String(cString: real), volume: volume)
    database = try Database(path, wait: Self.wait)
    chmod(path, 0o600)
    try database.execute("PRAGMA cache_size = -8192")
    if try version() == 0 { try create() }
    let version = try version()
    guard version == Self.version else {
      throw Failure(description: "its format is version \(version), this release knows \(Self.version)", isDamage: true)
    }
  }

  private func version() throws(Failure) -> Int64 {
    var version: Int64 = 0
    try database.run("PRAGMA user_version", []) { version = $0.integer(0) }
    return version
  }

  private func create() throws(Failure) {
    try inTransaction { () throws(Failure) in
      // Another job may have created the tables meanwhile.
      guard try version() == 0 else { return }
      try database.execute(
        "CREATE TABLE jobs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, started INTEGER NOT NULL, complete INTEGER NOT NULL)",
        "CREATE TABLE entries (gfid BLOB NOT NULL, part INTEGER NOT NULL, digest INTEGER, seen INTEGER NOT NULL, "
          + "PRIMARY KEY (gfid, part)) WITHOUT ROWID",
        "PRAGMA application_id = \(Self.application)", "PRAGMA user_version = \(Self.version)")
    }
  }

  func inTransaction(_ body: () throws(Failure) -> Void) throws(Failure) {
    try database.execute("BEGIN IMMEDIATE")
    do {
      try body()
      try database.execute("COMMIT")
    } catch {
      try? database.execute("ROLLBACK")
      throw error
    }
  }

  // MARK: Jobs

  /// Adds a job and returns its number. A job of several plugin lines keeps its first number.
  func begin(job name: String?, now: Int) throws(Failure) -> Int64 {
    var number: Int64?
    if let name {
      try database.run("SELECT id FROM jobs WHERE name = ?1", [.text(name)]) { number = $0.integer(0) }
    }
    if let number {
      do {
        try database.run("UPDATE jobs SET complete = 0, name = NULL WHERE id = ?1", [.integer(number)])
      } catch {
        // The job would stay complete.
        remove()
        throw error
      }
      return number
    }
    try database.run("INSERT INTO jobs (started, complete) VALUES (?1, 0)", [.integer(Int64(now))])
    try database.run("SELECT last_insert_rowid()", []) { number = $0.integer(0) }
    return number ?? 0
  }

  /// Records that everything that a job saw has been saved. Later jobs may be compared with this job.
  func complete(job number: Int64, _ name: String?) throws(Failure) {
    try database.run(
      "UPDATE jobs SET complete = 1, name = ?2 WHERE id = ?1", [.integer(number), name.map { .text($0) } ?? .null])
  }

  /// Returns the number of the job that the daemon compares with; nil if this database does not have what that job saw.
  ///
  /// - Parameters:
  ///   - name: the unique name of that job, if the daemon reports it. A job that the daemon has put together from other jobs has another
  ///     name and the time of those jobs.
  ///   - since: when that job began, in seconds since 1970.
  func number(ofJob name: String?, since: Int) throws(Failure) -> Int64? {
    var found: (number: Int64, isComplete: Bool)?
    func find(_ query: String, _ values: [Database.Value]) throws(Failure) {
      try database.run(query, values) { found = ($0.integer(0), $0.integer(1) != 0) }
    }
    if let name {
      try find("SELECT id, complete FROM jobs WHERE name = ?1", [.text(name)])
      if found == nil {
        let times = [Database.Value.integer(Int64(since)), .integer(Int64(since + Self.longestWait))]
        try find("SELECT id, complete FROM jobs WHERE started BETWEEN ?1 AND ?2 ORDER BY id LIMIT 1", times)
      }
    } else {
      try find("SELECT id, complete FROM jobs WHERE started <= ?1 ORDER BY id DESC LIMIT 1", [.integer(Int64(since))])
    }
    return found.flatMap { $0.isComplete ? $0.number : nil }
  }

  /// The maximum time from the start of a job by the director to its beginning on this host, in seconds.
  static let longestWait = 300

  // MARK: Entries

  /// Returns what is known about an entry.
  func known(_ gfid: [UInt8]) throws(Failure) -> [Fingerprint.Part: Known] {
    var known: [Fingerprint.Part: Known] = [:]
    try database.run("SELECT part, digest, seen FROM entries WHERE gfid = ?1", [.bytes(gfid)]) { row in
      guard let part = Fingerprint.Part(rawValue: row.integer(0)) else { return }
      let digest: Fingerprint.Digest = row.isNull(1) ? .unknown : row.integer(1) == 0 ? .nothing : .value(row.integer(1))
      known[part] = Known(digest: digest, seen: row.integer(2))
    }
    return known
  }

  /// Saves what a job saw of the entries that it backed up.
  ///
  /// - Parameter job: the number of the job. If another job has written a different digest since this job began, the digest becomes
  ///   unknown, because the order of the two cannot be determined.
  func save(_ entries: [(gfid: [UInt8], fingerprint: Fingerprint)], job: Int64) throws(Failure) {
    try inTransaction { () throws(Failure) in
      // Jobs that have begun since this job may have looked at the entries before this job did. So the digests count as seen after those
      // jobs.
      var seen = job
      try database.run("SELECT max(id) FROM jobs", []) { if $0.integer(0) > job { seen = $0.integer(0) + 1 } }
      for (gfid, fingerprint) in entries {
        let known = try known(gfid)
        for (part, digest) in fingerprint.digests {
          guard let row = known[part] else {
            // A part that the entry does not have, and never had, needs no row.
            if digest != .nothing { try write(gfid, part, digest, seen) }
            continue
          }
          if row.digest != digest { try write(gfid, part, row.seen >= job ? .unknown : digest, seen) }
        }
      }
    }
  }

  private func write(_ gfid: [UInt8], _ part: Fingerprint.Part, _ digest: Fingerprint.Digest, _ seen: Int64) throws(Failure) {
    let value: Database.Value =
      switch digest {
      case .nothing: .integer(0)
      case .unknown: .null
      case .value(let value): .integer(value)
      }
    try database.run(
      "INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3, ?4)", [.bytes(gfid), .integer(part.rawValue), value, .integer(seen)])
  }

  // MARK: Removal

  /// Removes the files of the database. This object continues with its open file.
  func remove() { Self.remove(path) }

  static func remove(_ path: String) {
    unlink(path)
    unlink("\(path)-journal")
  }
}
