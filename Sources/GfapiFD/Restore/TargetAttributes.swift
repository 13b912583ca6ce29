import Glibc
import Gluster

/// What an entry is to have beside its data.
struct TargetAttributes: Sendable {
  /// Owner, mode and times; nil: what it was made with.
  var status: stat?
  /// nil: its record has no ACLs of its own.
  var acls: [ACLStream.Item]?
  var extendedAttributes: [EntryFetcher.ExtendedAttribute] = []

  /// In memory, in bytes.
  var size: Int {
    extendedAttributes.reduce((acls ?? []).reduce(0) { $0 + $1.value.count }) { $0 + $1.name.count + $1.value.count }
  }

  /// Gives an entry these attributes, in an order in which none undoes another: ACLs (which touch the mode), extended
  /// attributes, then owner, mode and times with one call, in which the brick takes them in this order: a new owner takes
  /// set-id bits away. It also takes capabilities away: then the owner comes first.
  ///
  /// - Parameter inheritsACL: it was made in a directory that passes an ACL on.
  /// - Returns: what the volume refused, in words.
  /// - Throws: ``RestoreProblem``, if the volume is gone.
  func apply(to object: Object, inheritsACL: Bool) throws -> [String] {
    var problems: [String] = []
    func attempt(_ what: @autoclosure () -> String, _ body: () throws -> Void) throws {
      do { try body() } catch {
        let error = asGlusterError(error)
        if error.meansVolumeIsGone { throw RestoreProblem(what(), error) }
        problems.append("\(what()): \(error)")
      }
    }
    func set(_ which: Object.Attributes, of status: stat) throws {
      if which.contains(.owner) {
        try attempt("cannot set the owner \(status.st_uid):\(status.st_gid)") { try object.setAttributes(status, .owner) }
      }
      if which.contains(.mode) {
        try attempt("cannot set the mode \(String(status.st_mode & 0o7777, radix: 8))") { try object.setAttributes(status, .mode) }
      }
      if which.contains(.times) { try attempt("cannot set the times") { try object.setAttributes(status, .times) } }
    }

    let losesByOwner = extendedAttributes.contains { $0.name.starts(with: "security.".utf8) }
    if losesByOwner, let status { try set(.owner, of: status) }
    try applyACLs(to: object, inheritsACL, attempt)
    for attribute in extendedAttributes {
      try attempt("cannot set the extended attribute \(printable(attribute.name)) of \(attribute.value.count) bytes") {
        try object.setExtendedAttribute(attribute.name, attribute.value)
      }
    }
    if let status {
      var which: Object.Attributes = losesByOwner ? [.times] : [.owner, .times]
      if !status.isSymbolicLink { which.insert(.mode) }
      // One by one where the volume refuses: to say which.
      do { try object.setAttributes(status, which) } catch { try set(which, of: status) }
    }
    return problems
  }

  private func applyACLs(
    to object: Object, _ inheritsACL: Bool, _ attempt: (@autoclosure () -> String, () throws -> Void) throws -> Void
  ) throws {
    let items = acls ?? []
    // What a new entry inherited is not its own. An existing directory keeps its ACLs, unless the backup has others.
    if inheritsACL || acls != nil {
      for name in [ACLStream.accessName, ACLStream.defaultName] where !items.contains(where: { $0.name == name }) {
        try attempt("cannot take the ACL \(printable(name)) away, which it inherited") { try object.removeExtendedAttribute(name) }
      }
    }
    for item in items {
      try attempt("cannot set the ACL \(printable(item.name)) of \(item.value.count) bytes") {
        try object.setExtendedAttribute(item.name, item.value)
      }
    }
  }
}
