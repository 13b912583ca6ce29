import FDPluginABI
import Glibc
import Gluster

/// Bareos's side of a job: turns its packets into the plugin's own types and back, and the plugin's questions into its
/// callbacks.
final class BareosDaemon: Daemon {
  private let core: UnsafePointer<bareos_core_functions>
  private let context: UnsafeMutablePointer<bareos_context>
  private(set) lazy var job = Job(daemon: self)

  // Strings of the record in hand: the daemon reads them until the record ends.
  private var name = CBytes([])
  private var link = CBytes([])
  private var hasRefused = false

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

  func tell(_ severity: Severity, _ text: String) {
    let type =
      switch severity {
      case .fatal: BAREOS_M_FATAL
      case .error: BAREOS_M_ERROR
      case .notSaved: BAREOS_M_NOTSAVED
      case .warning: BAREOS_M_WARNING
      case .info: BAREOS_M_INFO
      }
    _ = bareos_job_message(core, context, Int32(type), "gfapi: \(text)\n")
  }

  func accepts(_ path: [UInt8], _ status: stat) -> Bool {
    let name = CBytes(path)
    var packet = Self.emptySavePacket()
    packet.fname = name.pointer
    packet.statp = status
    return withExtendedLifetime(name) { core.pointee.accept_file(context, &packet) } == Int32(BAREOS_OK)
  }

  func hasChanged(_ record: SaveRecord, since: Int) -> Bool {
    let (name, link) = Self.strings(record)
    var packet = Self.emptySavePacket()
    packet.fname = name.pointer
    packet.link = link.pointer
    packet.statp = record.status
    packet.type = Self.type(record)
    packet.save_time = since
    // Anything but "seen" is backed up: rather once too often.
    return withExtendedLifetime((name, link)) { core.pointee.check_changes(context, &packet) } != Int32(BAREOS_SEEN)
  }

  var jobIsCancelled: Bool {
    var status: Int32 = 0
    // Not BAREOS_OK: the daemon cannot tell.
    guard core.pointee.get_value(context, Int32(BAREOS_VAR_JOB_STATUS), &status) == Int32(BAREOS_OK) else { return false }
    return status == Int32(BAREOS_JOB_CANCELED)
  }

  // MARK: Events

  func handle(_ event: UInt32, _ value: UnsafeMutableRawPointer?) -> Int32 {
    let text = { value.map { bytes(UnsafePointer($0.assumingMemoryBound(to: CChar.self))) } ?? [] }
    switch Int(event) {
    case BAREOS_EVENT_LEVEL: job.setLevel(UInt8(truncatingIfNeeded: Int(bitPattern: value)))
    case BAREOS_EVENT_SINCE: job.setSince(Int(bitPattern: value))
    case BAREOS_EVENT_NEW_PLUGIN_OPTIONS: return answer(job.setPluginOptions(text()))
    case BAREOS_EVENT_BACKUP_COMMAND: return answer(job.beginBackup(text(), isEstimate: false))
    case BAREOS_EVENT_ESTIMATE_COMMAND: return answer(job.beginBackup(text(), isEstimate: true))
    case BAREOS_EVENT_RESTORE_COMMAND: return answer(job.beginRestore(text()))
    case BAREOS_EVENT_END_BACKUP_JOB: job.endBackup()
    case BAREOS_EVENT_END_RESTORE_JOB: job.endRestore()
    case BAREOS_EVENT_JOB_END:
      job.endBackup()
      job.endRestore()
    default: break
    }
    return Int32(BAREOS_OK)
  }

  // MARK: Backup

  func startBackupFile(_ packet: UnsafeMutablePointer<bareos_save_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_save_packet>.size], "save packet"), let backup = job.backup
    else { return Int32(BAREOS_ERROR) }
    do {
      let record = try backup.start(Self.options(packet))
      (name, link) = Self.strings(record)
      packet.pointee.fname = name.pointer
      packet.pointee.link = link.pointer
      packet.pointee.statp = record.status
      packet.pointee.type = Self.type(record)
      packet.pointee.no_read = !record.hasData
      return Int32(BAREOS_OK)
    } catch {
      return ended(error)
    }
  }

  func endBackupFile() -> Int32 {
    guard let backup = job.backup else { return Int32(BAREOS_ERROR) }
    do {
      return try backup.end() ? Int32(BAREOS_MORE) : Int32(BAREOS_OK)
    } catch {
      return ended(error)
    }
  }

  /// A backup that cannot go on. After a fatal message, or a cancellation, the daemon ends the job by itself.
  private func ended(_ error: any Error) -> Int32 {
    if let message = (error as? BackupRun.Ended)?.message { tell(.fatal, message) }
    return Int32(BAREOS_STOP)
  }

  func getACL(_ packet: UnsafeMutablePointer<bareos_acl_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_acl_packet>.size], "ACL packet") else {
      return Int32(BAREOS_ERROR)
    }
    let content = job.backup?.acls ?? []
    packet.pointee.content_length = UInt32(content.count)
    packet.pointee.content = content.isEmpty ? nil : allocated(content)
    return Int32(BAREOS_OK)
  }

  func getXattr(_ packet: UnsafeMutablePointer<bareos_xattr_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_xattr_packet>.size], "xattr packet") else {
      return Int32(BAREOS_ERROR)
    }
    guard let (attribute, more) = job.backup?.nextExtendedAttribute() else {
      (packet.pointee.name_length, packet.pointee.name) = (0, nil)
      (packet.pointee.value_length, packet.pointee.value) = (0, nil)
      return Int32(BAREOS_OK)
    }
    packet.pointee.name_length = UInt32(attribute.name.count + 1)
    packet.pointee.name = allocated(attribute.name + [0])
    packet.pointee.value_length = UInt32(attribute.value.count)
    packet.pointee.value = allocated(attribute.value)
    return more ? Int32(BAREOS_MORE) : Int32(BAREOS_OK)
  }

  // MARK: Data

  func io(_ raw: UnsafeMutableRawPointer) -> Int32 {
    let size = raw.loadUnaligned(as: Int32.self)
    guard check(size, [MemoryLayout<bareos_io_packet_18>.size, MemoryLayout<bareos_io_packet_22>.size], "I/O packet")
    else { return Int32(BAREOS_ERROR) }
    // Up to win32 the layouts are one: the static asserts of FDPluginABI say so. filedes stays the daemon's.
    let packet = raw.assumingMemoryBound(to: bareos_io_packet_18.self)
    packet.pointee.status = 0
    packet.pointee.io_errno = 0
    packet.pointee.lerror = 0
    packet.pointee.win32 = false
    do {
      try perform(packet)
      return Int32(BAREOS_OK)
    } catch {
      packet.pointee.status = -1
      packet.pointee.io_errno = (error as? GlusterError)?.errno.rawValue ?? (error is BackupRun.Ended ? EINTR : EIO)
      if let message = (error as? BackupRun.Ended)?.message { tell(.fatal, message) }
      return Int32(BAREOS_ERROR)
    }
  }

  private func perform(_ packet: UnsafeMutablePointer<bareos_io_packet_18>) throws {
    switch Int(packet.pointee.func) {
    case BAREOS_IO_OPEN:
      if let restore = job.restore { restore.openFile() } else { try backup().openFile() }
    case BAREOS_IO_READ:
      let buffer = UnsafeMutableRawBufferPointer(start: packet.pointee.buf, count: Int(max(packet.pointee.count, 0)))
      packet.pointee.status = Int32(try backup().read(into: buffer))
    case BAREOS_IO_WRITE:
      guard let restore = job.restore else { throw GlusterError(errno: .invalidArgument, call: "write") }
      try restore.write(UnsafeRawBufferPointer(start: packet.pointee.buf, count: Int(max(packet.pointee.count, 0))))
      packet.pointee.status = packet.pointee.count
    case BAREOS_IO_SEEK:
      guard let restore = job.restore else { throw GlusterError(errno: .invalidArgument, call: "seek") }
      switch packet.pointee.whence {
      case SEEK_SET: try restore.seek(to: Int(packet.pointee.offset))
      case SEEK_CUR: try restore.seek(to: restore.offset + Int(packet.pointee.offset))
      default: throw GlusterError(errno: .invalidArgument, call: "seek")
      }
      packet.pointee.offset = Int64(restore.offset)
    case BAREOS_IO_CLOSE:
      if let restore = job.restore { try restore.closeFile() } else { try backup().closeFile() }
    default:
      throw GlusterError(errno: .invalidArgument, call: "I/O function \(packet.pointee.func)")
    }
  }

  private func backup() throws -> BackupRun {
    guard let backup = job.backup else { throw GlusterError(errno: .invalidArgument, call: "no backup is running") }
    return backup
  }

  // MARK: Restore

  func createFile(_ raw: UnsafeMutableRawPointer) -> Int32 {
    guard let packet = restorePacket(raw), let restore = job.restore else { return Int32(BAREOS_ERROR) }
    guard let entry = Self.entry(packet.pointee) else {
      tell(.error, "\(printable(bytes(packet.pointee.ofname))): the backup's record has a type that holds no entry: \(packet.pointee.type)")
      packet.pointee.create_status = Int32(BAREOS_CF_ERROR)
      return Int32(BAREOS_OK)
    }
    let status =
      switch restore.create(entry, under: bytes(packet.pointee.where)) {
      // Bareos hands ACLs and extended attributes only to what it "extracts", whether there is data or not.
      case .created: BAREOS_CF_EXTRACT
      case .createdDirectory, .linked: BAREOS_CF_CREATED
      case .skipped: BAREOS_CF_SKIP
      case .failed: BAREOS_CF_ERROR
      }
    packet.pointee.create_status = Int32(status)
    return Int32(BAREOS_OK)
  }

  func setFileAttributes(_ raw: UnsafeMutableRawPointer) -> Int32 {
    guard let packet = restorePacket(raw), let restore = job.restore else { return Int32(BAREOS_ERROR) }
    restore.setAttributes(packet.pointee.statp)
    packet.pointee.create_status = Int32(BAREOS_CF_CREATED)
    return Int32(BAREOS_OK)
  }

  func endRestoreFile() -> Int32 {
    job.restore?.finishEntry()
    return Int32(BAREOS_OK)
  }

  func setACL(_ packet: UnsafeMutablePointer<bareos_acl_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_acl_packet>.size], "ACL packet") else {
      return Int32(BAREOS_ERROR)
    }
    let content = UnsafeRawBufferPointer(
      start: packet.pointee.content, count: packet.pointee.content == nil ? 0 : Int(packet.pointee.content_length))
    job.restore?.setACLs(content)
    return Int32(BAREOS_OK)
  }

  func setXattr(_ packet: UnsafeMutablePointer<bareos_xattr_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bareos_xattr_packet>.size], "xattr packet") else {
      return Int32(BAREOS_ERROR)
    }
    let name = UnsafeRawBufferPointer(
      start: packet.pointee.name, count: packet.pointee.name == nil ? 0 : Int(packet.pointee.name_length))
    let value = UnsafeRawBufferPointer(
      start: packet.pointee.value, count: packet.pointee.value == nil ? 0 : Int(packet.pointee.value_length))
    job.restore?.setExtendedAttribute(name, value)
    // Always: after anything else the daemon drops the attributes that follow. What failed has been told.
    return Int32(BAREOS_OK)
  }

  // MARK: Packets

  /// Whether a packet has one of the sizes that are known; a message says so if not.
  private func check(_ size: Int32, _ known: [Int], _ what: String) -> Bool {
    if known.contains(Int(size)) { return true }
    if !hasRefused {
      hasRefused = true
      tell(
        .fatal,
        "this daemon's \(what) has \(size) bytes, the plugin knows \(known.map(String.init).joined(separator: ", ")): it is made for Bareos 18.2 to 26")
    }
    return false
  }

  private func restorePacket(_ raw: UnsafeMutableRawPointer) -> UnsafeMutablePointer<bareos_restore_packet_18>? {
    let known = [
      MemoryLayout<bareos_restore_packet_18>.size, MemoryLayout<bareos_restore_packet_22>.size,
      MemoryLayout<bareos_restore_packet_26>.size,
    ]
    guard check(raw.loadUnaligned(as: Int32.self), known, "restore packet") else { return nil }
    // Up to delta_seq the layouts are one: the static asserts of FDPluginABI say so.
    return raw.assumingMemoryBound(to: bareos_restore_packet_18.self)
  }

  private static func emptySavePacket() -> bareos_save_packet {
    var packet = bareos_save_packet()
    packet.pkt_size = Int32(MemoryLayout<bareos_save_packet>.size)
    packet.pkt_end = packet.pkt_size
    return packet
  }

  private static func options(_ packet: UnsafeMutablePointer<bareos_save_packet>) -> BackupRun.Options {
    func isSet(_ bit: Int) -> Bool {
      withUnsafeBytes(of: packet.pointee.flags) { $0[bit / 8] & (1 << UInt8(bit % 8)) != 0 }
    }
    var options = BackupRun.Options()
    options.recurses = !isSet(BAREOS_FO_NO_RECURSION)
    options.wanted.acls = isSet(BAREOS_FO_ACL)
    options.wanted.extendedAttributes = isSet(BAREOS_FO_XATTR)
    options.wanted.withoutAccessTime = isSet(BAREOS_FO_NOATIME)
    options.wanted.keepsAccessTime = isSet(BAREOS_FO_KEEPATIME)
    return options
  }

  private static func type(_ record: SaveRecord) -> Int32 {
    let type =
      switch record.kind {
      case .regular: record.status.st_size > 0 ? BAREOS_FT_REG : BAREOS_FT_REGE
      case .symbolicLink: BAREOS_FT_LNK
      case .directory: BAREOS_FT_DIREND
      case .directoryNotEntered: BAREOS_FT_NORECURSE
      case .directoryUnchanged: BAREOS_FT_DIRNOCHG
      // Bareos skips a socket that comes as a special file, and takes it as a FIFO; its mode says what it is.
      case .special: record.status.type == S_IFSOCK ? BAREOS_FT_FIFO : BAREOS_FT_SPEC
      case .unknown: BAREOS_FT_NOSTAT
      case .unreadable: BAREOS_FT_NOACCESS
      case .directoryNotOpened: BAREOS_FT_NOOPEN
      }
    return Int32(type)
  }

  /// Name and link of a record as the daemon stores them: a directory's link is its name with a slash.
  private static func strings(_ record: SaveRecord) -> (CBytes, CBytes) {
    let slash = UInt8(ascii: "/")
    let link =
      record.kind == .symbolicLink ? record.linkTarget
      : record.isDirectory && record.path.last != slash ? record.path + [slash] : record.path
    return (CBytes(record.path), CBytes(link))
  }

  private static func entry(_ packet: bareos_restore_packet_18) -> RestoreEntry? {
    let isHardLink = packet.type == Int32(BAREOS_FT_LNKSAVED)
    let known = [
      BAREOS_FT_LNKSAVED, BAREOS_FT_REGE, BAREOS_FT_REG, BAREOS_FT_LNK, BAREOS_FT_DIREND, BAREOS_FT_SPEC, BAREOS_FT_FIFO,
    ]
    guard known.contains(Int(packet.type)) else { return nil }
    let replace: RestoreEntry.Replace =
      switch Int(packet.replace) {
      case BAREOS_REPLACE_NEVER: .never
      case BAREOS_REPLACE_IF_NEWER: .ifNewer
      case BAREOS_REPLACE_IF_OLDER: .ifOlder
      default: .always
      }
    return RestoreEntry(
      kind: isHardLink ? .hardLink : .own, path: bytes(packet.ofname), link: bytes(packet.olname), status: packet.statp,
      replace: replace)
  }

  private func answer(_ isWell: Bool) -> Int32 { isWell ? Int32(BAREOS_OK) : Int32(BAREOS_ERROR) }
}

// MARK: Memory

/// Bytes as a C string that stays where it is.
private final class CBytes {
  let pointer: UnsafeMutablePointer<CChar>

  init(_ bytes: [UInt8]) {
    pointer = .allocate(capacity: bytes.count + 1)
    for (index, byte) in bytes.enumerated() { pointer[index] = CChar(bitPattern: byte) }
    pointer[bytes.count] = 0
  }

  deinit { pointer.deallocate() }
}

/// The bytes of a C string; none for a null pointer.
private func bytes(_ string: UnsafePointer<CChar>?) -> [UInt8] {
  guard let string else { return [] }
  return Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}

/// A copy that the daemon frees.
private func allocated(_ bytes: [UInt8]) -> UnsafeMutablePointer<CChar>? {
  guard let memory = malloc(max(bytes.count, 1)) else { return nil }
  memory.copyMemory(from: bytes, byteCount: bytes.count)
  return memory.assumingMemoryBound(to: CChar.self)
}
