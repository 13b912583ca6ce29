import FDPluginABI
import GfapiBackup
import GfapiJob
import GfapiRestore
import Glibc

/// The fields of a save packet that the plugin sets. Their position depends on the release.
package protocol SavePacket {
  var pkt_size: Int32 { get set }
  var pkt_end: Int32 { get set }
  var fname: UnsafeMutablePointer<CChar>! { get set }
  var link: UnsafeMutablePointer<CChar>! { get set }
  var statp: stat { get set }
  var type: Int32 { get set }
  var no_read: Bool { get set }
  var delta_seq: UInt32 { get set }
  init()
  /// Sets or clears one of the flags `FD_FO_…`.
  mutating func set(flag: Int, _ isSet: Bool)
}

extension SavePacket {
  /// Returns a packet for a question to the daemon.
  package static func empty() -> Self {
    var packet = Self()
    packet.pkt_size = Int32(MemoryLayout<Self>.size)
    packet.pkt_end = packet.pkt_size
    return packet
  }

  /// Sets the fields from a record. The strings must live as long as the packet is used.
  package mutating func fill(_ record: SaveRecord, _ strings: RecordStrings) {
    fname = strings.name.pointer
    link = strings.link.pointer
    statp = record.status
    type = record.packetType
    no_read = !record.hasData
    // Bareos passes the flags of the record before. A delta is stored as it is: it has no holes.
    set(flag: FD_FO_DELTA, record.deltaBase != nil)
    if record.deltaBase != nil { set(flag: FD_FO_SPARSE, false) }
    delta_seq = UInt32(record.deltaBase ?? 0)
  }
}

/// The fields of a restore packet that the plugin uses. Their position depends on the release.
package protocol RestorePacket {
  var pkt_size: Int32 { get }
  var type: Int32 { get }
  var statp: stat { get }
  var ofname: UnsafePointer<CChar>! { get }
  var olname: UnsafePointer<CChar>! { get }
  var `where`: UnsafePointer<CChar>! { get }
  var replace: Int32 { get }
  var delta_seq: UInt32 { get }
  var create_status: Int32 { get set }
}

extension fd_restore_packet: RestorePacket {}

extension RestorePacket {
  /// The entry that the packet describes; nil if its type is not that of an entry.
  var entry: RestoreEntry? {
    let known = [
      FD_FT_LNKSAVED, FD_FT_REGE, FD_FT_REG, FD_FT_LNK, FD_FT_DIREND, FD_FT_SPEC, FD_FT_FIFO,
    ]
    guard known.contains(Int(type)) else { return nil }
    let rule: RestoreEntry.Replace =
      switch Int(replace) {
      case FD_REPLACE_NEVER: .never
      case FD_REPLACE_IF_NEWER: .ifNewer
      case FD_REPLACE_IF_OLDER: .ifOlder
      default: .always
      }
    return RestoreEntry(
      kind: type == Int32(FD_FT_LNKSAVED) ? .hardLink : .own, path: bytes(ofname), link: bytes(olname), status: statp,
      replace: rule, delta: Int(delta_seq))
  }
}

extension SaveRecord {
  /// The daemons' type for such an entry.
  package var packetType: Int32 {
    let type =
      switch kind {
      case .regular: status.st_size > 0 ? FD_FT_REG : FD_FT_REGE
      case .symbolicLink: FD_FT_LNK
      case .directory: FD_FT_DIREND
      case .directoryNotEntered: FD_FT_NORECURSE
      case .directoryUnchanged: FD_FT_DIRNOCHG
      // The daemons skip a socket that is sent as a special file, but accept it as a FIFO. Its mode says that it is a socket.
      case .special: status.st_mode & S_IFMT == S_IFSOCK ? FD_FT_FIFO : FD_FT_SPEC
      case .unknown: FD_FT_NOSTAT
      case .unreadable: FD_FT_NOACCESS
      case .directoryNotOpened: FD_FT_NOOPEN
      }
    return Int32(type)
  }
}

extension Severity {
  package var messageType: Int32 {
    let type =
      switch self {
      case .fatal: FD_M_FATAL
      case .error: FD_M_ERROR
      case .notSaved: FD_M_NOTSAVED
      case .warning: FD_M_WARNING
      case .info: FD_M_INFO
      }
    return Int32(type)
  }
}

extension RestoreRun.Answer {
  var createStatus: Int32 {
    let status =
      switch self {
      // The daemons pass on ACLs and extended attributes only for entries that are "extracted", so this is the answer for an entry
      // without data as well.
      case .created: FD_CF_EXTRACT
      case .createdDirectory, .linked: FD_CF_CREATED
      case .skipped: FD_CF_SKIP
      case .failed: FD_CF_ERROR
      }
    return Int32(status)
  }
}

// MARK: Memory

/// The name and the link of a record as the daemons store them. The link of a directory is its name with a slash.
package struct RecordStrings {
  package let name: CBytes
  package let link: CBytes

  package init(name: [UInt8] = [], link: [UInt8] = []) {
    self.name = CBytes(name)
    self.link = CBytes(link)
  }

  package init(_ record: SaveRecord) {
    var name = record.path.bytes
    // The record of a longer path only reports that it is too long.
    if name.count > SourceFailure.longestPath { name.removeSubrange(SourceFailure.longestPath...) }
    self.init(
      name: name,
      link: record.kind == .symbolicLink
        ? record.linkTarget : record.isDirectory && !record.path.isRoot ? name + [UInt8(ascii: "/")] : name)
  }
}

/// A C string at a fixed address.
package final class CBytes {
  package let pointer: UnsafeMutablePointer<CChar>

  package init(_ bytes: [UInt8]) {
    pointer = .allocate(capacity: bytes.count + 1)
    UnsafeMutableRawPointer(pointer).copyMemory(from: bytes, byteCount: bytes.count)
    pointer[bytes.count] = 0
  }

  deinit { pointer.deallocate() }
}

/// Returns the bytes of a C string; none for a null pointer.
package func bytes(_ string: UnsafePointer<CChar>?) -> [UInt8] {
  guard let string else { return [] }
  return Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}

/// Returns the bytes at a pointer; nil if the count is negative, or if the pointer is null and the count is not 0.
package func bytes(_ start: UnsafeMutablePointer<CChar>?, _ count: Int) -> UnsafeMutableRawBufferPointer? {
  guard count >= 0, start != nil || count == 0 else { return nil }
  return UnsafeMutableRawBufferPointer(start: start, count: count)
}

/// Returns a copy that the daemon frees.
package func allocated(_ bytes: [UInt8]) -> UnsafeMutablePointer<CChar>? {
  guard let memory = malloc(max(bytes.count, 1)) else { return nil }
  memory.copyMemory(from: bytes, byteCount: bytes.count)
  return memory.assumingMemoryBound(to: CChar.self)
}
