import Glibc
import GlusterfindList
import HostFiles

/// A changelog of a brick, as the brick writes it (GlusterFS 3.7 to 11, versions 1.1 and 1.2, `changelog.encoding` ascii).
///
/// The file begins with one line. Records of one or more fields follow, and each field ends with a zero byte.
///
///     GlusterFS Changelog | version: v1.2 | encoding : 2
///     D GFID                                                data changed
///     M GFID, number of the call                            attributes changed
///     E GFID, number of the call, fields of the call:       a name changed
///         MKNOD MKDIR CREATE       mode, owner, group, PARENT/NAME
///         SYMLINK LINK             PARENT/NAME
///         RENAME                   PARENT/NAME, PARENT/NAME
///         UNLINK RMDIR             PARENT/NAME; in version 1.2 also the path, or an empty field and another zero byte
///
/// In the file there is no blank between the letter and the GFID. Identities are text, names are raw bytes.
struct ChangelogFile {
  /// A name in a directory that is given by its identity.
  struct Place: Equatable {
    let parent: [UInt8]
    let name: [UInt8]
  }

  enum Record: Equatable {
    /// Data, attributes, ACL, mode, owner or times changed.
    case changed([UInt8])
    case made([UInt8], Place)
    case linked([UInt8], Place)
    case renamed([UInt8], from: Place, to: Place)
    /// A name was deleted.
    ///
    /// - Parameter path: the path from the root without a leading slash; nil if the brick did not keep it.
    case removed([UInt8], Place, path: [UInt8]?)
  }

  private let reader: FieldReader
  private let hasPaths: Bool
  /// True if the brick still writes to the changelog. The last record may be incomplete then.
  private let isOpen: Bool

  /// Opens a changelog and reads its first line.
  ///
  /// - Throws: ``Failure`` if the file cannot be read or its format is not supported.
  init(_ path: String, isOpen: Bool = false) throws {
    reader = try FieldReader(path)
    self.isOpen = isOpen
    guard let line = try reader.next(UInt8(ascii: "\n")) else {
      // The brick has just made the file.
      guard isOpen else { throw Failure("GFD-107", "the changelog \(path) has no first line") }
      hasPaths = false
      return
    }
    switch String(decoding: line, as: UTF8.self) {
    case "GlusterFS Changelog | version: v1.2 | encoding : 2": hasPaths = true
    case "GlusterFS Changelog | version: v1.1 | encoding : 2": hasPaths = false
    case let line where line.hasSuffix("encoding : 1"):
      throw Failure("GFD-107", "the changelog \(path) is binary: set changelog.encoding to ascii")
    case let line: throw Failure("GFD-107", "the changelog \(path) has an unknown version: \(line.prefix(100))")
    }
  }

  /// The next record; nil after the last.
  func next() throws -> Record? {
    do {
      guard let first = try reader.next() else { return nil }
      return try record(first)
    } catch is FieldReader.CutOff where isOpen {
      return nil
    } catch is FieldReader.CutOff {
      throw Failure("GFD-107", "the changelog \(reader.path) ends within a record")
    }
  }

  private func record(_ first: [UInt8]) throws -> Record {
    let gfid = Array(first.dropFirst())
    guard gfid.count == 36 else { throw unknown(first) }
    switch first[0] {
    case UInt8(ascii: "D"): return .changed(gfid)
    case UInt8(ascii: "M"):
      _ = try field()
      return .changed(gfid)
    case UInt8(ascii: "E"): return try entry(gfid)
    default: throw unknown(first)
    }
  }

  private func entry(_ gfid: [UInt8]) throws -> Record {
    let call = try field()
    switch String(decoding: call, as: UTF8.self) {
    // MKNOD, MKDIR, CREATE.
    case "3", "4", "23":
      for _ in 0..<3 { _ = try field() }
      return .made(gfid, try place())
    // SYMLINK.
    case "7": return .made(gfid, try place())
    // LINK.
    case "9": return .linked(gfid, try place())
    // RENAME.
    case "8": return .renamed(gfid, from: try place(), to: try place())
    // UNLINK, RMDIR.
    case "5", "6":
      let place = try place()
      guard hasPaths else { return .removed(gfid, place, path: nil) }
      let path = try field()
      if path.isEmpty { _ = try field() }
      return .removed(gfid, place, path: path.isEmpty ? nil : path)
    default: throw unknown(call)
    }
  }

  private func place() throws -> Place {
    let field = try field()
    guard let slash = field.firstIndex(of: UInt8(ascii: "/")), slash == 36, field.count > 37 else { throw unknown(field) }
    return Place(parent: Array(field[..<slash]), name: Array(field[(slash + 1)...]))
  }

  private func field() throws -> [UInt8] {
    guard let field = try reader.next() else { throw FieldReader.CutOff() }
    return field
  }

  private func unknown(_ field: [UInt8]) -> Failure {
    Failure(
      "GFD-107",
      "the changelog \(reader.path) has an unknown record before byte \(reader.offset): \(String(decoding: field.prefix(80), as: UTF8.self))"
    )
  }
}

/// Reads the fields of a file, one after another.
final class FieldReader {
  /// The file ends within a field.
  struct CutOff: Error {}

  /// The limit for the length of a field, in bytes. A valid field is shorter: it has at most two paths of 4,096 bytes.
  private static let longest = 16 << 10

  let path: String
  /// The number of bytes in the fields that were returned, including the bytes that end them.
  private(set) var offset = 0
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var used = 0

  init(_ path: String) throws {
    self.path = path
    do { descriptor = try HostFile.open(Array(path.utf8), O_RDONLY) } catch { throw Failure("GFD-107", "cannot read \(path): \(error)") }
  }

  deinit { close(descriptor) }

  /// Returns the bytes before the next byte `end`; nil at the end of the file.
  ///
  /// - Throws: ``CutOff`` if the file ends within a field, ``Failure`` if it cannot be read or a field is too long.
  func next(_ end: UInt8 = 0) throws -> [UInt8]? {
    var searched = used
    while true {
      if let found = buffer[searched...].firstIndex(of: end) {
        let field = Array(buffer[used..<found])
        offset += field.count + 1
        used = found + 1
        return field
      }
      searched = buffer.count - used
      guard searched < Self.longest else {
        throw Failure("GFD-107", "\(path) has a field longer than \(Self.longest) bytes at byte \(offset)")
      }
      buffer.removeFirst(used)
      used = 0
      guard try fill() else {
        if buffer.isEmpty { return nil }
        throw CutOff()
      }
    }
  }

  private func fill() throws -> Bool {
    var count = 0
    let more = [UInt8](unsafeUninitializedCapacity: 64 << 10) { memory, filled in
      repeat { count = read(descriptor, memory.baseAddress!, memory.count) } while count < 0 && errno == EINTR
      filled = max(count, 0)
    }
    guard count >= 0 else { throw Failure("GFD-107", "cannot read \(path): \(String(cString: strerror(errno)))") }
    buffer += more
    return count > 0
  }
}
