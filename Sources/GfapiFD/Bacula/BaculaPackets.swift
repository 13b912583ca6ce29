import DaemonReleases
import FDPluginABI
import GfapiBackup
import GfapiJob
import GfapiPlugin
import Glibc

/// The fields of Bacula's save packets that the plugin sets. Their position depends on the release.
protocol BaculaSavePacket: SavePacket {
  var flags: UInt64 { get set }
  var accurate_found: Bool { get }
  var LinkFI: Int32 { get set }
  /// Turns the packet into that of an object. The plugin keeps ownership of the strings.
  mutating func setObject(_ name: UnsafePointer<CChar>, _ text: UnsafePointer<CChar>)
}

extension BaculaSavePacket {
  package mutating func set(flag bit: Int, _ isSet: Bool) {
    let mask = UInt64(1) << UInt64(bit)
    flags = isSet ? flags | mask : flags & ~mask
  }
}

extension bacula_save_packet_9: BaculaSavePacket {
  mutating func setObject(_ name: UnsafePointer<CChar>, _ text: UnsafePointer<CChar>) {
    (object_name, object, object_len) = (.init(mutating: name), .init(mutating: text), Int32(strlen(text)))
  }
}

extension bacula_save_packet_11: BaculaSavePacket {
  mutating func setObject(_ name: UnsafePointer<CChar>, _ text: UnsafePointer<CChar>) {
    (object_name, object, object_len) = (.init(mutating: name), .init(mutating: text), Int32(strlen(text)))
  }
}

extension bacula_save_packet_13: BaculaSavePacket {
  mutating func setObject(_ name: UnsafePointer<CChar>, _ text: UnsafePointer<CChar>) {
    restore_object.object_name = .init(mutating: name)
    restore_object.object = .init(mutating: text)
    restore_object.object_len = Int32(strlen(text))
  }
}

extension bacula_restore_packet_11: RestorePacket {}

extension SaveRecord {
  /// True if the file has holes.
  var hasHoles: Bool { hasData && status.st_blocks * 512 < status.st_size }
}

extension String {
  /// Returns the text in parts of at most `limit` bytes. No character is split.
  func split(utf8Bytes limit: Int) -> [Substring] {
    var (parts, rest): ([Substring], Substring) = ([], self[...])
    while rest.utf8.count > limit {
      var end = rest.utf8.index(rest.startIndex, offsetBy: limit)
      while rest.utf8[end] & 0xc0 == 0x80 { end = rest.utf8.index(before: end) }
      parts.append(rest[..<end])
      rest = rest[end...]
    }
    return parts + [rest]
  }
}

extension BaculaRelease {
  /// Returns the daemon's number for a type of message.
  func messageType(_ severity: Severity) -> Int32 { severity.messageType + messageShift }
}
