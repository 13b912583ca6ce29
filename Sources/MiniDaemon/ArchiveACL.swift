import CArchive
import Glibc

/// Converts between the plugin's ACL stream and the ACLs of libarchive's entries.
///
/// The stream has for each ACL: the length of the name with its NUL (big-endian `UInt32`), the name, the length of the value (big-endian
/// `UInt32`), and the value. The value (linux/posix_acl_xattr.h) has a little-endian `UInt32` 2, and then for each entry a little-endian
/// `UInt16` tag, `UInt16` permissions and `UInt32` id.
enum ArchiveACL {
  private static let types = [
    (name: "system.posix_acl_access", type: ARCHIVE_ENTRY_ACL_TYPE_ACCESS),
    (name: "system.posix_acl_default", type: ARCHIVE_ENTRY_ACL_TYPE_DEFAULT),
  ]
  private static let tags: [(number: UInt16, tag: Int32, hasID: Bool)] = [
    (1, ARCHIVE_ENTRY_ACL_USER_OBJ, false), (2, ARCHIVE_ENTRY_ACL_USER, true),
    (4, ARCHIVE_ENTRY_ACL_GROUP_OBJ, false), (8, ARCHIVE_ENTRY_ACL_GROUP, true),
    (16, ARCHIVE_ENTRY_ACL_MASK, false), (32, ARCHIVE_ENTRY_ACL_OTHER, false),
  ]

  /// Adds the ACLs of a stream to an entry. Returns true if all could be added.
  static func add(_ stream: [UInt8], to entry: OpaquePointer) -> Bool {
    var rest = stream[...]
    func take(_ count: Int) -> ArraySlice<UInt8>? {
      guard count <= rest.count else { return nil }
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count)
    }
    func length() -> Int? { take(4)?.reduce(0) { $0 << 8 | Int($1) } }
    while !rest.isEmpty {
      guard let nameLength = length(), let name = take(nameLength), let valueLength = length(),
        let value = take(valueLength), value.count >= 4, (value.count - 4) % 8 == 0,
        let type = types.first(where: { name.dropLast().elementsEqual($0.name.utf8) })?.type
      else { return false }
      for start in stride(from: value.startIndex + 4, to: value.endIndex, by: 8) {
        func number(_ offset: Int, _ size: Int) -> UInt32 {
          (0..<size).reduce(0) { $0 | UInt32(value[start + offset + $1]) << UInt32(8 * $1) }
        }
        guard let tag = tags.first(where: { $0.number == UInt16(number(0, 2)) }) else { return false }
        guard
          archive_entry_acl_add_entry(
            entry, type, Int32(number(2, 2)), tag.tag, tag.hasID ? Int32(bitPattern: number(4, 4)) : -1, nil) == ARCHIVE_OK
        else { return false }
      }
    }
    return true
  }

  /// Returns the stream of an entry's ACLs, and changes `mode` to match it: with an ACL, the group's permissions in the mode are the mask.
  static func stream(of entry: OpaquePointer, mode: inout mode_t) -> [UInt8] {
    var stream: [UInt8] = []
    for (name, type) in types {
      var items: [(number: UInt16, permissions: UInt16, id: UInt32)] = []
      let count = archive_entry_acl_reset(entry, type)
      // For the access ACL libarchive always returns three entries, made from the mode. There is an ACL only if there are more.
      guard count > (type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS ? 3 : 0) else { continue }
      var (found, permissions, tag, id) = (Int32(0), Int32(0), Int32(0), Int32(0))
      var label: UnsafePointer<CChar>?
      while archive_entry_acl_next(entry, type, &found, &permissions, &tag, &id, &label) == ARCHIVE_OK {
        guard let known = tags.first(where: { $0.tag == tag }) else { continue }
        items.append((known.number, UInt16(permissions), known.hasID ? UInt32(bitPattern: id) : .max))
      }
      items.sort { ($0.number, $0.id) < ($1.number, $1.id) }
      if type == ARCHIVE_ENTRY_ACL_TYPE_ACCESS, let mask = items.first(where: { $0.number == 16 }) {
        mode = mode & ~0o070 | mode_t(mask.permissions) << 3
      }
      var value = littleEndian(UInt32(2))
      for item in items { value += littleEndian(item.number) + littleEndian(item.permissions) + littleEndian(item.id) }
      stream += bigEndian(name.utf8.count + 1) + Array(name.utf8) + [0] + bigEndian(value.count) + value
    }
    return stream
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian, Array.init)
  }

  private static func bigEndian(_ value: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(value).bigEndian, Array.init) }
}
