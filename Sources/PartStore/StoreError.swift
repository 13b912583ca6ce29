import Glibc
import Gluster

/// Why something could not be done with a part. Its words are one line of a log.
public struct StoreError: Error, Sendable, CustomStringConvertible {
  /// What a caller can do about it.
  public enum Kind: Sendable {
    /// There is no such part.
    case missing
    /// The name is none that can be stored.
    case badName
    /// The volume, or a part of it, cannot be reached.
    case unreachable
    /// No space is left, or a quota is used up.
    case full
    /// The data did not come to their end.
    case cutOff
    /// Everything else.
    case failed
  }

  public let kind: Kind
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  /// - Parameters:
  ///   - error: what a call on the volume left.
  ///   - action: what was to be done: `cannot write`.
  public init(_ error: GlusterError, _ action: String) {
    self.init(error.meansVolumeIsGone ? .unreachable : error.meansFull ? .full : .failed, "\(action): \(error)")
  }
}

extension GlusterError {
  fileprivate var meansFull: Bool { errno == .noSpace || errno.rawValue == EDQUOT }
}
