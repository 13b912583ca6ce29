/// The paths that a list names, each once, in order, and what is known of each: in a database of its own on disk, so that
/// memory does not grow with the list. SQLite keeps it in a nameless file in `$SQLITE_TMPDIR`, `$TMPDIR` or `/var/tmp`,
/// which is gone with this object.
///
/// Filled and read by the volume's thread, and asked by the daemon's when the backup has ended.
package final class TouchedPaths: @unchecked Sendable {
  // SQLite's own mutex guards the database (its default, "serialized").

  /// What is known of a path.
  package struct Marks: OptionSet, Sendable {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }

    /// The list says that it is there: NEW, MODIFY, the new name of a RENAME.
    package static let listed = Marks(rawValue: 1)
    /// As NEW or as the new name of a RENAME: whatever is below it has a new path.
    package static let new = Marks(rawValue: 2)
    /// The list says that it went away: DELETE, the old name of a RENAME. What is there now is something else.
    package static let removed = Marks(rawValue: 4)
    /// Something in it was created, removed or renamed.
    package static let parent = Marks(rawValue: 8)
    /// One of several ways to read a line.
    package static let guess = Marks(rawValue: 16)
    /// A directory that is told alone, without what is in it.
    package static let pending = Marks(rawValue: 32)
    /// A directory that may hold what the list names wrongly.
    package static let suspect = Marks(rawValue: 64)
    /// It may have changed: told if it has, by its times and what else tells.
    package static let look = Marks(rawValue: 128)
  }

  package typealias Row = (path: [UInt8], marks: Marks)

  /// The database failed: the disk of temporary files is full, for instance.
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  private let database: Database
  /// Whether there is any path.
  package private(set) var isEmpty = true

  package init() throws(Failure) {
    database = try asFailure { () throws(Database.Failure) in
      // No name: a temporary database.
      let database = try Database("")
      try database.execute(
        "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA locking_mode = EXCLUSIVE",
        "PRAGMA cache_size = -8192", "PRAGMA temp_store = FILE",
        "CREATE TABLE touched (path BLOB PRIMARY KEY, marks INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE TABLE identities (gfid BLOB PRIMARY KEY, listed INTEGER NOT NULL) WITHOUT ROWID", "BEGIN")
      return database
    }
  }

  // MARK: Paths

  /// Adds a path, or marks to one that is there.
  package func add(_ path: [UInt8], _ marks: Marks) throws(Failure) {
    isEmpty = false
    try run(
      "INSERT INTO touched VALUES (?1, ?2) ON CONFLICT (path) DO UPDATE SET marks = marks | excluded.marks", path,
      marks.rawValue)
  }

  /// The marks of a path; nil if it is not there.
  package func marks(of path: some Collection<UInt8>) throws(Failure) -> Marks? {
    var found: Marks?
    try run("SELECT marks FROM touched WHERE path = ?1", Array(path)) { found = Marks(rawValue: $0.integer(0)) }
    return found
  }

  /// The paths after `path`, in the order of their bytes.
  package func rows(after path: [UInt8], limit: Int) throws(Failure) -> [Row] {
    try rows("SELECT path, marks FROM touched WHERE path > ?1 ORDER BY path LIMIT ?2", path, limit)
  }

  /// The directories before `path` whose records are to be told, the last one first: each after what is in it.
  ///
  /// - Parameter path: nil: from the end.
  package func pendingDirectories(before path: [UInt8]?, limit: Int) throws(Failure) -> [Row] {
    let pending = Marks.pending.rawValue
    return try rows(
      "SELECT path, marks FROM touched WHERE path < ?1 AND marks & \(pending) ORDER BY path DESC LIMIT ?2",
      // No path has this byte at its beginning.
      path ?? [0xff], limit)
  }

  /// The directories after `path` that may hold what the list names wrongly.
  package func suspects(after path: [UInt8], limit: Int) throws(Failure) -> [Row] {
    let suspect = Marks.suspect.rawValue
    return try rows(
      "SELECT path, marks FROM touched WHERE path > ?1 AND marks & \(suspect) ORDER BY path LIMIT ?2", path, limit)
  }

  private func rows(_ query: String, _ path: [UInt8], _ limit: Int) throws(Failure) -> [Row] {
    var rows: [Row] = []
    try run(query, path, Int64(limit)) { rows.append(($0.bytes(0), Marks(rawValue: $0.integer(1)))) }
    return rows
  }

  // MARK: Identities

  /// Adds the identity of an entry that is listed without its path.
  ///
  /// - Parameter isListed: it has changed; else it may have.
  package func addIdentity(_ gfid: [UInt8], isListed: Bool) throws(Failure) {
    try run(
      "INSERT INTO identities VALUES (?1, ?2) ON CONFLICT (gfid) DO UPDATE SET listed = max(listed, excluded.listed)", gfid,
      isListed ? 1 : 0)
  }

  /// The identities after `gfid`, in order.
  package func identities(after gfid: [UInt8], limit: Int) throws(Failure) -> [(gfid: [UInt8], isListed: Bool)] {
    var found: [(gfid: [UInt8], isListed: Bool)] = []
    try run("SELECT gfid, listed FROM identities WHERE gfid > ?1 ORDER BY gfid LIMIT ?2", gfid, Int64(limit)) {
      found.append(($0.bytes(0), $0.integer(1) != 0))
    }
    return found
  }

  private func run(
    _ text: String, _ blob: [UInt8], _ number: Int64? = nil, _ each: (Database.Row) -> Void = { _ in }
  ) throws(Failure) {
    try asFailure { () throws(Database.Failure) in
      try database.run(text, [.bytes(blob)] + (number.map { [.integer($0)] } ?? []), each)
    }
  }
}

private func asFailure<T>(_ body: () throws(Database.Failure) -> T) throws(TouchedPaths.Failure) -> T {
  do { return try body() } catch { throw TouchedPaths.Failure(description: "its temporary database: \(error)") }
}
