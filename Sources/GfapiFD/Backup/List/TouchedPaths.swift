import GfapiJob
import Gluster

/// The paths that a list names, each once and in order, with marks for each path. They are in a database on disk, so that memory does not
/// grow with the list. SQLite keeps the database in a nameless file in `$SQLITE_TMPDIR`, `$TMPDIR` or `/var/tmp`, which is deleted with
/// this object.
///
/// The volume's thread fills and reads the database. The daemon's thread reads it after the end of the backup.
package final class TouchedPaths: @unchecked Sendable {
  // SQLite's own mutex guards the database (its default, "serialized").

  /// What is known about a path.
  package struct Marks: OptionSet, Sendable {
    package let rawValue: Int64
    package init(rawValue: Int64) { self.rawValue = rawValue }

    /// The list says that the path exists: NEW, MODIFY, the new name of a RENAME.
    package static let listed = Marks(rawValue: 1)
    /// The path is listed as NEW or as the new name of a RENAME: everything below it has a new path.
    package static let new = Marks(rawValue: 2)
    /// The list says that the path was removed: DELETE, the old name of a RENAME. An entry that has this path now is another one.
    package static let removed = Marks(rawValue: 4)
    /// Something in the directory was created, removed or renamed.
    package static let parent = Marks(rawValue: 8)
    /// The path comes from one of several ways to read a line.
    package static let guess = Marks(rawValue: 16)
    /// A directory that is reported alone, without its content.
    package static let pending = Marks(rawValue: 32)
    /// A directory that may contain entries that the list names wrongly.
    package static let suspect = Marks(rawValue: 64)
    /// The entry may have changed. It is backed up only if its times, or other signs, show that it has changed.
    package static let look = Marks(rawValue: 128)
    /// The user has named the path: an entry that does not exist is an error.
    package static let named = Marks(rawValue: 256)
  }

  package typealias Row = (path: VolumePath, marks: Marks)

  /// The database failed, for instance because the disk for temporary files is full.
  package struct Failure: JobEndingError, CustomStringConvertible {
    package let description: String
    package var message: JobMessage {
      JobMessage("GFD-034", "the list cannot be kept: \(description): is there room in $TMPDIR, or else /var/tmp?")
    }
  }

  private let database: Database
  /// True if no path has been added.
  package private(set) var isEmpty = true

  package init() throws(Failure) {
    database = try asFailure { () throws(Database.Failure) in
      // An empty name makes a temporary database.
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

  /// Adds a path, or adds marks to a path that is in the database already.
  package func add(_ path: VolumePath, _ marks: Marks) throws(Failure) {
    isEmpty = false
    try run(
      "INSERT INTO touched VALUES (?1, ?2) ON CONFLICT (path) DO UPDATE SET marks = marks | excluded.marks", path.bytes,
      marks.rawValue)
  }

  /// Returns the marks of a path; nil if the path is not in the database.
  package func marks(of path: VolumePath) throws(Failure) -> Marks? {
    var found: Marks?
    try run("SELECT marks FROM touched WHERE path = ?1", path.bytes) { found = Marks(rawValue: $0.integer(0)) }
    return found
  }

  /// Returns the paths after `path`, in the order of their bytes.
  ///
  /// - Parameter path: nil to begin with the first.
  package func rows(after path: VolumePath?, limit: Int) throws(Failure) -> [Row] {
    try rows("SELECT path, marks FROM touched WHERE path > ?1 ORDER BY path LIMIT ?2", path?.bytes ?? [], limit)
  }

  /// Returns the directories before `path` that are reported alone, the last one first. So each directory comes after its content.
  ///
  /// - Parameter path: nil to begin at the end.
  package func pendingDirectories(before path: VolumePath?, limit: Int) throws(Failure) -> [Row] {
    let pending = Marks.pending.rawValue
    return try rows(
      "SELECT path, marks FROM touched WHERE path < ?1 AND marks & \(pending) ORDER BY path DESC LIMIT ?2",
      // No path begins with this byte.
      path?.bytes ?? [0xff], limit)
  }

  /// Returns the directories after `path` that may contain entries that the list names wrongly.
  ///
  /// - Parameter path: nil to begin with the first.
  package func suspects(after path: VolumePath?, limit: Int) throws(Failure) -> [Row] {
    let suspect = Marks.suspect.rawValue
    return try rows(
      "SELECT path, marks FROM touched WHERE path > ?1 AND marks & \(suspect) ORDER BY path LIMIT ?2", path?.bytes ?? [], limit)
  }

  private func rows(_ query: String, _ path: [UInt8], _ limit: Int) throws(Failure) -> [Row] {
    var rows: [Row] = []
    try run(query, path, Int64(limit)) { rows.append((VolumePath(normalized: $0.bytes(0)), Marks(rawValue: $0.integer(1)))) }
    return rows
  }

  // MARK: Identities

  /// Adds the identity of an entry that is listed without its path.
  ///
  /// - Parameter hasChanged: true if the entry has changed; false if it may have changed.
  package func addIdentity(_ gfid: [UInt8], hasChanged: Bool) throws(Failure) {
    try run(
      "INSERT INTO identities VALUES (?1, ?2) ON CONFLICT (gfid) DO UPDATE SET listed = max(listed, excluded.listed)", gfid,
      hasChanged ? 1 : 0)
  }

  /// Returns the identities after `gfid`, in order.
  package func identities(after gfid: [UInt8], limit: Int) throws(Failure) -> [(gfid: [UInt8], hasChanged: Bool)] {
    var found: [(gfid: [UInt8], hasChanged: Bool)] = []
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
