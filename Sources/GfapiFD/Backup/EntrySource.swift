import Glibc
import Gluster

/// Where the entries of a backup come from: a crawl of the volume, or a list of what has changed. Lives on the job's
/// ``VolumeThread``.
package protocol EntrySource: AnyObject {
  /// The next step.
  func next() throws -> SourceStep
  /// Enters the directory that the last step told as ``SourceStep/directory(_:)``.
  ///
  /// - Returns: the failure, if it cannot be opened: then only its end will be told.
  func enter() -> SourceFailure?
  /// Leaves that directory out, with its end.
  func skip()
}

/// An entry of the volume that a backup has come to.
package struct SourceEntry: Sendable {
  /// Absolute path on the volume, in raw bytes; `/` for the root.
  package let path: [UInt8]
  package let status: stat
  package let object: Object
  /// A list tells that it changed, or that its path did: it is carried whatever its times say.
  package var isListed = false
}

package enum SourceStep: Sendable {
  /// An entry that is no directory.
  case entry(SourceEntry)
  /// A directory, before its content.
  case directory(SourceEntry)
  /// A directory that was not entered, or whose content has all been told.
  case directoryEnd(SourceEntry)
  /// A directory whose content is not to be told.
  case directoryAlone(SourceEntry)
  /// An entry that the volume could not tell anything about.
  case failed(SourceFailure)
  /// A path that a list names and that is not there.
  case vanished([UInt8])
  /// All is told.
  case end
}

/// Something that could not be read.
package struct SourceFailure: Sendable {
  package enum Kind: Sendable {
    /// A directory could not be opened, or not be read to its end.
    case directory
    /// A name was there, its attributes could not be had.
    case entry
    /// The path is longer than any file daemon can take.
    case pathTooLong
  }
  package let kind: Kind
  package let path: [UInt8]
  package let error: GlusterError

  /// The longest path, in bytes, without a NUL: Linux's PATH_MAX.
  package static let longestPath = 4095

  /// The failure of a path that is too long; nil if it is not.
  static func ofLength(_ path: [UInt8]) -> SourceFailure? {
    path.count <= longestPath
      ? nil
      : SourceFailure(
        kind: .pathTooLong, path: path, error: GlusterError(errno: .fileNameTooLong, call: "path", path: path))
  }
}

/// Every call of `Gluster` throws this one type; the compiler does not know.
func asGlusterError(_ error: any Error) -> GlusterError {
  error as? GlusterError ?? GlusterError(errno: .ioError, call: "\(error)")
}
