import GfapiAttributes
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster

/// The attributes that an entry gets in a restore: everything but its data.
struct TargetAttributes: Sendable {
  /// Owner, mode and times; nil: the entry keeps those that it was made with.
  var status: stat?
  /// The entry's ACLs; nil: its record has none.
  var acls: [ACLStream.Item]?
  var extendedAttributes: [ExtendedAttribute] = []

  /// The size of these attributes in memory, in bytes.
  var size: Int {
    extendedAttributes.reduce((acls ?? []).reduce(0) { $0 + $1.value.count }) { $0 + $1.name.count + $1.value.count }
  }

  /// Sets these attributes on an entry, in an order in which none undoes another.
  ///
  /// The order is: ACLs, which change the mode; extended attributes; then owner, mode and times with one call. The brick applies the
  /// parts of that call in this order, because a new owner removes the set-id bits. A new owner also removes capabilities: if the entry
  /// has `security.` attributes, the owner is set before everything else.
  ///
  /// - Parameter inheritsACL: true if the entry was made in a directory that passes on an ACL.
  /// - Returns: a message for each attribute that the volume refused.
  /// - Throws: ``RestoreProblem`` if the volume is gone.
  func apply(to object: Object, inheritsACL: Bool) throws(RestoreProblem) -> [JobMessage] {
    var problems: [JobMessage] = []
    func attempt(_ code: String, _ what: @autoclosure () -> String, _ body: () throws(GlusterError) -> Void) throws(RestoreProblem) {
      do { try body() } catch {
        if error.meansVolumeIsGone { throw RestoreProblem(what(), error) }
        problems.append(JobMessage(code, "\(what()): \(error)"))
      }
    }
    func set(_ which: Object.Attributes, of status: stat) throws(RestoreProblem) {
      if which.contains(.owner) {
        try attempt("GFD-072", "cannot set the owner \(status.st_uid):\(status.st_gid)") { () throws(GlusterError) in
          try object.setAttributes(status, .owner)
        }
      }
      if which.contains(.mode) {
        try attempt("GFD-072", "cannot set the mode \(String(status.st_mode & 0o7777, radix: 8))") { () throws(GlusterError) in
          try object.setAttributes(status, .mode)
        }
      }
      if which.contains(.times) {
        try attempt("GFD-072", "cannot set the times") { () throws(GlusterError) in try object.setAttributes(status, .times) }
      }
    }

    let losesByOwner = extendedAttributes.contains { $0.name.starts(with: "security.".utf8) }
    if losesByOwner, let status { try set(.owner, of: status) }
    try applyACLs(to: object, inheritsACL, attempt)
    for attribute in extendedAttributes {
      try attempt("GFD-074", "cannot set the extended attribute \(printable(attribute.name)) of \(attribute.value.count) bytes") {
        () throws(GlusterError) in
        try object.setExtendedAttribute(attribute.name, attribute.value)
      }
    }
    if let status {
      var which: Object.Attributes = losesByOwner ? [.times] : [.owner, .times]
      if !status.isSymbolicLink { which.insert(.mode) }
      // If the volume refuses, set them one by one, so that the message names the attribute.
      do { try object.setAttributes(status, which) } catch { try set(which, of: status) }
    }
    return problems
  }

  /// Removes the extended attributes that an existing entry has and the record does not. (The ACLs are for ``apply(to:inheritsACL:)``.)
  ///
  /// - Returns: a message for each attribute that the volume refused to remove.
  func removeOthers(from object: Object) -> [JobMessage] {
    guard let names = try? object.extendedAttributeNames() else { return [] }
    let own = Set(extendedAttributes.map(\.name))
    return AttributeRules.ownNames(names).compactMap { name in
      guard AttributeRules.includes(name, aclsTravelAlone: true), !own.contains(name) else { return nil }
      do { try object.removeExtendedAttribute(name) } catch {
        return JobMessage("GFD-074", "cannot remove the extended attribute \(printable(name)), which is not in the backup: \(error)")
      }
      return nil
    }
  }

  private func applyACLs(
    to object: Object, _ inheritsACL: Bool,
    _ attempt: (_ code: String, @autoclosure () -> String, () throws(GlusterError) -> Void) throws(RestoreProblem) -> Void
  ) throws(RestoreProblem) {
    let items = acls ?? []
    // A new entry must not keep ACLs that it inherited. An existing directory keeps its ACLs, unless the backup has ACLs for it.
    if inheritsACL || acls != nil {
      for name in [ACLStream.accessName, ACLStream.defaultName] where !items.contains(where: { $0.name == name }) {
        try attempt("GFD-073", "cannot remove the ACL \(printable(name)), which is not in the backup") { () throws(GlusterError) in
          try object.removeExtendedAttribute(name)
        }
      }
    }
    for item in items {
      try attempt("GFD-073", "cannot set the ACL \(printable(item.name)) of \(item.value.count) bytes") { () throws(GlusterError) in
        try object.setExtendedAttribute(item.name, item.value)
      }
    }
  }
}
