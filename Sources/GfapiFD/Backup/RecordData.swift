import GfapiAttributes
import GfapiJob
import Glibc
import Gluster

// The data and attributes of the current record.
extension BackupRun {
  /// Opens the file of the current record.
  ///
  /// - Throws: ``GlusterError``, or ``JobCalls/Ended``.
  package func openFile() throws {
    guard let current else { throw GlusterError(errno: .invalidArgument, call: "open") }
    try countingUnread(current) { try current.open() }
  }

  /// Copies the next bytes of the open file into `buffer`: see ``CurrentRecord/read(into:)``.
  package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    guard let current else { throw GlusterError(errno: .badFileDescriptor, call: "read") }
    let read = try countingUnread(current) { try current.read(into: buffer) }
    found.bytes += read.bytes
    found.holes += read.holes
    return read.bytes
  }

  /// Closes the file of the current record, if it is open.
  package func closeFile() throws {
    if let warning = try failures.orEnd({ try current?.close() }) { daemon.report(.warning, warning) }
  }

  /// Makes a call for the data of the current record. If they cannot be read, the entry counts as failed instead of backed up.
  private func countingUnread<T>(_ current: CurrentRecord, _ body: () throws -> T) throws -> T {
    let wasUnread = current.isUnread
    do { return try failures.orEnd(body) } catch let error as GlusterError {
      if current.isUnread, !wasUnread {
        // An entry with an attribute that could not be read has been counted as failed already.
        if current.details.problems.isEmpty { failures.count += 1 }
        found.countBackedUp(current.record.kind, by: -1)
      }
      try failures.endIfGone(error)
      throw error
    }
  }

  /// The ACL stream of the current record; empty if the entry has no ACL.
  package var acls: [UInt8] { current?.details.acls ?? [] }

  /// Returns the next extended attribute of the current record, and whether another follows.
  package func nextExtendedAttribute() -> (attribute: ExtendedAttribute, more: Bool)? { current?.nextExtendedAttribute() }
}
