import Glibc
import Gluster
import SystemPackage

/// Finds the directory that an entry goes into, makes those that are missing, and follows no symbolic link on the way.
/// Keeps the chain of directories of the last path: entries come sorted by directory.
final class ParentDirectories {
  final class Directory {
    let name: [UInt8]
    let object: Object
    private var hasDefaultACL: Bool?

    init(name: [UInt8], object: Object) {
      self.name = name
      self.object = object
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
      chain.removeSubrange(depth...)
      chain.append(Directory(name: name, object: try step(to: name, from: chain[depth - 1], path, depth, creating)))
      depth += 1
    }
    return chain[depth - 1]
  }

  private func step(
    to name: [UInt8], from parent: Directory, _ path: ArraySlice<[UInt8]>, _ depth: Int, _ creating: Bool
  ) throws -> Object {
    var shown: String { "/" + path.prefix(depth).map(printable).joined(separator: "/") }
    do {
      let found = try parent.object.lookUp(name)
      if found.status.isSymbolicLink {
        throw RestoreProblem("\(shown) is a symbolic link: none is followed on restore")
      }
      guard found.status.isDirectory else { throw RestoreProblem("\(shown) is not a directory") }
      return found.object
    } catch let error as GlusterError where error.errno == .noSuchFileOrDirectory && creating {
      do {
        let created = try parent.object.createDirectory(name, mode: 0o755)
        made.insert(created.status.st_ino)
        return created.object
      } catch {
        throw RestoreProblem("cannot make the directory \(shown): \(asGlusterError(error))")
      }
    } catch let error as GlusterError {
      throw RestoreProblem("\(shown): \(error)")
    }
  }

  /// Forgets directories below the one at `path`, and what is known of its ACL: its own record changes it.
  func changed(_ path: ArraySlice<[UInt8]>) {
    for (depth, name) in path.enumerated() {
      guard depth + 1 < chain.count, chain[depth + 1].name == name else { return }
    }
    if path.count < chain.count { chain[path.count].forgetACL() }
  }

  /// Whether the directory was made here, and no record for it has come: then nothing of the user is in its place.
  func tookOver(_ directory: stat) -> Bool { made.remove(directory.st_ino) != nil }
}
