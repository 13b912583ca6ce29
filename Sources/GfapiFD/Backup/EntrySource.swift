import GfapiJob
import Glibc
import Gluster

/// A source of a backup's entries: a crawl of the volume, or a list of changes. Used on the job's thread; makes its calls through
/// ``JobCalls``.
package protocol EntrySource: AnyObject {
  /// Returns the next step.
  ///
  /// - Parameter filter: is asked about each entry that a listing or a list names, before the volume is asked for more about that entry.
  func next(_ filter: any EntryFilter) throws -> SourceStep
  /// True if the next step does not have to wait for the volume.
  var isReady: Bool { get }
  /// True if the source names entries that a crawl might not reach, because the FileSet excludes a directory above them.
  var reachesPastDirectories: Bool { get }
  /// The source's part of the backup's summary; empty: it has none.
  var summary: String { get }
  /// Answers for entries that the source does not return; nil: the source returns every entry that exists. In an accurate job the daemon
  /// takes every other entry for deleted.
  var unseen: (any UnseenEntries)? { get }
}

extension EntrySource {
  package var reachesPastDirectories: Bool { false }
  package var summary: String { "" }
}

/// Answers for entries that a backup has not returned, when an accurate job looks for deleted entries.
package protocol UnseenEntries: Sendable {
  /// The directory for whose entries it answers.
  var base: VolumePath { get }
  /// Returns true if an entry that the daemon knows, and that the backup has not returned, still exists.
  func keep(_ path: VolumePath) -> Bool
}

/// A kind of source, as the plugin line chooses it.
package protocol SourceKind: Sendable {
  /// Prepares the source while the job connects. Called on a thread that makes the volume's calls.
  ///
  /// - Throws: ``JobEndingError``, ``GlusterError``.
  func prepare(_ tree: SourceTree) throws -> any PreparedSource
}

/// A source that is ready to begin.
package protocol PreparedSource: Sendable {
  /// The source in the job's first line: `by crawl`.
  var words: String { get }
  /// Begins, on the job's thread, when the FileSet's options are known.
  ///
  /// - Throws: ``JobCalls/Ended``.
  func begin(_ job: SourceJob) throws -> any EntrySource
}

/// The tree from which a source takes its entries.
package struct SourceTree: Sendable {
  let volume: Volume
  let base: SourceEntry
  let rules: DirectoryReader.Rules
  /// What an incremental job compares of each entry; empty in a full backup.
  let compared: [String]
}

/// The job for which a source begins.
package struct SourceJob {
  let calls: JobCalls
  unowned let daemon: any Daemon
  let options: FileSetOptions
}

/// Decides which entries a backup takes.
package protocol EntryFilter {
  /// Returns true if an entry is backed up. For a directory the answer also applies to everything in it.
  func takes(_ entry: SourceEntry) -> Bool
  /// Returns true if the content of a directory is backed up.
  func enters(_ directory: SourceEntry) -> Bool
}

/// An entry of the volume that a backup has found.
package struct SourceEntry: Sendable {
  package let path: VolumePath
  package var status: stat
  package let object: Object
  /// True if a list of changes names the entry or its path. Such an entry is backed up whatever its times are.
  package var isNamedByList = false
  /// The directory whose listing returned the handle; nil if the entry was looked up by name.
  var listingDirectory: Object? = nil
  /// True if the size in `status` may be an earlier one: on a dispersed volume, a look-up does not wait for other clients that are about to
  /// write the size of a file to its bricks. (The times are always right.) Whoever reads the file asks for the size: ``EntryFetcher``.
  var sizeIsUncertain = false

  /// Prepares the handle for several calls at the same time, with a look-up by name.
  ///
  /// libgfapi looks up an entry of a listing before its first use. If the first use is a call by handle, libgfapi lets no other call of the
  /// process begin meanwhile (10.3). During a look-up by name other calls can begin. The client answers this look-up itself, because it has
  /// everything from the listing. The client asks the bricks only on a replicated volume.
  ///
  /// - Returns: the volume's error if the copies of the entry are different entries; the handle is of one of them.
  /// - Throws: ``GlusterError``, if the volume is unreachable. A call by handle would report the entry as missing then.
  @discardableResult func makeReady() throws(GlusterError) -> GlusterError? {
    guard let listingDirectory else { return nil }
    do {
      _ = try listingDirectory.lookUp(path.name)
    } catch let error where !error.meansVolumeIsGone {
      if error.errno == .ioError { return error }
      // If another entry has this name now, or none has it, the calls by handle report an error.
    }
    return nil
  }
}

package enum SourceStep: Sendable {
  /// An entry that is not a directory.
  case entry(SourceEntry)
  /// A directory, after its content.
  case directory(SourceEntry)
  /// A directory whose content is left out.
  case directoryAlone(SourceEntry)
  /// An entry that could not be read.
  case failed(SourceFailure)
  /// A path that a list names and that does not exist.
  case vanished(VolumePath)
  /// All entries have been returned.
  case end
}

/// An entry that could not be read, and why.
package struct SourceFailure: Sendable {
  package enum Kind: Sendable {
    /// A directory could not be opened, or not be read to its end.
    case directory
    /// The name exists, but the attributes of its entry could not be read.
    case entry
    /// The path is longer than any file daemon accepts.
    case pathTooLong
  }
  package let kind: Kind
  package let path: VolumePath
  package let error: GlusterError

  /// The maximum length of a path, in bytes, without the NUL at its end: Linux's PATH_MAX.
  package static let longestPath = 4095

  /// Returns the failure for a path that is too long; nil if the path is not too long.
  static func ofLength(_ path: VolumePath) -> SourceFailure? {
    path.bytes.count <= longestPath
      ? nil
      : SourceFailure(
        kind: .pathTooLong, path: path, error: GlusterError(errno: .fileNameTooLong, call: "path", path: path.bytes))
  }
}

extension SourceFailure {
  /// The kind of the record that stands for the entry, and the message without its path.
  var recordKindAndMessage: (SaveRecord.Kind, JobMessage) {
    switch kind {
    case .directory: (.directoryNotOpened, JobMessage("GFD-055", "the directory cannot be read, not all in it is saved: \(error)"))
    case .entry: (.unknown, JobMessage("GFD-050", "cannot be examined: \(error)"))
    case .pathTooLong:
      (.unknown, JobMessage("GFD-056", "a path of \(path.bytes.count) bytes, longer than the \(Self.longestPath) that a daemon takes"))
    }
  }
}
