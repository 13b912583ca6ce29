import CSQLite
import Glibc

/// A SQLite database, with the functions that this module needs. SQLite's own mutex guards it (its default, "serialized"), so several
/// threads may use it.
package final class Database: @unchecked Sendable {
  /// The error of a call, for instance because the disk is full or the file is damaged.
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
    /// True if the file is not a database, or is incomplete.
    package var isDamage = false
  }

  /// A value that is bound to a statement.
  package enum Value: Sendable {
    case bytes([UInt8])
    case integer(Int64)
    case text(String)
    case null
  }

  /// A row of a result. It is valid until the next row.
  package struct Row {
    fileprivate let statement: OpaquePointer

    package func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }

    package func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }

    package func bytes(_ column: Int32) -> [UInt8] {
      let count = Int(sqlite3_column_bytes(statement, column))
      guard count > 0, let start = sqlite3_column_blob(statement, column) else { return [] }
      return Array(UnsafeRawBufferPointer(start: start, count: count))
    }
  }

  private let handle: OpaquePointer
  private var statements: [String: OpaquePointer] = [:]

  /// Opens a database, and creates it if it is missing.
  ///
  /// - Parameters:
  ///   - path: the path of the file. If it is empty, the database is temporary and has no name. It is in `$SQLITE_TMPDIR`, `$TMPDIR` or
  ///     `/var/tmp`, and is deleted with this object.
  ///   - wait: how long to wait while another process or thread writes, in milliseconds.
  package init(_ path: String, wait: Int32 = 0) throws(Failure) {
    var handle: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW
    let code = sqlite3_open_v2(path, &handle, flags, nil)
    guard code == SQLITE_OK, let handle else {
      defer { sqlite3_close_v2(handle) }
      throw handle.map(Self.failure) ?? Failure(description: "no memory")
    }
    self.handle = handle
    sqlite3_busy_timeout(handle, wait)
  }

  deinit {
    for statement in statements.values { sqlite3_finalize(statement) }
    sqlite3_close_v2(handle)
  }

  /// Runs commands that have no values and no result.
  package func execute(_ commands: String...) throws(Failure) {
    for command in commands {
      guard sqlite3_exec(handle, command, nil, nil, nil) == SQLITE_OK else { throw failure() }
    }
  }

  /// Runs one statement. The prepared statement is kept for the next time.
  ///
  /// - Parameters:
  ///   - text: the statement, with `?1`, `?2` … for the values.
  ///   - each: called for each row of the result.
  package func run(_ text: String, _ values: [Value], _ each: (Row) -> Void = { _ in }) throws(Failure) {
    let statement = try prepared(text)
    defer { sqlite3_reset(statement) }
    for (index, value) in values.enumerated() {
      let number = Int32(index + 1)
      let bound =
        switch value {
        case .integer(let integer): sqlite3_bind_int64(statement, number, integer)
        case .text(let text): sqlite3_bind_text(statement, number, text, -1, csqlite_transient())
        case .null: sqlite3_bind_null(statement, number)
        // An empty array has no address, and SQLite takes a missing address for NULL.
        case .bytes(let bytes) where bytes.isEmpty: sqlite3_bind_zeroblob(statement, number, 0)
        case .bytes(let bytes): sqlite3_bind_blob(statement, number, bytes, Int32(bytes.count), csqlite_transient())
        }
      guard bound == SQLITE_OK else { throw failure() }
    }
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_ROW: each(Row(statement: statement))
      case SQLITE_DONE: return
      default: throw failure()
      }
    }
  }

  private func prepared(_ text: String) throws(Failure) -> OpaquePointer {
    if let statement = statements[text] { return statement }
    var statement: OpaquePointer?
    guard sqlite3_prepare_v2(handle, text, -1, &statement, nil) == SQLITE_OK, let statement else { throw failure() }
    statements[text] = statement
    return statement
  }

  private func failure() -> Failure { Self.failure(handle) }

  private static func failure(_ handle: OpaquePointer) -> Failure {
    let code = sqlite3_errcode(handle) & 0xff
    return Failure(
      description: String(cString: sqlite3_errmsg(handle)), isDamage: code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
  }
}
