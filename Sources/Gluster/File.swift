import CGFAPI
import Glibc
import SystemPackage

/// A regular file that is open for reading or writing.
///
/// Call ``close()`` at the end: it waits for the volume, and reports to a writer that data could not be stored. A file that goes out of
/// scope while it is open is closed on a thread of its own, so that the caller does not wait.
public struct File: ~Copyable {
  private var descriptor: OpaquePointer?
  private let volume: Volume

  init(_ descriptor: OpaquePointer, on volume: Volume) {
    self.descriptor = descriptor
    self.volume = volume
  }

  deinit {
    guard let descriptor else { return }
    let volume = volume
    onOwnThread { withExtendedLifetime(volume) { _ = glfs_close(descriptor) } }
  }

  /// Closes the file.
  ///
  /// With write-behind, the error of an earlier write may be reported only here. Without write-behind (if the volume's ``OutageRetry``
  /// waits), the volume has answered all writes. An error that says that the volume is unreachable is ignored then: the volume has closed
  /// the file by itself.
  ///
  /// The corresponding C function is `glfs_close`.
  public consuming func close() throws(GlusterError) {
    let descriptor = self.descriptor
    self.descriptor = nil
    guard glfs_close(descriptor) != 0 else { return }
    let error = failure("glfs_close")
    if volume.retry.seconds == 0 || !error.meansVolumeIsAway { throw error }
  }

  /// Attributes of the open file.
  ///
  /// The corresponding C function is `glfs_fstat`.
  public func status() throws(GlusterError) -> stat {
    var status = stat()
    try volume.retry.run { _ throws(GlusterError) in
      guard glfs_fstat(descriptor, &status) == 0 else { throw failure("glfs_fstat") }
    }
    return status
  }

  /// True if the file exists.
  private var isThere: Bool {
    var status = stat()
    return glfs_fstat(descriptor, &status) == 0
  }

  /// Reads up to `buffer.count` bytes at `offset` and returns their number; 0 at the end of the file.
  ///
  /// The corresponding C function is `glfs_pread`.
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(GlusterError) -> Int {
    try volume.retry.run { _ throws(GlusterError) in
      try volume.repeatedIfThere({ isThere }) { () throws(GlusterError) in
        while true {
          let count = glfs_pread(descriptor, buffer.baseAddress, buffer.count, offset, 0, nil)
          if count >= 0 { return count }
          let error = failure("glfs_pread")
          if error.errno != .interrupted { throw error }
        }
      }
    }
  }

  /// Maximum number of bytes that one call writes. For a larger call Gluster allocates new memory, and zeroes it, each time.
  private static let mostWritten = 1 << 20

  /// Writes all of `buffer` at `offset`, in as many calls as it takes.
  ///
  /// The corresponding C function is `glfs_pwrite`.
  public func write(_ buffer: UnsafeRawBufferPointer, at offset: Int) throws(GlusterError) {
    var done = 0
    try volume.retry.run { _ throws(GlusterError) in
      try volume.repeatedIfThere({ isThere }) { () throws(GlusterError) in
        while done < buffer.count {
          let count = glfs_pwrite(
            descriptor, buffer.baseAddress! + done, min(buffer.count - done, Self.mostWritten), offset + done, 0, nil, nil)
          if count > 0 {
            done += count
          } else {
            let error = count == 0 ? GlusterError(errno: .ioError, call: "glfs_pwrite") : failure("glfs_pwrite")
            if error.errno != .interrupted { throw error }
          }
        }
      }
    }
  }

  /// Waits until all written data is on the bricks' disks.
  ///
  /// - Throws: ``GlusterError``; with write-behind also the error of an earlier write.
  ///
  /// The corresponding C function is `glfs_fsync`.
  public func synchronize() throws(GlusterError) {
    try volume.retry.run { _ throws(GlusterError) in
      guard glfs_fsync(descriptor, nil, nil) == 0 else { throw failure("glfs_fsync") }
    }
  }

  /// Sets the file's length.
  ///
  /// The corresponding C function is `glfs_ftruncate`.
  public func truncate(to length: Int) throws(GlusterError) {
    try volume.retry.run { _ throws(GlusterError) in
      try volume.repeatedIfThere({ isThere }) { () throws(GlusterError) in
        guard glfs_ftruncate(descriptor, length, nil, nil) == 0 else { throw failure("glfs_ftruncate") }
      }
    }
  }

  /// Makes a range of the file a hole: it reads as zeros, and takes no place. The file's length stays.
  ///
  /// - Throws: ``GlusterError``; `EOPNOTSUPP` if the file system of a brick does not support holes.
  ///
  /// The corresponding C function is `glfs_discard`.
  public func discard(_ count: Int, at offset: Int) throws(GlusterError) {
    try volume.retry.run { _ throws(GlusterError) in
      try volume.repeatedIfThere({ isThere }) { () throws(GlusterError) in
        guard glfs_discard(descriptor, offset, count) == 0 else { throw failure("glfs_discard") }
      }
    }
  }

  /// The offset of the first stored byte at or after `offset`; nil if only a hole follows.
  ///
  /// - Throws: ``GlusterError``; `EOPNOTSUPP` or `EINVAL` if the volume does not support this (sharded volumes).
  ///
  /// The corresponding C function is `glfs_lseek` with `SEEK_DATA`.
  public func nextData(from offset: Int) throws(GlusterError) -> Int? {
    try volume.retry.run { _ throws(GlusterError) in
      let position = glfs_lseek(descriptor, offset, CGFAPI_SEEK_DATA)
      if position >= 0 { return position }
      let error = failure("glfs_lseek")
      if error.errno == .noSuchAddressOrDevice { return nil }
      throw error
    }
  }

  /// The offset of the first byte at or after `offset` that is in a hole. The end of the file counts as a hole.
  ///
  /// The corresponding C function is `glfs_lseek` with `SEEK_HOLE`.
  public func nextHole(from offset: Int) throws(GlusterError) -> Int {
    try volume.retry.run { _ throws(GlusterError) in
      let position = glfs_lseek(descriptor, offset, CGFAPI_SEEK_HOLE)
      guard position >= 0 else { throw failure("glfs_lseek") }
      return position
    }
  }
}
