import CGFAPI
import Glibc

/// A directory open for reading. Closed when it goes out of scope.
public struct Directory: ~Copyable {
  private let descriptor: OpaquePointer
  private let volume: Volume
  private let namesOnly: Bool

  /// One name in a directory.
  public struct Entry {
    /// The name, in raw bytes.
    public let name: [UInt8]
    /// The handle and the attributes that the volume sent along with the name; nil if it sent none, and the entry must be looked up.
    public let found: (object: Object, status: stat)?
  }

  init(_ descriptor: OpaquePointer, on volume: Volume, namesOnly: Bool) {
    self.descriptor = descriptor
    self.volume = volume
    self.namesOnly = namesOnly
  }

  deinit { glfs_closedir(descriptor) }

  /// The next entry, without `.` and `..`; nil at the end.
  ///
  /// This call is not repeated while the volume is unreachable. A replicated volume would continue on another brick, where the same
  /// position in the directory means another entry, and only if the directory is opened anew.
  ///
  /// The corresponding C functions are `glfs_xreaddirplus_r` and `glfs_readdir_r`.
  public func next() throws(GlusterError) -> Entry? {
    while true {
      var extended: OpaquePointer?
      var entry = dirent()
      var result: UnsafeMutablePointer<dirent>?
      if namesOnly {
        guard glfs_readdir_r(descriptor, &entry, &result) == 0 else { throw failure("glfs_readdir_r") }
      } else {
        let flags = UInt32(GFAPI_XREADDIRP_STAT | GFAPI_XREADDIRP_HANDLE)
        guard glfs_xreaddirplus_r(descriptor, flags, &extended, &entry, &result) >= 0 else { throw failure("glfs_xreaddirplus_r") }
      }
      defer { if let extended { glfs_free(UnsafeMutableRawPointer(extended)) } }
      guard let result else { return nil }

      let offset = MemoryLayout<dirent>.offset(of: \.d_name)!
      let start = UnsafeRawPointer(result).advanced(by: offset).assumingMemoryBound(to: CChar.self)
      let name = [UInt8](UnsafeRawBufferPointer(start: start, count: strlen(start)))
      if name.elementsEqual(".".utf8) || name.elementsEqual("..".utf8) { continue }

      guard let extended, let status = glfs_xreaddirplus_get_stat(extended),
        let borrowed = glfs_xreaddirplus_get_object(extended), let object = glfs_object_copy(borrowed)
      else { return Entry(name: name, found: nil) }
      return Entry(name: name, found: (Object(object, on: volume), status.pointee))
    }
  }
}
