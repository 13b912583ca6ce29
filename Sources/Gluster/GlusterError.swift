import SystemPackage

/// The failure of one call on a volume.
public struct GlusterError: Error, Sendable {
  /// What the call left in `errno`.
  public let errno: Errno
  /// The libgfapi function that failed, such as `glfs_h_open`.
  public let call: String
  /// The name that the call was about: a path or a single component, in raw bytes; empty when the caller knows it.
  public let path: [UInt8]

  public init(errno: Errno, call: String, path: [UInt8] = []) {
    self.errno = errno
    self.call = call
    self.path = path
  }
}

extension GlusterError: CustomStringConvertible {
  /// The reason and the call: `No space left on device (glfs_pwrite)`.
  public var description: String { "\(reason) (\(call))" }

  /// The reason alone: `No space left on device`.
  public var reason: String { errno.rawValue == 0 ? "unknown error" : errno.description }
}
