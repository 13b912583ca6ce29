import CGFAPI
import Glibc
import SystemPackage

/// A handle of one entry on a volume.
///
/// The handle stays with the entry if the entry is renamed. No call through the handle follows a symbolic link. The handle is closed with
/// its last reference.
///
/// Calls on an unreachable volume are repeated, as the volume's ``OutageRetry`` says. A repeated call that creates an entry may fail with
/// `EEXIST`, because the earlier try has created the entry.
///
/// Names in arguments are single components in raw bytes, without slash and zero byte.
public final class Object: @unchecked Sendable {
  // Handles may be used from several threads at once.
  let handle: OpaquePointer
  public let volume: Volume

  init(_ handle: OpaquePointer, on volume: Volume) {
    self.handle = handle
    self.volume = volume
  }

  deinit { glfs_h_close(handle) }

  /// The entry's identity on its volume, Gluster's GFID: 16 bytes. The client knows it without asking the volume.
  ///
  /// The corresponding C function is `glfs_h_extract_handle`.
  public func identity() throws(GlusterError) -> [UInt8] {
    try [UInt8](upTo: Int(GFAPI_HANDLE_LENGTH)) { buffer throws(GlusterError) in
      let length = glfs_h_extract_handle(handle, buffer.baseAddress, GFAPI_HANDLE_LENGTH)
      guard length == GFAPI_HANDLE_LENGTH else { throw failure("glfs_h_extract_handle") }
      return Int(length)
    }
  }

  // MARK: Reading

  /// Looks up the entry `name` in this directory. A symbolic link is not followed.
  ///
  /// The corresponding C function is `glfs_h_lookupat`.
  public func lookUp(_ name: some Collection<UInt8>) throws(GlusterError) -> (object: Object, status: stat) {
    var status = stat()
    return try volume.retry.run { _ throws(GlusterError) in
      guard let found = name.withCString({ glfs_h_lookupat(volume.handle, handle, $0, &status, 0) }) else {
        throw failure("glfs_h_lookupat", name)
      }
      return (Object(found, on: volume), status)
    }
  }

  /// The entry's attributes.
  ///
  /// The corresponding C function is `glfs_h_stat`.
  public func status() throws(GlusterError) -> stat {
    var status = stat()
    try volume.retry.run { _ throws(GlusterError) in
      guard glfs_h_stat(volume.handle, handle, &status) == 0 else { throw failure("glfs_h_stat") }
    }
    return status
  }

  /// Checks that this process's user may access the entry. Throws `EACCES` if not.
  ///
  /// - Parameter mode: `R_OK`, `W_OK`, `X_OK`, or several of them.
  ///
  /// The corresponding C function is `glfs_h_access`.
  public func checkAccess(_ mode: Int32) throws(GlusterError) {
    try volume.retry.run { _ throws(GlusterError) in
      guard glfs_h_access(volume.handle, handle, mode) == 0 else { throw failure("glfs_h_access") }
    }
  }

  /// A symbolic link's target, in raw bytes.
  ///
  /// The corresponding C function is `glfs_h_readlink`.
  public func linkTarget() throws(GlusterError) -> [UInt8] {
    try volume.retry.run { _ throws(GlusterError) in
      try [UInt8](upTo: 4097) { buffer throws(GlusterError) in
        let length = glfs_h_readlink(volume.handle, handle, buffer.baseAddress, buffer.count)
        guard length >= 0 else { throw failure("glfs_h_readlink") }
        return Int(length)
      }
    }
  }

  /// Names of the extended attributes that the volume shows to a client.
  ///
  /// The corresponding C function is `glfs_h_getxattrs` without a name.
  public func extendedAttributeNames() throws(GlusterError) -> [[UInt8]] {
    try value { glfs_h_getxattrs(volume.handle, handle, nil, $0.baseAddress, $0.count) }
      .split(separator: 0).map(Array.init)
  }

  /// The value of one extended attribute; nil if the entry has no attribute of this name, or if its type supports none.
  ///
  /// The corresponding C function is `glfs_h_getxattrs`.
  public func extendedAttribute(_ name: some Collection<UInt8>) throws(GlusterError) -> [UInt8]? {
    do {
      return try extendedAttributeIfSupported(name)
    } catch let error where error.errno == .notSupported {
      return nil
    }
  }

  /// The value of one extended attribute; nil if the entry has no attribute of this name. Throws `EOPNOTSUPP` if the entry supports none.
  ///
  /// The corresponding C function is `glfs_h_getxattrs`.
  public func extendedAttributeIfSupported(_ name: some Collection<UInt8>) throws(GlusterError) -> [UInt8]? {
    do {
      return try name.withCString { name throws(GlusterError) in
        try value { glfs_h_getxattrs(volume.handle, handle, name, $0.baseAddress, $0.count) }
      }
    } catch let error where error.errno == .noData {
      return nil
    }
  }

  private func value(_ get: (UnsafeMutableRawBufferPointer) -> Int32) throws(GlusterError) -> [UInt8] {
    var capacity = 4096
    while true {
      do {
        return try volume.retry.run { _ throws(GlusterError) in
          try [UInt8](upTo: capacity) { buffer throws(GlusterError) in
            let length = get(buffer)
            guard length >= 0 else { throw failure("glfs_h_getxattrs") }
            return Int(length)
          }
        }
      } catch let error where error.errno == .outOfRange && capacity < 16 << 20 {
        let needed = get(UnsafeMutableRawBufferPointer(start: nil, count: 0))
        capacity = max(capacity * 2, Int(needed))
      }
    }
  }

  /// Reads up to `buffer.count` bytes of this regular file at `offset`, without opening it, and returns their number. The number is smaller
  /// than `buffer.count` only at the end of the file.
  ///
  /// The corresponding C function is `glfs_h_anonymous_read`: one call on the volume in place of three (open, read, close).
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws(GlusterError) -> Int {
    try volume.retry.run { _ throws(GlusterError) in
      try volume.repeatedIfThere({ isThere }) { () throws(GlusterError) in
        while true {
          let count = glfs_h_anonymous_read(volume.handle, handle, buffer.baseAddress, buffer.count, offset)
          if count >= 0 { return count }
          let error = failure("glfs_h_anonymous_read")
          if error.errno != .interrupted { throw error }
        }
      }
    }
  }

  /// Opens this directory for reading.
  ///
  /// - Parameter namesOnly: list names only, without the attributes of each entry. Required for the root of a sharded volume: a listing
  ///   with attributes (10.3, 11.1) loses all entries of a reply in which the directory `.shard` comes last, if no other reply follows.
  ///
  /// The corresponding C function is `glfs_h_opendir`.
  public func openDirectory(namesOnly: Bool = false) throws(GlusterError) -> Directory {
    let descriptor = try volume.retry.run { _ throws(GlusterError) in
      guard let descriptor = glfs_h_opendir(volume.handle, handle) else { throw failure("glfs_h_opendir") }
      return descriptor
    }
    return Directory(descriptor, on: volume, namesOnly: namesOnly)
  }

  /// Opens this regular file.
  ///
  /// - Parameter keepAccessTime: if true, reading does not change the access time (`O_NOATIME`).
  ///
  /// The corresponding C function is `glfs_h_open`.
  public func openForReading(keepAccessTime: Bool = false) throws(GlusterError) -> File {
    try open(O_RDONLY | (keepAccessTime ? CGFAPI_O_NOATIME : 0))
  }

  /// Opens this regular file, to change it in place.
  ///
  /// The corresponding C function is `glfs_h_open`.
  public func openForWriting() throws(GlusterError) -> File { try open(O_WRONLY) }

  private func open(_ flags: Int32) throws(GlusterError) -> File {
    let descriptor = try volume.retry.run { _ throws(GlusterError) in
      guard let descriptor = glfs_h_open(volume.handle, handle, flags) else { throw failure("glfs_h_open") }
      return descriptor
    }
    return File(descriptor, on: volume)
  }
}

extension [UInt8] {
  /// Makes an array of the bytes that a call writes.
  ///
  /// - Parameters:
  ///   - capacity: the largest number of bytes.
  ///   - fill: writes the bytes and returns their number.
  fileprivate init(upTo capacity: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(GlusterError) -> Int) throws(GlusterError) {
    var problem: GlusterError?
    self.init(unsafeUninitializedCapacity: capacity) { buffer, count in
      do throws(GlusterError) { count = try fill(UnsafeMutableRawBufferPointer(buffer)) } catch { problem = error }
    }
    if let problem { throw problem }
  }
}
