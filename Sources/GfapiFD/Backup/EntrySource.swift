import Glibc
import Gluster

/// Where the entries of a backup come from: a crawl of the volume, or a list of what has changed. Lives on the job's thread;
/// has its calls made by ``JobCalls``.
package protocol EntrySource: AnyObject {
  /// The next step.
  ///
  /// - Parameter filter: asked for each entry that a listing or a list names, before anything is asked of the volume for it.
  func next(_ filter: any EntryFilter) throws -> SourceStep
  /// Whether the next step would not have to wait for the volume.
  var isReady: Bool { get }
}

/// What a backup takes.
package protocol EntryFilter {
  /// Whether an entry, or a directory with all that is in it, is told at all.
  func takes(_ entry: SourceEntry) -> Bool
  /// Whether the content of a directory is told.
  func enters(_ directory: SourceEntry) -> Bool
}

/// An entry of the volume that a backup has come to.
package struct SourceEntry: Sendable {
  /// Absolute path on the volume, in raw bytes; `/` for the root.
  package let path: [UInt8]
  package let status: stat
  package let object: Object
  /// A list tells that it changed, or that its path did: it is carried whatever its times say.
  package var isListed = false
  /// The directory whose listing gave the handle; nil: it was looked up.
  var listedIn: Object? = nil

  /// Makes the handle ready for calls side by side. libgfapi looks up what a listing gave before its first use; if that use is
  /// a call by handle it lets no other call of the process begin meanwhile (10.3). Looked up by its name it does. The client
  /// answers that itself, for the listing has told it all; only on a volume with copies the bricks are asked.
  ///
  /// - Returns: the volume's answer if the copies of the entry are different entries; the handle is of one of them.
  /// - Throws: ``GlusterError``, if the volume is gone: to a call by handle the entry would be missing then.
  @discardableResult func makeReady() throws -> GlusterError? {
    guard let listedIn else { return nil }
    let slash = UInt8(ascii: "/")
    do {
      _ = try listedIn.lookUp(path[path.index(after: path.lastIndex(of: slash)!)...])
    } catch let error as GlusterError where !error.meansVolumeIsGone {
      if error.errno == .ioError { return error }
      // If something else has this name now, or nothing, the calls by handle will tell.
    }
    return nil
  }
}

package enum SourceStep: Sendable {
  /// An entry that is no directory.
  case entry(SourceEntry)
  /// A directory, after its content.
  case directory(SourceEntry)
  /// A directory whose content is not told.
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
