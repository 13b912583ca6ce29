import Glibc

/// What the plugin asks of the file daemon, whichever family it is of. One adapter per family implements it with the
/// daemon's callbacks. Everything here belongs to the job's own thread.
package protocol Daemon: AnyObject {
  /// Sends one job message; `text` may have several lines.
  func tell(_ severity: Severity, _ text: String)
  /// Whether the FileSet's options and exclusions take an entry. The daemon also takes on the options of the part of the
  /// FileSet that decided, so the last call before a record is for that record.
  func accepts(_ path: [UInt8], _ status: stat) -> Bool
  /// Whether an entry is to be backed up: it changed after `since`, or against the daemon's list of what it has.
  func hasChanged(_ record: SaveRecord, since: Int) -> Bool
  /// Whether the job is accurate: the daemon compares with a list of what it has, and marks what is gone.
  var isAccurate: Bool { get }
  /// The daemon's unique name of the job; nil: it does not tell.
  var jobName: String? { get }
  /// The unique name of the job that this one is compared with; nil: there is none, or the daemon does not tell.
  var previousJobName: String? { get }
  /// The daemon's working directory; nil: it does not tell.
  var workingDirectory: String? { get }
  /// Whether the job has been cancelled, as the daemon sees it.
  var jobIsCancelled: Bool { get }
}

/// How bad a message is, from what ends the job to what only tells.
package enum Severity: Sendable {
  /// Ends the job.
  case fatal
  /// Counts as an error of the job: an entry, or a part of it, is missing.
  case error
  /// The daemon counts the entry itself, from the type of its record.
  case notSaved
  case warning
  case info
}

/// One entry as the daemon shall store it.
package struct SaveRecord: Sendable {
  package enum Kind: Sendable {
    case regular, directory, symbolicLink, special
    /// A directory whose content is left out, by the FileSet's option.
    case directoryNotEntered
    /// Stands for an incremental backup in which nothing changed.
    case directoryUnchanged
    /// Could not be examined, read, opened: the daemon counts it as an error.
    case unknown, unreadable, directoryNotOpened
  }

  package var kind: Kind
  package let path: [UInt8]
  package var linkTarget: [UInt8] = []
  package let status: stat

  package var isDirectory: Bool { status.isDirectory }
  /// Whether an entry is stored, and not only that one failed.
  package var isSaved: Bool {
    switch kind {
    case .regular, .directory, .symbolicLink, .special, .directoryNotEntered: true
    case .directoryUnchanged, .unknown, .unreadable, .directoryNotOpened: false
    }
  }
  /// Whether the daemon shall ask for data.
  package var hasData: Bool { kind == .regular && status.st_size > 0 }
}
