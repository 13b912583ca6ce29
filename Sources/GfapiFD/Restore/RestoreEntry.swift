import Glibc
import Gluster

/// An entry that the daemon restores.
package struct RestoreEntry: Sendable {
  package enum Kind: Sendable {
    /// The entry itself, of the type in `status`.
    case own
    /// An additional hard link to the file at `link`.
    case hardLink
  }

  package enum Replace: Sendable {
    case always, never
    /// `ifNewer`: only if the entry in the backup is newer than the one on the volume. `ifOlder`: only if it is older.
    case ifNewer, ifOlder
  }

  package var kind: Kind
  /// Absolute path on the volume, in raw bytes.
  package var path: [UInt8]
  /// The target of a symbolic link, or the path of a hard link's first name, in raw bytes.
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

/// The reason why an entry could not be restored, or not completely. The text is for a message that already names the path.
package struct RestoreProblem: Error, CustomStringConvertible {
  package let description: String
  /// The volume's error, if that is the reason.
  package let cause: GlusterError?

  package init(_ description: String) { (self.description, cause) = (description, nil) }

  /// - Parameters:
  ///   - what: the operation that failed, in words.
  ///   - cause: the reason: the volume's error, or another problem.
  ///   - consequence: the result of the failure, in words.
  package init(_ what: String, _ cause: any Error, _ consequence: String? = nil) {
    description = "\(what): \(cause)" + (consequence.map { ": \($0)" } ?? "")
    self.cause = cause as? GlusterError ?? (cause as? RestoreProblem)?.cause
  }
}
