import Glibc
import Gluster

/// The reason why an operation on a part failed. Its description is one line of a log.
public struct StoreError: Error, Sendable, CustomStringConvertible {
  /// The kind of failure, which decides what a caller can do about it.
  public enum Kind: Sendable {
    /// There is no such part.
    case missing
    /// The name cannot be stored.
    case badName
    /// The volume, or a part of it, cannot be reached.
    case unreachable
    /// No space is left, or a quota is used up.
    case full
    /// The data did not arrive completely.
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
  ///   - error: the error of a call on the volume.
  ///   - action: what failed, such as `cannot write`.
  public init(_ error: GlusterError, _ action: String) {
    self.init(error.meansVolumeIsGone ? .unreachable : error.meansFull ? .full : .failed, "\(action): \(error)")
  }
}

extension GlusterError {
  fileprivate var meansFull: Bool { errno == .noSpace || errno.rawValue == EDQUOT }
}
