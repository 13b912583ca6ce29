import CXattr

/// Decides which extended attributes are backed up.
package enum AttributeRules {
  /// Gluster's internal attributes. They belong to bricks, not to entries, and would do harm on another volume.
  private static let bookkeeping = [
    "trusted.glusterfs.", "trusted.afr.", "trusted.gfid", "trusted.pgfid.", "trusted.ec.", "trusted.bit-rot.",
    "trusted.tier.", "trusted.io-stats-dump", "trusted.syncop.", "trusted.distribute.", "glusterfs.", "system.glusterfs.",
    "virtual.glusterfs",
    // Attributes of the simple quota (Gluster 11), and of WORM.
    "trusted.gfs.squota.", "trusted.worm_file", "trusted.start_time", "trusted.reten_state",
  ].map { Array($0.utf8) }

  /// The attribute of SELinux, and the name under which a volume lists it.
  private static let (selinux, listedSELinux) = (Array("security.selinux".utf8), Array("trusted.glusterfs.selinux".utf8))

  /// Returns the names that a client uses for the attributes that a volume lists. Gluster lists an entry's SELinux context under an
  /// internal name, and returns its value under the usual one.
  package static func ownNames(_ listed: [[UInt8]]) -> [[UInt8]] {
    guard let index = listed.firstIndex(of: listedSELinux), !listed.contains(selinux) else { return listed }
    var names = listed
    names[index] = selinux
    return names
  }

  /// Returns true if the attribute `name` is backed up with its entry.
  ///
  /// - Parameter aclsTravelAlone: true if the ACLs are backed up as ACLs, and not a second time as extended attributes.
  package static func includes(_ name: [UInt8], aclsTravelAlone: Bool) -> Bool {
    if name == ACLStream.accessName || name == ACLStream.defaultName { return !aclsTravelAlone }
    guard !isBookkeeping(name) else { return false }
    // The administrator's rules: xattr.conf(5).
    let text = String(decoding: name, as: UTF8.self)
    return attr_copy_action(text, nil) != ATTR_ACTION_SKIP
  }

  package static func isBookkeeping(_ name: [UInt8]) -> Bool {
    bookkeeping.contains { name.starts(with: $0) }
  }
}
