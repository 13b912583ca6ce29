import DaemonReleases
import FDPluginABI
import GfapiBackup
import GfapiJob
import GfapiPlugin
import Glibc
import Gluster

/// Bareos's side of a job: converts its packets to the plugin's own types and back, and implements the plugin's questions with the daemon's
/// callbacks.
package final class BareosDaemon: PacketDaemon {
  private let core: UnsafePointer<bareos_core_functions>
  private let context: UnsafeMutablePointer<bareos_context>
  package private(set) lazy var job = Job(daemon: self)
  package let state = PacketState()
  package static let releases = BareosRelease.allInWords
  package static let cancelEvent = BAREOS_EVENT_CANCEL_COMMAND

  init(core: UnsafePointer<bareos_core_functions>, context: UnsafeMutablePointer<bareos_context>) {
    self.core = core
    self.context = context
  }

  /// The events that concern the plugin.
  static let events = [
    BAREOS_EVENT_JOB_START, BAREOS_EVENT_JOB_END, BAREOS_EVENT_START_BACKUP_JOB, BAREOS_EVENT_END_BACKUP_JOB,
    BAREOS_EVENT_START_RESTORE_JOB, BAREOS_EVENT_END_RESTORE_JOB, BAREOS_EVENT_BACKUP_COMMAND,
    BAREOS_EVENT_RESTORE_COMMAND, BAREOS_EVENT_ESTIMATE_COMMAND, BAREOS_EVENT_LEVEL, BAREOS_EVENT_SINCE,
    BAREOS_EVENT_CANCEL_COMMAND, BAREOS_EVENT_PLUGIN_COMMAND, BAREOS_EVENT_NEW_PLUGIN_OPTIONS,
  ]

  func registerEvents() {
    for event in Self.events { _ = bareos_register_event(core, context, Int32(event)) }
  }

  // MARK: Daemon

  package func send(_ severity: Severity, _ text: String) {
    _ = bareos_job_message(core, context, severity.messageType, "gfapi: \(text)\n")
  }

  package func debug(_ level: Int32, _ text: String) { _ = bareos_debug_message(core, context, level, "gfapi: \(text)\n") }

  package func accepts(_ path: VolumePath, _ status: stat) -> Bool {
    let name = CBytes(path.bytes)
    var packet = bareos_save_packet.empty()
    packet.fname = name.pointer
    packet.statp = status
    return withExtendedLifetime(name) { core.pointee.accept_file(context, &packet) } == Int32(FD_OK)
  }

  package func compare(_ record: SaveRecord, since: Int) -> Comparison {
    let strings = RecordStrings(record)
    var packet = bareos_save_packet.empty()
    packet.fill(record, strings)
    packet.save_time = since
    // Back up after any answer but "seen": an entry too many is better than a missing one.
    let answer = withExtendedLifetime(strings) { core.pointee.check_changes(context, &packet) }
    return Comparison(hasChanged: answer != Int32(FD_SEEN), number: packet.accurate_found ? Int(packet.delta_seq) : nil)
  }

  package var isAccurate: Bool { value(Int32(BAREOS_VAR_ACCURATE)) ?? 0 != 0 }

  package var jobIsCancelled: Bool {
    // nil means that the daemon has no such value.
    value(Int32(BAREOS_VAR_JOB_STATUS)) == Int32(FD_JOB_CANCELED)
  }

  package var jobName: String? { text(Int32(BAREOS_VAR_JOB_NAME)) }
  package var previousJobName: String? { text(Int32(BAREOS_VAR_PREVIOUS_JOB_NAME)) }
  package var workingDirectory: String? { text(Int32(BAREOS_VAR_WORKING_DIRECTORY)) }

  /// True if the daemon's restores lose ACL streams.
  ///
  /// Restores of Bareos 18.2 to 21 do not know the stream for the ACLs of plugins ("Unknown stream=1020"). With these releases, ACLs are
  /// saved as extended attributes, in the volume's own format.
  private lazy var losesACLs = text(Int32(BAREOS_VAR_VERSION)).flatMap { Int($0.prefix { $0.isNumber }) }.map { $0 < 22 } ?? false

  private func text(_ variable: Int32) -> String? {
    textValue { core.pointee.get_value(context, variable, $0) == Int32(FD_OK) }
  }

  private func value(_ variable: Int32) -> Int32? {
    var value: Int32 = 0
    return core.pointee.get_value(context, variable, &value) == Int32(FD_OK) ? value : nil
  }

  // MARK: Events

  package func handle(_ event: UInt32, _ value: UnsafeMutableRawPointer?) -> Int32 {
    let text = { value.map { bytes(UnsafePointer($0.assumingMemoryBound(to: CChar.self))) } ?? [] }
    switch Int(event) {
    case BAREOS_EVENT_LEVEL: job.setLevel(UInt8(truncatingIfNeeded: Int(bitPattern: value)))
    case BAREOS_EVENT_SINCE: job.setSince(Int(bitPattern: value))
    case BAREOS_EVENT_NEW_PLUGIN_OPTIONS: return answer(job.setPluginOptions(text()))
    case BAREOS_EVENT_BACKUP_COMMAND: return answer(job.beginBackup(text(), isEstimate: false))
    case BAREOS_EVENT_ESTIMATE_COMMAND: return answer(job.beginBackup(text(), isEstimate: true))
    case BAREOS_EVENT_RESTORE_COMMAND: return answer(job.beginRestore(text()))
    case BAREOS_EVENT_END_BACKUP_JOB: job.endBackups()
    case BAREOS_EVENT_END_RESTORE_JOB: job.endRestore()
    case BAREOS_EVENT_JOB_END:
      job.endBackups()
      job.endRestore()
    default: break
    }
    return Int32(FD_OK)
  }

  // MARK: Backup

  func startBackupFile(_ packet: UnsafeMutablePointer<bareos_save_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_save_packet>.size], "save packet"), let backup = job.backup
    else { return Int32(FD_ERROR) }
    do {
      _ = try fill(packet, options(packet), of: backup)
      return Int32(FD_OK)
    } catch {
      return ended(error)
    }
  }

  func getACL(_ packet: UnsafeMutablePointer<bareos_acl_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_acl_packet>.size], "ACL packet") else {
      return Int32(FD_ERROR)
    }
    let content = job.backup?.acls ?? []
    packet.pointee.content_length = UInt32(content.count)
    packet.pointee.content = content.isEmpty ? nil : allocated(content)
    return Int32(FD_OK)
  }

  func getXattr(_ packet: UnsafeMutablePointer<bareos_xattr_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_xattr_packet>.size], "xattr packet") else {
      return Int32(FD_ERROR)
    }
    guard let (attribute, more) = job.backup?.nextExtendedAttribute() else {
      (packet.pointee.name_length, packet.pointee.name) = (0, nil)
      (packet.pointee.value_length, packet.pointee.value) = (0, nil)
      return Int32(FD_OK)
    }
    packet.pointee.name_length = UInt32(attribute.name.count + 1)
    packet.pointee.name = allocated(attribute.name + [0])
    packet.pointee.value_length = UInt32(attribute.value.count)
    packet.pointee.value = allocated(attribute.value)
    return more ? Int32(FD_MORE) : Int32(FD_OK)
  }

  // MARK: Data

  func io(_ raw: UnsafeMutableRawPointer) -> Int32 {
    let size = raw.loadUnaligned(as: Int32.self)
    guard check(size, Self.ioPacketSizes, "I/O packet") else {
      return Int32(FD_ERROR)
    }
    // Up to win32 the layouts are the same, as the static asserts of FDPluginABI check. filedes is left to the daemon.
    return transfer(raw.assumingMemoryBound(to: fd_io_packet.self))
  }

  // MARK: Restore

  func createFile(_ raw: UnsafeMutableRawPointer) -> Int32 {
    restorePacket(raw).map { create($0) } ?? Int32(FD_ERROR)
  }

  func setFileAttributes(_ raw: UnsafeMutableRawPointer) -> Int32 {
    restorePacket(raw).map { setAttributes($0) } ?? Int32(FD_ERROR)
  }

  func setACL(_ packet: UnsafeMutablePointer<bareos_acl_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_acl_packet>.size], "ACL packet") else {
      return Int32(FD_ERROR)
    }
    guard let acls = content(packet.pointee.content, Int(packet.pointee.content_length), "ACL packet") else {
      return Int32(FD_ERROR)
    }
    job.restore?.setACLs(acls)
    return Int32(FD_OK)
  }

  func setXattr(_ packet: UnsafeMutablePointer<bareos_xattr_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_xattr_packet>.size], "xattr packet") else {
      return Int32(FD_ERROR)
    }
    if let name = content(packet.pointee.name, Int(packet.pointee.name_length), "xattr packet"),
      let value = content(packet.pointee.value, Int(packet.pointee.value_length), "xattr packet")
    {
      job.restore?.setExtendedAttribute(name, value)
    }
    // Always succeed: after any other answer the daemon drops the attributes that follow. Failures have been reported.
    return Int32(FD_OK)
  }

  // MARK: Packets

  private static let restorePacketSizes = BareosRelease.allCases.map(\.restorePacketSize)
  /// Two releases have packets of one size.
  private static let ioPacketSizes = Set(BareosRelease.allCases.map(\.ioPacketSize)).sorted()

  private func restorePacket(_ raw: UnsafeMutableRawPointer) -> UnsafeMutablePointer<fd_restore_packet>? {
    guard check(raw.loadUnaligned(as: Int32.self), Self.restorePacketSizes, "restore packet") else { return nil }
    // Up to delta_seq the layouts are the same, as the static asserts of FDPluginABI check.
    return raw.assumingMemoryBound(to: fd_restore_packet.self)
  }

  private func options(_ packet: UnsafeMutablePointer<bareos_save_packet>) -> FileSetOptions {
    func isSet(_ bit: Int) -> Bool {
      withUnsafeBytes(of: packet.pointee.flags) { $0[bit / 8] & (1 << UInt8(bit % 8)) != 0 }
    }
    var options = FileSetOptions()
    options.recurses = !isSet(FD_FO_NO_RECURSION)
    options.stripsPaths = isSet(FD_FO_STRIPPATH)
    options.looksForChanges = isSet(FD_FO_CHKCHANGES)
    options.wanted.extendedAttributes = isSet(FD_FO_XATTR)
    options.wanted.acls = isSet(FD_FO_ACL) && !(losesACLs && options.wanted.extendedAttributes)
    return options
  }
}

extension bareos_save_packet: SavePacket {
  package mutating func set(flag bit: Int, _ isSet: Bool) {
    withUnsafeMutableBytes(of: &flags) { flags in
      let mask = UInt8(1) << UInt8(bit % 8)
      flags[bit / 8] = isSet ? flags[bit / 8] | mask : flags[bit / 8] & ~mask
    }
  }
}
