import Glibc
import SystemPackage

/// The failure of one call on a volume.
public struct GlusterError: Error, Sendable {
  /// The value of `errno` after the call.
  public let errno: Errno
  /// The libgfapi function that failed, such as `glfs_h_open`.
  public let call: String
  /// The name that the call was about: a path or a single component, in raw bytes; empty if the caller knows the name.
  public let path: [UInt8]
  /// True if the volume answers, and only the entry of this call is unreachable: it has no good copy that can be reached, for instance.
  public let isOfEntry: Bool

  public init(errno: Errno, call: String, path: [UInt8] = [], isOfEntry: Bool = false) {
    self.errno = errno
    self.call = call
    self.path = path
    self.isOfEntry = isOfEntry
  }

  /// The same error, marked as ``isOfEntry``.
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
  /// True if there is no such entry, or no longer.
  public var meansMissing: Bool { errno == .noSuchFileOrDirectory || errno == .staleNFSFileHandle }

  /// True if the whole volume is unreachable, not only this entry: the client reaches no brick, or no majority of the bricks.
  public var meansVolumeIsGone: Bool {
    !isOfEntry && (errno == .socketNotConnected || errno == .socketShutdown || errno == .connectionRefused)
  }

  /// True if a later try may succeed: the volume is unreachable, or the client is still reopening files and directories on a brick that is
  /// back.
  var meansVolumeIsAway: Bool { meansVolumeIsGone || errno == .badFileDescriptorState }

  /// True if glusterd described the volume, but none of its bricks could be reached.
  public var meansNoBrickAnswers: Bool {
    call == "glfs_init" && (errno == .ioError || errno == .socketNotConnected)
  }

  /// Advice for messages; nil if nothing better is known than the reason.
  public var cure: String? {
    meansNoBrickAnswers ? "no brick answers; is the volume started (gluster volume status)?" : nil
  }
}

extension Errno {
  /// `EBADFD`, for which `Errno` has no name.
  static let badFileDescriptorState = Errno(rawValue: EBADFD)
}
