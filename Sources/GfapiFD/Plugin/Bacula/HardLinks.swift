import Glibc

/// Finds the further names of files that a backup has carried, for a daemon that leaves this to its plugins. Holds the files
/// of which not every name has been told yet.
struct HardLinks {
  /// The name under which a file was carried.
  struct First {
    let path: [UInt8]
    /// Its number in the job.
    let fileIndex: Int32
  }

  private var carried: [ino_t: (first: First, missing: UInt)] = [:]

  /// The first name of the file that `record` is a further name of.
  mutating func first(of record: SaveRecord) -> First? {
    guard Self.concern(record), let (first, missing) = carried[record.status.st_ino] else { return nil }
    carried[record.status.st_ino] = missing > 1 ? (first, missing - 1) : nil
    return first
  }

  /// Remembers the name under which a file was carried.
  mutating func remember(_ record: SaveRecord, fileIndex: Int32) {
    guard Self.concern(record) else { return }
    carried[record.status.st_ino] = (
      First(path: record.path, fileIndex: fileIndex), UInt(record.status.st_nlink) - 1
    )
  }

  /// Whether `record` is one of several names.
  static func concern(_ record: SaveRecord) -> Bool {
    switch record.kind {
    case .regular, .special, .symbolicLink: record.status.st_nlink > 1
    default: false
    }
  }
}
