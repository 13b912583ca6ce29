import GfapiDefinition
import Glibc
import Gluster

/// The calls that the plugin makes to the file daemon, independent of the daemon's family.
///
/// One adapter for each family implements them with the daemon's callbacks. Only the job's own thread may make these calls.
package protocol Daemon: AnyObject {
  /// Sends one line to the job's log. For messages, use ``report(_:_:)`` and ``inform(_:)``.
  func send(_ severity: Severity, _ text: String)
  /// Returns true if the FileSet's options and exclusions select an entry.
  ///
  /// The daemon also switches to the options of the part of the FileSet that decided. So the last call before a record must be for that
  /// record.
  func accepts(_ path: VolumePath, _ status: stat) -> Bool
  /// Compares an entry with `since`, or with the daemon's list in an accurate job.
  func compare(_ record: SaveRecord, since: Int) -> Comparison
  /// True if the job is accurate: the daemon compares the entries with a list of those that it has, and marks deleted ones.
  var isAccurate: Bool { get }
  /// The daemon's unique name of the job; nil: the daemon does not return it.
  var jobName: String? { get }
  /// The unique name of the job that this one is compared with; nil: there is none, or the daemon does not return it.
  var previousJobName: String? { get }
  /// The daemon's working directory; nil: the daemon does not return it.
  var workingDirectory: String? { get }
  /// True if the daemon considers the job cancelled.
  var jobIsCancelled: Bool { get }
}

extension Daemon {
  /// Reports a message that the administrator may have to act on.
  package func report(_ severity: Severity, _ message: JobMessage) { send(severity, "\(message)") }

  /// Reports a message with a code that the administrator may have to act on.
  ///
  /// - Parameter code: see ``JobMessage/code``.
  package func report(_ severity: Severity, _ code: String, _ text: String) { report(severity, JobMessage(code, text)) }

  /// Reports progress or a result. No action is needed.
  package func inform(_ text: String) { send(.info, text) }
}

/// The daemon's answer about an entry.
package struct Comparison: Sendable {
  /// True if the entry is to be backed up: it changed after the since time, or it differs from the daemon's list.
  package let hasChanged: Bool
  /// The number of the delta in the last record of the entry's name, 0 for a whole entry; nil: the job is not accurate, or its list does not
  /// have the name.
  package let number: Int?

  package init(hasChanged: Bool, number: Int?) { (self.hasChanged, self.number) = (hasChanged, number) }
}

/// A message for the job's log that the administrator may have to act on.
package struct JobMessage: Sendable, CustomStringConvertible {
  /// `GFD-` and three digits. docs/troubleshooting.md explains the message under this code. A code is never reused for another message.
  package let code: String
  package let text: String

  package init(_ code: String, _ text: String) { (self.code, self.text) = (code, text) }

  package var description: String { "\(code) \(text)" }

  /// Returns the message with the path of an entry in front.
  package func about(_ path: VolumePath) -> JobMessage { about(path.bytes) }

  /// Returns the message with the name of an entry in front.
  ///
  /// - Parameter name: raw bytes, such as a path as a daemon passes it.
  package func about(_ name: some Collection<UInt8>) -> JobMessage { JobMessage(code, "\(printable(name)): \(text)") }
}

/// An error that ends a job with a fatal message.
package protocol JobEndingError: Error {
  var message: JobMessage { get }
}

/// The severity of a message, in descending order.
package enum Severity: Sendable {
  /// Ends the job.
  case fatal
  /// Counts as an error of the job: an entry, or a part of it, was not saved or restored.
  case error
  /// For an entry that was not saved. The daemon counts the entry itself, from the type of its record.
  case notSaved
  case warning
  case info
}

/// An entry in the form in which the daemon stores it.
package struct SaveRecord: Sendable {
  package enum Kind: Sendable {
    case regular, directory, symbolicLink, special
    /// A directory whose content the FileSet's options exclude.
    case directoryNotEntered
    /// A directory that stands for an incremental backup in which nothing changed.
    case directoryUnchanged
    /// The entry could not be examined, read, or opened. The daemon counts it as an error.
    case unknown, unreadable, directoryNotOpened
  }

  package var kind: Kind
  package let path: VolumePath
  package var linkTarget: [UInt8] = []
  package var status: stat
  /// The number of the record on which this one builds, 0 for a whole file; nil: the record is not a delta.
  package var deltaBase: Int?

  package init(kind: Kind, path: VolumePath, status: stat) { (self.kind, self.path, self.status) = (kind, path, status) }

  package var isDirectory: Bool { status.isDirectory }
  /// True if an entry is stored; false if the record only reports an unchanged or failed entry.
  package var isSaved: Bool {
    switch kind {
    case .regular, .directory, .symbolicLink, .special, .directoryNotEntered: true
    case .directoryUnchanged, .unknown, .unreadable, .directoryNotOpened: false
    }
  }
  /// True if the daemon shall ask for data.
  package var hasData: Bool { kind == .regular && status.st_size > 0 }
}
