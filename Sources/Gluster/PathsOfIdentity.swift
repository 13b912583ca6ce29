import CGFAPI
import Glibc

extension Volume {
  /// The paths of the entry with an identity, as the volume reports them: at least one, not always all.
  ///
  /// - Parameter gfid: 16 bytes.
  /// - Throws: ``GlusterError``; `ENOENT` or `ESTALE` if there is no such entry, `ENODATA` if the volume does not keep paths or cannot be
  ///   asked for them.
  ///
  /// The corresponding C functions are `glfs_h_create_from_handle` and `glfs_h_getxattrs`. The attributes are Gluster's virtual
  /// `glusterfs.ancestry.path` and `glusterfs.gfidtopath`: paths from the root, separated by `:`.
  public func paths(ofGFID gfid: [UInt8]) throws(GlusterError) -> [VolumePath] {
    let (object, status) = try lookUp(identity: gfid)
    if status.isDirectory { return try paths(of: object, status, "glusterfs.ancestry.path") }
    if Self.isEndedByUnknownDirectory {
      let found = (try? paths(of: object, status, "glusterfs.ancestry.path")) ?? []
      guard found.isEmpty else { return found }
      // A list names files by their identities that have been deleted since the snapshot, so the question is frequent there.
      guard uri.snapshot == nil else {
        throw GlusterError(errno: .noData, call: "glfs_h_getxattrs", path: Array("glusterfs.ancestry.path".utf8))
      }
    }
    return try paths(of: object, status, "glusterfs.gfidtopath")
  }

  /// True if the question for `glusterfs.gfidtopath` may end the brick's process: Gluster before 11, if the brick has lost the link by which
  /// it knows a directory above the file. A rename of a directory that fails removes this link (10.3, 11.1). `glusterfs.ancestry.path` does no harm, but needs an attribute that files have only since
  /// `storage.build-pgfid` is on (glusterfind switches it on), and reads the file's directory.
  private static var isEndedByUnknownDirectory: Bool { Int(clientVersion.prefix { $0 != "." }).map { $0 < 11 } ?? true }

  private func paths(of object: Object, _ status: stat, _ attribute: String) throws(GlusterError) -> [VolumePath] {
    guard let value = try object.extendedAttribute(attribute.utf8) else {
      throw GlusterError(errno: .noData, call: "glfs_h_getxattrs", path: Array(attribute.utf8))
    }
    // A name may contain a colon too, so the whole value is tried as well. A piece that is not a path of this entry is left out.
    let pieces = [value] + value.split(separator: UInt8(ascii: ":")).map(Array.init)
    return pieces.compactMap { piece in
      guard let path = VolumePath(absolute: piece), let found = try? lookUp(path) else { return nil }
      return found.status.st_ino == status.st_ino ? path : nil
    }
  }
}
