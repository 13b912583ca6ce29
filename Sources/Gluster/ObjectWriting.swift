import CGFAPI
import Glibc
import SystemPackage

// Calls that change an entry or create one.
extension Object {
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
  public func setAttributes(_ status: stat, _ which: Attributes) throws(GlusterError) {
    var status = status
    try volume.retry.run { _ throws(GlusterError) in
      guard glfs_h_setattrs(volume.handle, handle, &status, which.rawValue) == 0 else { throw failure("glfs_h_setattrs") }
    }
  }

  /// Sets one extended attribute. An existing value is replaced.
  ///
  /// The corresponding C function is `glfs_h_setxattrs`.
  public func setExtendedAttribute(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) throws(GlusterError) {
    let bytes = Array(value)
    try volume.retry.run { _ throws(GlusterError) in
      let result = name.withCString { glfs_h_setxattrs(volume.handle, handle, $0, bytes, bytes.count, 0) }
      guard result == 0 else { throw failure("glfs_h_setxattrs", name) }
    }
  }

  /// Removes one extended attribute. An attribute that does not exist is no error.
  ///
  /// The corresponding C function is `glfs_h_removexattrs`.
  public func removeExtendedAttribute(_ name: some Collection<UInt8>) throws(GlusterError) {
    try volume.retry.run { _ throws(GlusterError) in
      guard name.withCString({ glfs_h_removexattrs(volume.handle, handle, $0) }) != 0 else { return }
      let error = failure("glfs_h_removexattrs", name)
      guard error.errno == .noData || error.errno == .notSupported else { throw error }
    }
  }

  /// Creates a regular file in this directory and opens it for writing. Fails if the name exists.
  ///
  /// The corresponding C function is `glfs_h_creat_open`.
  public func createFile(_ name: some Collection<UInt8>, mode: mode_t) throws(GlusterError) -> CreatedFile {
    var status = stat()
    let (created, descriptor) = try volume.retry.run { _ throws(GlusterError) in
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
  public func createDirectory(_ name: some Collection<UInt8>, mode: mode_t) throws(GlusterError) -> (object: Object, status: stat) {
    var status = stat()
    return try volume.retry.run { again throws(GlusterError) in
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
  public func createSpecial(_ name: some Collection<UInt8>, mode: mode_t, device: dev_t) throws(GlusterError) -> Object {
    var status = stat()
    return try volume.retry.run { _ throws(GlusterError) in
      guard let created = name.withCString({ glfs_h_mknod(volume.handle, handle, $0, mode, device, &status) }) else {
        throw failure("glfs_h_mknod", name)
      }
      return Object(created, on: volume)
    }
  }

  /// Creates a symbolic link in this directory.
  ///
  /// The corresponding C function is `glfs_h_symlink`.
  public func createLink(_ name: some Collection<UInt8>, target: some Collection<UInt8>) throws(GlusterError) -> Object {
    var status = stat()
    return try volume.retry.run { _ throws(GlusterError) in
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
  public func link(_ object: Object, as name: some Collection<UInt8>) throws(GlusterError) {
    try volume.retry.run { _ throws(GlusterError) in
      guard name.withCString({ glfs_h_link(volume.handle, object.handle, handle, $0) }) == 0 else {
        throw failure("glfs_h_link", name)
      }
    }
  }

  /// Removes an entry of this directory. A directory is removed only if it is empty.
  ///
  /// The corresponding C function is `glfs_h_unlink`.
  public func remove(_ name: some Collection<UInt8>) throws(GlusterError) {
    try volume.retry.run { again throws(GlusterError) in
      do throws(GlusterError) {
        try volume.repeatedIfThere({ hasEntry(name) }) { () throws(GlusterError) in
          guard name.withCString({ glfs_h_unlink(volume.handle, handle, $0) }) == 0 else { throw failure("glfs_h_unlink", name) }
        }
      } catch {
        guard again, error.meansMissing else { throw error }
      }
    }
  }

  /// Renames an entry within this directory. An existing entry of the new name is replaced.
  ///
  /// The corresponding C function is `glfs_h_rename`.
  public func rename(_ name: some Collection<UInt8>, to newName: some Collection<UInt8>) throws(GlusterError) {
    try volume.retry.run { _ throws(GlusterError) in
      try volume.repeatedIfThere({ hasEntry(name) }) { () throws(GlusterError) in
        let result = name.withCString { old in
          newName.withCString { glfs_h_rename(volume.handle, handle, old, handle, $0) }
        }
        guard result == 0 else { throw failure("glfs_h_rename", name) }
      }
    }
  }
}

/// A file that has just been created: its handle, and the file open for writing.
@frozen public struct CreatedFile: ~Copyable {
  public let object: Object
  public let file: File
}
