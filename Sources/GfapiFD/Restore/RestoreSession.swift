import Glibc
import Gluster
import SystemPackage

/// The volume's side of a restore: lives where the volume's calls are made. One entry at a time: ``create(_:)``, data,
/// attributes in any order, ``finish()``.
package final class RestoreSession {
  package enum Created: Sendable {
    /// Made, or there already as a directory; its attributes shall follow, and a file's data.
    case created
    /// A hard link: it shares its attributes with the first name.
    case linked
    /// Left alone for the replace rule.
    case skipped(String)
  }

  private let parents: ParentDirectories
  private let volume: Volume

  /// The entry that is being restored.
  private final class Current {
    let object: Object
    let path: [[UInt8]]
    let inheritsACL: Bool
    /// Of a directory's inode.
    let directoryNumber: ino_t?
    var writer: SparseWriter?
    /// The first failed write ends the writing.
    var failed = false
    var attributes: stat?
    var acls: [ACLStream.Item]?
    var extendedAttributes: [EntryFetcher.ExtendedAttribute] = []

    init(
      _ object: Object, path: [[UInt8]], inheritsACL: Bool, directoryNumber: ino_t? = nil,
      writer: consuming SparseWriter? = nil
    ) {
      self.object = object
      self.path = path
      self.inheritsACL = inheritsACL
      self.directoryNumber = directoryNumber
      self.writer = writer
    }
  }
  private var current: Current?

  package init(_ volume: Volume) throws {
    self.volume = volume
    parents = try ParentDirectories(volume)
  }

  // MARK: Creating

  /// Makes an entry; what stands in its place goes, if the replace rule says so.
  ///
  /// - Throws: ``RestoreProblem`` or ``GlusterError``.
  package func create(_ entry: RestoreEntry) throws -> Created {
    current = nil
    let path = try Self.components(entry.path)
    guard let name = path.last else {
      // The root is always there.
      guard entry.status.isDirectory else { throw RestoreProblem("the volume's root can only be a directory") }
      let root = try volume.root()
      if let rule = rule(entry, against: root.status) { return .skipped(rule) }
      current = Current(root.object, path: [], inheritsACL: false, directoryNumber: root.status.st_ino)
      return .created
    }
    let parent = try parents.directory(path.dropLast(), creating: true)
    let existing: (object: Object, status: stat)?
    do {
      existing = try parent.object.lookUp(name)
    } catch let error as GlusterError where error.errno == .noSuchFileOrDirectory {
      existing = nil
    }

    var isOurs = false
    if let existing {
      isOurs = existing.status.isDirectory && entry.status.isDirectory && parents.tookOver(existing.status)
      if !isOurs, let rule = rule(entry, against: existing.status) { return .skipped(rule) }
    }
    if entry.kind == .hardLink { return try link(entry, as: name, in: parent, over: existing) }
    if entry.status.isDirectory {
      if let existing {
        guard existing.status.isDirectory else {
          throw RestoreProblem("a directory is to be restored, something else stands in its place: move that away first")
        }
        current = Current(
          existing.object, path: path, inheritsACL: isOurs && parent.passesACLOn(),
          directoryNumber: existing.status.st_ino)
      } else {
        parent.disturb()
        let created = try parent.object.createDirectory(name, mode: 0o700)
        current = Current(
          created.object, path: path, inheritsACL: parent.passesACLOn(), directoryNumber: created.status.st_ino)
      }
      return .created
    }
    parent.disturb()
    try remove(existing, name, from: parent)
    current = try make(entry, name, path, in: parent)
    return .created
  }

  /// Why the replace rule leaves the existing entry alone; nil if it does not.
  private func rule(_ entry: RestoreEntry, against existing: stat) -> String? {
    let (backup, volume) = (entry.status.st_mtim.tv_sec, existing.st_mtim.tv_sec)
    switch entry.replace {
    case .always: return nil
    case .never: return "it exists"
    case .ifNewer: return backup > volume ? nil : "the backup is not newer"
    case .ifOlder: return backup < volume ? nil : "the backup is not older"
    }
  }

  private func link(
    _ entry: RestoreEntry, as name: [UInt8], in parent: ParentDirectories.Directory,
    over existing: (object: Object, status: stat)?
  ) throws -> Created {
    let target = try Self.components(entry.link)
    guard let targetName = target.last else { throw RestoreProblem("a hard link to the volume's root") }
    let first: (object: Object, status: stat)
    do {
      first = try parents.directory(target.dropLast(), creating: false).object.lookUp(targetName)
    } catch {
      throw RestoreProblem("its first name \(printable(entry.link)) is not there: \(error)")
    }
    guard !first.status.isDirectory else { throw RestoreProblem("its first name \(printable(entry.link)) is a directory") }
    if let existing, existing.status.st_ino == first.status.st_ino { return .linked }
    parent.disturb()
    try remove(existing, name, from: parent)
    try parent.object.link(first.object, as: name)
    return .linked
  }

  /// Takes away what stands in the place of an entry that is no directory. Other names of an old file keep its data.
  private func remove(
    _ existing: (object: Object, status: stat)?, _ name: [UInt8], from parent: ParentDirectories.Directory
  ) throws {
    guard let existing else { return }
    guard !existing.status.isDirectory else {
      throw RestoreProblem("a directory stands in its place: move it away first")
    }
    try parent.object.remove(name)
  }

  private func make(
    _ entry: RestoreEntry, _ name: [UInt8], _ path: [[UInt8]], in parent: ParentDirectories.Directory
  ) throws -> Current {
    let inherits = !entry.status.isSymbolicLink && parent.passesACLOn()
    switch entry.status.type {
    case S_IFREG:
      let created = try parent.object.createFile(name, mode: 0o600)
      let object = created.object
      return Current(object, path: path, inheritsACL: inherits, writer: SparseWriter(created.file))
    case S_IFLNK:
      guard !entry.link.isEmpty else { throw RestoreProblem("a symbolic link without a target") }
      return Current(
        try parent.object.createLink(name, target: entry.link), path: path, inheritsACL: false)
    case S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK:
      let object = try parent.object.createSpecial(
        name, mode: entry.status.type | 0o600, device: entry.status.st_rdev)
      return Current(object, path: path, inheritsACL: inherits)
    default:
      throw RestoreProblem("an entry of unknown type, mode \(String(entry.status.st_mode, radix: 8))")
    }
  }

  private static func components(_ path: [UInt8]) throws -> [[UInt8]] {
    let components = path.split(separator: UInt8(ascii: "/")).map(Array.init).filter { $0 != [UInt8(ascii: ".")] }
    guard !components.contains([UInt8(ascii: "."), UInt8(ascii: ".")]) else {
      throw RestoreProblem("\"..\" in the path")
    }
    return components
  }

  // MARK: Data

  /// Writes data of the current file.
  ///
  /// - Throws: ``RestoreProblem`` for the first piece that the volume does not take.
  package func write(_ data: [UInt8], at offset: Int) throws {
    guard let current, !current.failed else { return }
    guard current.writer != nil else { throw RestoreProblem("data for an entry that has none") }
    do {
      try current.writer!.write(data, at: offset)
    } catch {
      current.failed = true
      throw RestoreProblem("cannot write at offset \(error.offset): \(error.error): the file is incomplete")
    }
  }

  /// Ends the data of the current file.
  ///
  /// - Parameter length: how far the data reached, a hole at its end included.
  package func closeFile(length: Int) throws {
    guard let current, let writer = current.writer.take() else { return }
    do {
      var writer = writer
      writer.extend(to: current.failed ? 0 : length)
      try writer.finish()
    } catch {
      if current.failed { return }
      current.failed = true
      throw RestoreProblem("cannot complete the file at offset \(error.offset): \(error.error): the file is incomplete")
    }
  }

  // MARK: Attributes

  /// Keeps the attributes for ``finish()``.
  package func setAttributes(_ status: stat) { current?.attributes = status }

  /// Keeps the ACLs for ``finish()``.
  package func setACLs(_ items: [ACLStream.Item]) { current?.acls = items }

  /// Keeps one extended attribute for ``finish()``.
  package func setExtendedAttribute(_ attribute: EntryFetcher.ExtendedAttribute) {
    current?.extendedAttributes.append(attribute)
  }

  /// Gives the current entry its attributes, in the one order in which none undoes another: owner (which takes set-id
  /// bits and capabilities away), ACLs (which touch the mode), extended attributes, mode, times.
  ///
  /// - Returns: what the volume refused, in words.
  package func finish() -> [String] {
    guard let current else { return [] }
    defer { self.current = nil }
    var problems: [String] = []
    func attempt(_ what: @autoclosure () -> String, _ body: () throws -> Void) {
      do { try body() } catch { problems.append("\(what()): \(asGlusterError(error))") }
    }
    do { try closeFile(length: 0) } catch { problems.append("\(error)") }
    let object = current.object
    let status = current.attributes
    if let status {
      attempt("cannot set the owner \(status.st_uid):\(status.st_gid)") { try object.setAttributes(status, .owner) }
    }
    applyACLs(current, attempt)
    for attribute in current.extendedAttributes {
      attempt("cannot set the extended attribute \(printable(attribute.name)) of \(attribute.value.count) bytes") {
        try object.setExtendedAttribute(attribute.name, attribute.value)
      }
    }
    if let status {
      if !status.isSymbolicLink {
        attempt("cannot set the mode \(String(status.st_mode & 0o7777, radix: 8))") {
          try object.setAttributes(status, .mode)
        }
      }
      attempt("cannot set the times") { try object.setAttributes(status, .times) }
    }
    parents.changed(current.path[...], current.directoryNumber, status)
    return problems
  }

  /// Ends the restore.
  ///
  /// - Returns: what the volume refused, in words that name the path.
  package func end() -> [String] {
    current = nil
    return parents.finish()
  }

  private func applyACLs(_ current: Current, _ attempt: (@autoclosure () -> String, () throws -> Void) -> Void) {
    let items = current.acls ?? []
    // What a new entry inherited is not its own. An existing directory keeps its ACLs, unless the backup has others.
    if current.inheritsACL || current.acls != nil {
      for name in [ACLStream.accessName, ACLStream.defaultName] where !items.contains(where: { $0.name == name }) {
        try? current.object.removeExtendedAttribute(name)
      }
    }
    for item in items {
      attempt("cannot set the ACL \(printable(item.name)) of \(item.value.count) bytes") {
        try current.object.setExtendedAttribute(item.name, item.value)
      }
    }
  }
}
