import Glibc
import SystemPackage

/// The failure of one call on a volume.
public struct GlusterError: Error, Sendable {
  /// What the call left in `errno`.
  public let errno: Errno
  /// The libgfapi function that failed, such as `glfs_h_open`.
  public let call: String
  /// The name that the call was about: a path or a single component, in raw bytes; empty when the caller knows it.
  public let path: [UInt8]
  /// The volume answers, and only what this call was about cannot be reached: no good copy of it, for instance.
  public let isOfEntry: Bool

  public init(errno: Errno, call: String, path: [UInt8] = [], isOfEntry: Bool = false) {
    self.errno = errno
    self.call = call
    self.path = path
    self.isOfEntry = isOfEntry
  }

  /// The same, of an entry of a volume that answers.
  var ofEntry: GlusterError { GlusterError(errno: errno, call: call, path: path, isOfEntry: true) }
}

extension GlusterError: CustomStringConvertible {
  /// The reason and the call: `No space left on device (glfs_pwrite)`.
  public var description: String {
    isOfEntry ? "\(reason), though the volume answers: no good copy of it can be reached (\(call))" : "\(reason) (\(call))"
  }

  /// The reason alone: `No space left on device`.
  public var reason: String { errno.rawValue == 0 ? "unknown error" : errno.description }
}

extension GlusterError {
  /// Whether there is no such entry, or not any more.
  public var meansMissing: Bool { errno == .noSuchFileOrDirectory || errno == .staleNFSFileHandle }

  /// Whether not this entry failed, but the volume: no brick or no majority of them can be reached.
  public var meansVolumeIsGone: Bool {
    !isOfEntry && (errno == .socketNotConnected || errno == .socketShutdown || errno == .connectionRefused)
  }

  /// Whether the volume, or what was opened on it, may come back: also while its client opens again, on a brick that is back, what
  /// was open there.
  var meansVolumeIsAway: Bool { meansVolumeIsGone || errno == .badFileDescriptorState }

  /// Whether glusterd described the volume, but none of its bricks could be reached.
  public var meansNoBrickAnswers: Bool {
    call == "glfs_init" && (errno == .ioError || errno == .socketNotConnected)
  }

  /// What to look at, for messages; nil where nothing better is known than the reason.
  public var cure: String? {
    meansNoBrickAnswers ? "no brick answers; is the volume started (gluster volume status)?" : nil
  }
}

extension Errno {
  /// `EBADFD`, for which there is no name.
  static let badFileDescriptorState = Errno(rawValue: EBADFD)
}

/// Every call of this module throws this one type; the compiler does not know.
package func asGlusterError(_ error: any Error) -> GlusterError {
  error as? GlusterError ?? GlusterError(errno: .ioError, call: "\(error)")
}
