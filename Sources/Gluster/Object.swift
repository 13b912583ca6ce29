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
  public func identity() throws -> [UInt8] {
    try [UInt8](unsafeUninitializedCapacity: Int(GFAPI_HANDLE_LENGTH)) { buffer, count in
      let length = glfs_h_extract_handle(handle, buffer.baseAddress, GFAPI_HANDLE_LENGTH)
      guard length == GFAPI_HANDLE_LENGTH else { throw failure("glfs_h_extract_handle") }
      count = Int(length)
    }
  }

  // MARK: Reading

  /// Looks up the entry `name` in this directory. A symbolic link is not followed.
  ///
  /// The corresponding C function is `glfs_h_lookupat`.
  public func lookUp(_ name: some Collection<UInt8>) throws -> (object: Object, status: stat) {
    var status = stat()
    return try volume.retry.run { _ in
      guard let found = name.withCString({ glfs_h_lookupat(volume.handle, handle, $0, &status, 0) }) else {
        throw failure("glfs_h_lookupat", name)
      }
      return (Object(found, on: volume), status)
    }
  }

  /// The entry's attributes.
  ///
  /// The corresponding C function is `glfs_h_stat`.
  public func status() throws -> stat {
    var status = stat()
    try volume.retry.run { _ in
      guard glfs_h_stat(volume.handle, handle, &status) == 0 else { throw failure("glfs_h_stat") }
    }
    return status
  }

  /// Checks that this process's user may access the entry. Throws `EACCES` if not.
  ///
  /// - Parameter mode: `R_OK`, `W_OK`, `X_OK`, or several of them.
  ///
  /// The corresponding C function is `glfs_h_access`.
  public func checkAccess(_ mode: Int32) throws {
    try volume.retry.run { _ in
      guard glfs_h_access(volume.handle, handle, mode) == 0 else { throw failure("glfs_h_access") }
    }
  }

  /// A symbolic link's target, in raw bytes.
  ///
  /// The corresponding C function is `glfs_h_readlink`.
  public func linkTarget() throws -> [UInt8] {
    try volume.retry.run { _ in
      try [UInt8](unsafeUninitializedCapacity: 4097) { buffer, count in
        let length = buffer.withMemoryRebound(to: CChar.self) {
          glfs_h_readlink(volume.handle, handle, $0.baseAddress, $0.count)
        }
        guard length >= 0 else { throw failure("glfs_h_readlink") }
        count = Int(length)
      }
    }
  }

  /// Names of the extended attributes that the volume shows to a client.
  ///
  /// The corresponding C function is `glfs_h_getxattrs` without a name.
  public func extendedAttributeNames() throws -> [[UInt8]] {
    try value { glfs_h_getxattrs(volume.handle, handle, nil, $0.baseAddress, $0.count) }
      .split(separator: 0).map(Array.init)
  }

  /// The value of one extended attribute; nil if the entry has no attribute of this name, or if its type supports none.
  ///
  /// The corresponding C function is `glfs_h_getxattrs`.
  public func extendedAttribute(_ name: some Collection<UInt8>) throws -> [UInt8]? {
    do {
      return try extendedAttributeIfSupported(name)
    } catch let error as GlusterError where error.errno == .notSupported {
      return nil
    }
  }

  /// The value of one extended attribute; nil if the entry has no attribute of this name. Throws `EOPNOTSUPP` if the entry supports none.
  ///
  /// The corresponding C function is `glfs_h_getxattrs`.
  public func extendedAttributeIfSupported(_ name: some Collection<UInt8>) throws -> [UInt8]? {
    do {
      return try name.withCString { name in
        try value { glfs_h_getxattrs(volume.handle, handle, name, $0.baseAddress, $0.count) }
      }
    } catch let error as GlusterError where error.errno == .noData {
      return nil
    }
  }

  private func value(_ get: (UnsafeMutableRawBufferPointer) -> Int32) throws -> [UInt8] {
    var capacity = 4096
    while true {
      do {
        return try volume.retry.run { _ in
          try [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            let length = get(UnsafeMutableRawBufferPointer(buffer))
            guard length >= 0 else { throw failure("glfs_h_getxattrs") }
            count = Int(length)
          }
        }
      } catch let error as GlusterError where error.errno == .outOfRange && capacity < 16 << 20 {
        let needed = get(UnsafeMutableRawBufferPointer(start: nil, count: 0))
        capacity = max(capacity * 2, Int(needed))
      }
    }
  }

  /// Reads up to `buffer.count` bytes of this regular file at `offset`, without opening it, and returns their number. The number is smaller
  /// than `buffer.count` only at the end of the file.
  ///
  /// The corresponding C function is `glfs_h_anonymous_read`: one call on the volume in place of three (open, read, close).
  public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws -> Int {
    try volume.retry.run { _ in
      while true {
        let count = glfs_h_anonymous_read(volume.handle, handle, buffer.baseAddress, buffer.count, offset)
        if count >= 0 { return count }
        let error = failure("glfs_h_anonymous_read")
        if error.errno != .interrupted { throw error }
      }
    }
  }

  /// Opens this directory for reading.
  ///
  /// - Parameter namesOnly: list names only, without the attributes of each entry. Required for the root of a sharded volume: a listing
  ///   with attributes (10.3, 11.1) loses all entries of a reply in which the directory `.shard` comes last, if no other reply follows.
  ///
  /// The corresponding C function is `glfs_h_opendir`.
  public func openDirectory(namesOnly: Bool = false) throws -> Directory {
    let descriptor = try volume.retry.run { _ in
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
  public func openForReading(keepAccessTime: Bool = false) throws -> File {
    let flags = O_RDONLY | (keepAccessTime ? CGFAPI_O_NOATIME : 0)
    let descriptor = try volume.retry.run { _ in
      guard let descriptor = glfs_h_open(volume.handle, handle, flags) else { throw failure("glfs_h_open") }
      return descriptor
    }
    return File(descriptor, on: volume)
  }

  // MARK: Writing

  /// The attributes that ``setAttributes(_:_:)`` sets.
  public struct Attributes: OptionSet, Sendable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let mode = Attributes(rawValue: GFAPI_SET_ATTR_MODE)
    public static let owner = Attributes(rawValue: GFAPI_SET_ATTR_UID | GFAPI_SET_ATTR_GID)
    public static let times = Attributes(rawValue: GFAPI_SET_ATTR_ATIME | GFAPI_SET_ATTR_MTIME)
  }

  /// Sets those of mode, owner and times that `which` names, to the values in `status`. Do not set the mode of a symbolic link.
  ///
  /// The corresponding C function is `glfs_h_setattrs`.
  public func setAttributes(_ status: stat, _ which: Attributes) throws {
    var status = status
    try volume.retry.run { _ in
      guard glfs_h_setattrs(volume.handle, handle, &status, which.rawValue) == 0 else { throw failure("glfs_h_setattrs") }
    }
  }

  /// Sets one extended attribute. An existing value is replaced.
  ///
  /// The corresponding C function is `glfs_h_setxattrs`.
  public func setExtendedAttribute(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) throws {
    let bytes = Array(value)
    try volume.retry.run { _ in
      let result = name.withCString { glfs_h_setxattrs(volume.handle, handle, $0, bytes, bytes.count, 0) }
      guard result == 0 else { throw failure("glfs_h_setxattrs", name) }
    }
  }

  /// Removes one extended attribute. An attribute that does not exist is no error.
  ///
  /// The corresponding C function is `glfs_h_removexattrs`.
  public func removeExtendedAttribute(_ name: some Collection<UInt8>) throws {
    try volume.retry.run { _ in
      guard name.withCString({ glfs_h_removexattrs(volume.handle, handle, $0) }) != 0 else { return }
      let error = failure("glfs_h_removexattrs", name)
      guard error.errno == .noData || error.errno == .notSupported else { throw error }
    }
  }

  /// Creates a regular file in this directory and opens it for writing. Fails if the name exists.
  ///
  /// The corresponding C function is `glfs_h_creat_open`.
  public func createFile(_ name: some Collection<UInt8>, mode: mode_t) throws -> CreatedFile {
    var status = stat()
    let (created, descriptor) = try volume.retry.run { _ in
      var descriptor: OpaquePointer?
      let created = name.withCString {
        glfs_h_creat_open(volume.handle, handle, $0, O_WRONLY | O_CREAT | O_EXCL, mode, &status, &descriptor)
      }
      guard let created, let descriptor else { throw failure("glfs_h_creat_open", name) }
      return (created, descriptor)
    }
    return CreatedFile(object: Object(created, on: volume), file: File(descriptor, on: volume))
  }

  /// Creates a directory in this directory.
  ///
  /// The corresponding C function is `glfs_h_mkdir`.
  public func createDirectory(_ name: some Collection<UInt8>, mode: mode_t) throws -> (object: Object, status: stat) {
    var status = stat()
    return try volume.retry.run { again in
      if let created = name.withCString({ glfs_h_mkdir(volume.handle, handle, $0, mode, &status) }) {
        return (Object(created, on: volume), status)
      }
      let error = failure("glfs_h_mkdir", name)
      guard again, error.errno == .fileExists else { throw error }
      // The earlier try has created the directory, and only its answer was lost.
      return try lookUp(name)
    }
  }

  /// Creates a FIFO, a socket or a device in this directory.
  ///
  /// - Parameters:
  ///   - mode: type and permissions of the entry.
  ///   - device: number of the device, if the entry is one.
  ///
  /// The corresponding C function is `glfs_h_mknod`.
  public func createSpecial(_ name: some Collection<UInt8>, mode: mode_t, device: dev_t) throws -> Object {
    var status = stat()
    return try volume.retry.run { _ in
      guard let created = name.withCString({ glfs_h_mknod(volume.handle, handle, $0, mode, device, &status) }) else {
        throw failure("glfs_h_mknod", name)
      }
      return Object(created, on: volume)
    }
  }

  /// Creates a symbolic link in this directory.
  ///
  /// The corresponding C function is `glfs_h_symlink`.
  public func createLink(_ name: some Collection<UInt8>, target: some Collection<UInt8>) throws -> Object {
    var status = stat()
    return try volume.retry.run { _ in
      let created = name.withCString { name in
        target.withCString { glfs_h_symlink(volume.handle, handle, name, $0, &status) }
      }
      guard let created else { throw failure("glfs_h_symlink", name) }
      return Object(created, on: volume)
    }
  }

  /// Makes a hard link to `object` in this directory.
  ///
  /// The corresponding C function is `glfs_h_link`.
  public func link(_ object: Object, as name: some Collection<UInt8>) throws {
    try volume.retry.run { _ in
      guard name.withCString({ glfs_h_link(volume.handle, object.handle, handle, $0) }) == 0 else {
        throw failure("glfs_h_link", name)
      }
    }
  }

  /// Removes an entry of this directory. A directory is removed only if it is empty.
  ///
  /// The corresponding C function is `glfs_h_unlink`.
  public func remove(_ name: some Collection<UInt8>) throws {
    try volume.retry.run { again in
      guard name.withCString({ glfs_h_unlink(volume.handle, handle, $0) }) != 0 else { return }
      let error = failure("glfs_h_unlink", name)
      guard again, error.meansMissing else { throw error }
    }
  }

  /// Renames an entry within this directory. An existing entry of the new name is replaced.
  ///
  /// The corresponding C function is `glfs_h_rename`.
  public func rename(_ name: some Collection<UInt8>, to newName: some Collection<UInt8>) throws {
    try volume.retry.run { _ in
      let result = name.withCString { old in
        newName.withCString { glfs_h_rename(volume.handle, handle, old, handle, $0) }
      }
      guard result == 0 else { throw failure("glfs_h_rename", name) }
    }
  }
}

/// A file that has just been created: its handle, and the file open for writing.
@frozen public struct CreatedFile: ~Copyable {
  public let object: Object
  public let file: File
}
