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
  /// The path as the daemon passes it, in raw bytes: see ``volumePath(_:)``.
  package var path: [UInt8]
  /// The target of a symbolic link, or the path of a hard link's first name, in raw bytes.
  package var link: [UInt8]
  package var status: stat
  package var replace: Replace
  /// The number of the delta that the entry is; 0: a whole entry.
  package var delta: Int

  package init(kind: Kind, path: [UInt8], link: [UInt8], status: stat, replace: Replace, delta: Int = 0) {
    self.delta = delta
    self.kind = kind
    self.path = path
    self.link = link
    self.status = status
    self.replace = replace
  }
}

extension RestoreRun.Counts {
  /// The numbers of entries as text for the job's log.
  package var summary: String { "\(restored) entries restored, \(bytes) bytes written, \(skipped) skipped, \(failed) failed" }
}

extension RestoreRun {
  /// The answer to the daemon about an entry: what it shall do next.
  package enum Answer: Sendable {
    /// Send data and attributes.
    case created
    /// Send attributes: the entry is a directory.
    case createdDirectory
    /// Send nothing more.
    case linked
    case skipped
    case failed
  }
}

extension RestoreEntry {
  /// Returns the reason why the replace rule keeps an existing entry; nil: it is to be replaced.
  func reasonToSkip(for existing: stat) -> String? {
    let (backup, volume) = (status.st_mtim.tv_sec, existing.st_mtim.tv_sec)
    return switch replace {
    case .always: nil
    case .never: "it exists"
    case .ifNewer: backup > volume ? nil : "the backup is not newer"
    case .ifOlder: backup < volume ? nil : "the backup is not older"
    }
  }

  /// Checks that the entry can be made at all, independent of the volume's content.
  ///
  /// - Parameter path: its path on the volume.
  func check(_ path: VolumePath) throws(RestoreProblem) {
    if path.isRoot, kind != .own || !status.isDirectory {
      throw RestoreProblem("the volume's root can only be a directory")
    }
    guard kind == .own else {
      guard !(try Self.volumePath(link)).isRoot else { throw RestoreProblem("a hard link to the volume's root") }
      return
    }
    guard delta == 0 || status.type == S_IFREG else { throw RestoreProblem("a delta of something that is not a regular file") }
    switch status.type {
    case S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK: break
    case S_IFLNK where !link.isEmpty: break
    case S_IFLNK: throw RestoreProblem("a symbolic link without a target")
    default: throw RestoreProblem("an entry of unknown type, mode \(String(status.st_mode, radix: 8))")
    }
  }

  /// Returns the path on the volume for a path as the daemon passes it.
  static func volumePath(_ path: [UInt8]) throws(RestoreProblem) -> VolumePath {
    guard let path = VolumePath(path) else { throw RestoreProblem("\"..\" in the path") }
    return path
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
