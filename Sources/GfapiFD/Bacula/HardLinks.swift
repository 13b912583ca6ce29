import GfapiJob
import Glibc
import Gluster

/// Finds additional hard links to files that are in the backup, for a daemon that leaves this to its plugins. Keeps each file until all its
/// names have been passed to the daemon.
struct HardLinks {
  /// The name under which a file was backed up.
  struct First {
    let path: VolumePath
    /// The number of the entry in the job.
    let fileIndex: Int32
  }

  private var backedUp: [ino_t: (first: First, missing: UInt)] = [:]

  /// Returns the first name of a file if `record` is an additional hard link to it.
  mutating func first(of record: SaveRecord) -> First? {
    guard Self.concern(record), let (first, missing) = backedUp[record.status.st_ino] else { return nil }
    backedUp[record.status.st_ino] = missing > 1 ? (first, missing - 1) : nil
    return first
  }

  /// Remembers the name under which a file was backed up.
  mutating func remember(_ record: SaveRecord, fileIndex: Int32) {
    guard Self.concern(record) else { return }
    backedUp[record.status.st_ino] = (
      First(path: record.path, fileIndex: fileIndex), UInt(record.status.st_nlink) - 1
    )
  }

  /// Returns true if `record` is one of several hard links to a file.
  static func concern(_ record: SaveRecord) -> Bool {
    switch record.kind {
    case .regular, .special, .symbolicLink: record.status.st_nlink > 1
    default: false
    }
  }
}
