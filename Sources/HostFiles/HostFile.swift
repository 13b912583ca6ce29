import Glibc

/// Opens files of this host that the configuration names: lists and logs.
///
/// In a folder that everybody can write to, such as `/tmp`, anybody can put something in the place of the file. In such a folder no
/// symbolic link is followed, and the file must belong to root or to this process's user.
public enum HostFile {
  public struct Failure: Error, Sendable, CustomStringConvertible {
    /// The call that failed: `open` or `read`.
    public let call: String
    /// The error number; `EPERM` for a file that somebody else may have put there.
    public let errno: Int32
    public let description: String

    public init(call: String, errno: Int32, description: String? = nil) {
      self.call = call
      self.errno = errno
      self.description = description ?? String(cString: strerror(errno))
    }
  }

  /// Opens a regular file, without blocking. For writing, a device or a FIFO is allowed as well, except in a folder that everybody can
  /// write to.
  ///
  /// - Parameters:
  ///   - path: path of the file, in raw bytes without NUL.
  ///   - flags: flags of `open(2)`. Only its owner can read and write a file that is created.
  /// - Returns: a descriptor that programs started by this process do not inherit.
  /// - Throws: ``Failure``.
  public static func open(_ path: some Collection<UInt8>, _ flags: Int32) throws(Failure) -> Int32 {
    let isShared = isWritableForAll(folder(of: path))
    let flags = flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (isShared ? O_NOFOLLOW : 0)
    let descriptor = terminated(path).withUnsafeBufferPointer { Glibc.open($0.baseAddress!, flags, 0o600) }
    guard descriptor >= 0 else {
      throw isShared && errno == ELOOP ? notOurs("it is a symbolic link") : Failure(call: "open", errno: errno)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG || !isShared && flags & O_ACCMODE == O_WRONLY else {
      close(descriptor)
      throw status.st_mode & S_IFMT == S_IFDIR
        ? Failure(call: "open", errno: EISDIR) : Failure(call: "open", errno: EINVAL, description: "it is no regular file")
    }
    guard !isShared || [0, geteuid()].contains(status.st_uid) else {
      close(descriptor)
      throw notOurs("it belongs to user \(status.st_uid)")
    }
    return descriptor
  }

  private static func notOurs(_ what: String) -> Failure {
    Failure(
      call: "open", errno: EPERM,
      description: "\(what), in a folder that everybody may write to: choose a folder that only root can write to")
  }

  private static func isWritableForAll(_ folder: [UInt8]) -> Bool {
    var status = stat()
    return terminated(folder).withUnsafeBufferPointer { stat($0.baseAddress!, &status) } == 0 && status.st_mode & S_IWOTH != 0
  }

  private static func folder(of path: some Collection<UInt8>) -> [UInt8] {
    let bytes = Array(path)
    guard let end = bytes.lastIndex(of: UInt8(ascii: "/")) else { return [UInt8(ascii: ".")] }
    return Array(bytes[...end])
  }

  private static func terminated(_ path: some Collection<UInt8>) -> [CChar] { path.map(CChar.init(bitPattern:)) + [0] }
}
