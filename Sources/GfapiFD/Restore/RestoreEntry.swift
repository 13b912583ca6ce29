import Glibc
import Gluster

/// One entry that a daemon wants restored.
package struct RestoreEntry: Sendable {
  package enum Kind: Sendable {
    /// What `status` says.
    case own
    /// A further name of the file at `link`.
    case hardLink
  }

  package enum Replace: Sendable {
    case always, never
    /// If the entry of the backup is newer than the one on the volume, or older.
    case ifNewer, ifOlder
  }

  package var kind: Kind
  /// Absolute path on the volume, in raw bytes.
  package var path: [UInt8]
  /// A symbolic link's target, or the path of the first name of a hard link.
  package var link: [UInt8]
  package var status: stat
  package var replace: Replace

  package init(kind: Kind, path: [UInt8], link: [UInt8], status: stat, replace: Replace) {
    self.kind = kind
    self.path = path
    self.link = link
    self.status = status
    self.replace = replace
  }
}

/// Why an entry could not be restored, or not all of it: words for a message that already names the path.
package struct RestoreProblem: Error, CustomStringConvertible {
  package let description: String
  /// What the volume said, if that is the reason.
  package let cause: GlusterError?

  package init(_ description: String) { (self.description, cause) = (description, nil) }

  /// - Parameter consequence: what comes of it.
  package init(_ what: String, _ cause: GlusterError, _ consequence: String? = nil) {
    description = "\(what): \(cause)" + (consequence.map { ": \($0)" } ?? "")
    self.cause = cause
  }
}
