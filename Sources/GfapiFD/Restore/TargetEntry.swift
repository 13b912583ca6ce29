import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import Locks
import SystemPackage

/// An entry that is being restored and is not a directory. It is made on the volume by the first call that needs it. Pieces of a file can
/// be written in parallel; the other steps come after them.
///
/// An existing entry of the same name stays until the new one is complete. Until then the new entry has a temporary name.
final class TargetEntry: Sendable {
  private let entry: RestoreEntry
  let name: [UInt8]
  let directory: TargetDirectory
  let state = Mutex(State())

  struct State {
    var made: Made?
    /// True if the entry could not be made, or the volume did not take some of its data.
    var hasFailed = false
    /// The end of the file on the volume, in bytes.
    var length = 0
  }

  struct Made {
    let object: Object
    let file: WrittenFile?
    let inheritsACL: Bool
    /// The name of the entry until it is complete; nil: the entry has its own name from the beginning.
    let temporary: [UInt8]?
    /// True if the entry is an existing file that a delta changes.
    var isChanged = false
  }

  /// - Parameter name: the entry's name in `directory`.
  init(_ entry: RestoreEntry, _ name: [UInt8], in directory: TargetDirectory) {
    self.entry = entry
    self.name = name
    self.directory = directory
  }

  // MARK: Data

  /// Writes data, unless an earlier write has failed.
  ///
  /// - Throws: ``RestoreProblem``, ``GlusterError``.
  func write(_ data: SparseData) throws {
    guard data.count > 0, !state.withLock(\.hasFailed) else { return }
    do {
      guard let file = try make().file else { throw RestoreProblem("data for an entry that has none") }
      try data.forEachRun { bytes, offset in
        do { try file.write(bytes, at: offset) } catch {
          throw RestoreProblem("cannot write at offset \(offset)", error, consequence)
        }
        state.withLock { $0.length = max($0.length, offset + bytes.count) }
      }
    } catch {
      state.withLock { $0.hasFailed = true }
      throw error
    }
  }

  /// Completes the file, and sets the entry's attributes.
  ///
  /// - Parameter length: the length of the file, including a hole at the end, in bytes.
  /// - Returns: a message for each attribute that the volume refused.
  /// - Throws: ``RestoreProblem`` or ``GlusterError`` if the entry could not be made or completed.
  func finish(length: Int, _ attributes: TargetAttributes) throws -> [JobMessage] {
    let (isThere, hasFailed, written) = state.withLock { ($0.made != nil, $0.hasFailed, $0.length) }
    guard isThere || !hasFailed else { return [] }
    let made = try make()
    do {
      var incomplete: RestoreProblem?
      if let file = made.file {
        do {
          if written < length, !hasFailed { try file.truncate(to: length) }
          try file.close()
        } catch {
          incomplete = RestoreProblem("cannot complete the file at offset \(length)", error, consequence)
        }
      }
      if made.temporary != nil, hasFailed || incomplete != nil {
        giveUp(made)
        if let incomplete { throw incomplete }
        return []
      }
      var problems = made.isChanged ? attributes.removeOthers(from: made.object) : []
      problems += try attributes.apply(to: made.object, inheritsACL: made.inheritsACL)
      if let incomplete { throw incomplete }
      if let temporary = made.temporary {
        try directory.onWhole { above in
          do { try above.rename(temporary, to: name) } catch let error as GlusterError
            where error.meansMissing || [.isDirectory, .fileExists, .directoryNotEmpty].contains(error.errno)
          {
            let there = try? above.lookUp(name).status
            if there?.isDirectory == true { throw Self.isDirectoryThere }
            // The entry may have the name all the same: an earlier attempt's answer was lost, or a brick that has the entry is unreachable.
            // A distributed volume with a new brick reported that a name existed which it had just replaced (seen once, 10.3).
            guard let there, there.st_ino == (try? made.object.status().st_ino) else { throw error }
          }
        }
        directory.replaced(temporary)
      }
      return problems
    } catch {
      guard !giveUp(made), let temporary = made.temporary, let error = error as? GlusterError, error.errno == .readOnlyFileSystem else {
        throw error
      }
      directory.keepsAll = true
      throw RestoreProblem("the new file stays as \(printable(temporary)), and cannot be removed", error)
    }
  }

  /// The consequence of a file that cannot be completed, for messages.
  var consequence: String {
    let made = state.withLock(\.made)
    if made?.isChanged == true { return isLeft }
    return made?.temporary == nil ? "the file is incomplete" : "the existing file is unchanged"
  }

  private static let isDirectoryThere = RestoreProblem("a directory has its name: move the directory away first")

  /// Removes the new entry if it was to replace an existing one.
  ///
  /// - Returns: true if nothing of it is left on the volume.
  @discardableResult private func giveUp(_ made: Made) -> Bool {
    guard let temporary = made.temporary, !made.isChanged else { return true }
    // If this fails, `removeReplacements()` tries again at the end of the restore.
    guard (try? directory.onWhole { try $0.remove(temporary) }) != nil else { return false }
    directory.replaced(temporary)
    return true
  }

  // MARK: Making

  private func make() throws -> Made {
    try state.withLock { state in
      if let made = state.made { return made }
      let inherits = try !entry.status.isSymbolicLink && directory.passesACLOn()
      try directory.onWhole { above in
        try placing(in: above) { name, temporary in state.made = try create(name, in: above, inherits, temporary) }
      }
      return state.made!
    }
  }

  private func create(_ name: [UInt8], in above: Object, _ inheritsACL: Bool, _ temporary: [UInt8]?) throws -> Made {
    func made(_ object: Object, _ file: WrittenFile? = nil) -> Made {
      Made(object: object, file: file, inheritsACL: inheritsACL, temporary: temporary)
    }
    switch entry.status.type {
    case S_IFREG:
      let created = try above.createFile(name, mode: 0o600)
      let object = created.object
      return made(object, WrittenFile(created.file))
    case S_IFLNK: return made(try above.createLink(name, target: entry.link))
    default: return made(try above.createSpecial(name, mode: entry.status.type | 0o600, device: entry.status.st_rdev))
    }
  }

  /// Makes the entry an additional hard link to the file at `path`.
  ///
  /// - Parameter firstDirectory: the directory that this path leads into, if it is known.
  /// - Throws: ``RestoreProblem``, ``GlusterError``.
  func link(to path: VolumePath, in firstDirectory: TargetDirectory?) throws {
    let first: (object: Object, status: stat)
    do {
      first = try repeating(on: [.staleNFSFileHandle]) {
        try firstDirectory?.onWhole { try $0.lookUp(path.name) } ?? directory.lookUpOnVolume(path)
      }
    } catch let error as GlusterError where error.meansMissing {
      throw RestoreProblem("it is a hard link to \(printable(entry.link)), which has its data and is not there: restore that file as well")
    } catch {
      throw RestoreProblem("its first name \(printable(entry.link)) cannot be looked up: \(error)")
    }
    guard !first.status.isDirectory else { throw RestoreProblem("its first name \(printable(entry.link)) is a directory") }
    try directory.onWhole { above in
      try placing(in: above, keeping: first.status.st_ino) { name, temporary in
        try repeating(on: [.noData, .noSuchFileOrDirectory]) { try above.link(first.object, as: name) }
        guard let temporary else { return }
        do { try above.rename(temporary, to: self.name) } catch {
          try? above.remove(temporary)
          throw error
        }
        directory.replaced(temporary)
      }
    }
  }

  private func repeating<T>(on errors: [Errno], _ call: () throws -> T) throws -> T {
    for attempt in 1... {
      do { return try call() } catch let error as GlusterError where attempt < Self.linkAttempts && errors.contains(error.errno) {}
    }
    fatalError("there is a last attempt")
  }

  /// How often the plugin tries to make a hard link. On a distributed volume, hard links to one file that are made at the same time, or
  /// while the file is moved to another brick, can disturb each other: one finds a pointer file missing that another is making (10.3).
  private static let linkAttempts = 5

  /// Runs `create` with the entry's name, or with a temporary name if an entry of that name exists.
  ///
  /// An existing file is replaced by renaming, not overwritten, so its other hard links keep their data.
  ///
  /// - Parameters:
  ///   - number: an inode number. If the existing entry has this number, nothing is done.
  ///   - create: called with the name to use. `temporary` is nil if that is the entry's own name; otherwise it is the same temporary name,
  ///     which must be renamed later.
  /// - Throws: ``RestoreProblem`` if a directory has the entry's name, ``GlusterError``.
  private func placing(
    in above: Object, keeping number: ino_t? = nil, _ create: (_ name: [UInt8], _ temporary: [UInt8]?) throws -> Void
  ) throws {
    // A distributed volume returns ESTALE for a hard link whose name another file has.
    do { try create(name, nil) } catch let error as GlusterError where [.fileExists, .staleNFSFileHandle].contains(error.errno) {
      // In all other cases, the later renaming reports what is in the way.
      if number != nil || error.errno != .fileExists {
        guard let existing = try directory.existing(name) else { throw error }
        guard !existing.isDirectory else { throw Self.isDirectoryThere }
        if existing.st_ino == number { return }
      }
      // The new file could be neither renamed nor removed.
      guard !directory.keepsAll else { throw GlusterError(errno: .readOnlyFileSystem, call: "glfs_h_rename") }
      let temporary = directory.replacement(for: name)
      do { try create(temporary, temporary) } catch {
        // The entry may exist all the same, if only the answer was lost. If it cannot be removed now, it is removed at the end of the
        // restore.
        do {
          try above.remove(temporary)
          directory.replaced(temporary)
        } catch let left where left.errno == .noSuchFileOrDirectory {
          if (error as? GlusterError)?.meansVolumeIsGone != true { directory.replaced(temporary) }
        } catch {}
        throw error
      }
    }
  }
}
