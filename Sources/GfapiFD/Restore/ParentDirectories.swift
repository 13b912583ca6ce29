import Glibc
import Gluster
import SystemPackage

/// Finds the directory that an entry goes into, makes those that are missing, and follows no symbolic link on the way.
/// Keeps the chain of directories of the last path: entries come sorted by directory.
///
/// A directory's record comes after its content, but in a restore of several backups what the later ones have in it comes
/// after that record: then the directory gets its times back when the chain leaves it.
final class ParentDirectories {
  final class Directory {
    let name: [UInt8]
    let object: Object
    private var hasDefaultACL: Bool?
    /// Its own record's, if that has come.
    fileprivate var times: stat?
    private var isDisturbed = false

    init(name: [UInt8], object: Object, times: stat? = nil) {
      self.name = name
      self.object = object
      self.times = times
    }

    /// To be told before an entry in it is made or taken away.
    func disturb() { isDisturbed = true }

    /// Sets the times that it had before it was disturbed.
    fileprivate func settle() throws {
      guard isDisturbed, let times else { return }
      isDisturbed = false
      try object.setAttributes(times, .times)
    }

    /// Whether what is created in this directory inherits an ACL.
    func passesACLOn() -> Bool {
      if let hasDefaultACL { return hasDefaultACL }
      let has = ((try? object.extendedAttribute(ACLStream.defaultName)) ?? nil) != nil
      hasDefaultACL = has
      return has
    }

    func forgetACL() { hasDefaultACL = nil }
  }

  private var chain: [Directory]
  /// Directories made here whose own record has not come yet, by inode number.
  private var made: Set<ino_t> = []
  /// Directories whose own record has come, by inode number.
  private var restored: Set<ino_t> = []
  /// Directories that did not get their times back, in words.
  private var problems: [String] = []

  init(_ volume: Volume) throws {
    chain = [Directory(name: [], object: try volume.root().object)]
  }

  /// The directory at `path`.
  ///
  /// - Parameters:
  ///   - path: components.
  ///   - creating: make what is missing; else a missing one is an error.
  func directory(_ path: ArraySlice<[UInt8]>, creating: Bool) throws -> Directory {
    var depth = 1
    for name in path {
      if depth < chain.count, chain[depth].name == name {
        depth += 1
        continue
      }
      leave(depth)
      chain.append(try step(to: name, from: chain[depth - 1], path, depth, creating))
      depth += 1
    }
    return chain[depth - 1]
  }

  private func step(
    to name: [UInt8], from parent: Directory, _ path: ArraySlice<[UInt8]>, _ depth: Int, _ creating: Bool
  ) throws -> Directory {
    var shown: String { "/" + path.prefix(depth).map(printable).joined(separator: "/") }
    do {
      let found = try parent.object.lookUp(name)
      if found.status.isSymbolicLink {
        throw RestoreProblem("\(shown) is a symbolic link: none is followed on restore")
      }
      guard found.status.isDirectory else { throw RestoreProblem("\(shown) is not a directory") }
      let times = restored.contains(found.status.st_ino) ? found.status : nil
      return Directory(name: name, object: found.object, times: times)
    } catch let error as GlusterError where error.errno == .noSuchFileOrDirectory && creating {
      do {
        parent.disturb()
        let created = try parent.object.createDirectory(name, mode: 0o755)
        made.insert(created.status.st_ino)
        return Directory(name: name, object: created.object)
      } catch {
        throw RestoreProblem("cannot make the directory \(shown): \(asGlusterError(error))")
      }
    } catch let error as GlusterError {
      throw RestoreProblem("\(shown): \(error)")
    }
  }

  /// Takes the directories from `depth` on out of the chain.
  private func leave(_ depth: Int) {
    for level in (depth..<chain.count).reversed() {
      do { try chain[level].settle() } catch {
        let shown = chain[1...level].map { printable($0.name) }.joined(separator: "/")
        problems.append("/\(shown): cannot set the times again after later entries: \(asGlusterError(error))")
      }
    }
    chain.removeSubrange(depth...)
  }

  /// Ends the work.
  ///
  /// - Returns: what the volume refused, in words that name the path.
  func finish() -> [String] {
    leave(1)
    do { try chain[0].settle() } catch {
      problems.append("/: cannot set the times again after later entries: \(asGlusterError(error))")
    }
    return problems
  }

  /// Forgets what is known of the directory at `path` that its own record has changed.
  ///
  /// - Parameters:
  ///   - number: of its inode; nil: of no directory, or without attributes.
  ///   - status: its new times.
  func changed(_ path: ArraySlice<[UInt8]>, _ number: ino_t?, _ status: stat?) {
    if let number, status != nil { restored.insert(number) }
    for (depth, name) in path.enumerated() {
      guard depth + 1 < chain.count, chain[depth + 1].name == name else { return }
    }
    guard path.count < chain.count else { return }
    chain[path.count].forgetACL()
    if let status { chain[path.count].times = status }
  }

  /// Whether the directory was made here, and no record for it has come: then nothing of the user is in its place.
  func tookOver(_ directory: stat) -> Bool { made.remove(directory.st_ino) != nil }
}
