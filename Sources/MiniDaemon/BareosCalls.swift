import DaemonReleases
import FDPluginABI
import Glibc
import MiniDaemonCallbacks

/// Calls the module as Bareos does.
final class BareosCalls: ModuleCalls {
  let functions: bareos_plugin_functions
  let context: UnsafeMutablePointer<bareos_context>
  private let release: BareosRelease
  private var wasDelta = false
  private unowned let job: MiniJob

  init(_ job: MiniJob, _ core: UnsafeMutablePointer<mini_core>, _ release: BareosRelease) {
    self.job = job
    self.release = release
    functions = job.module.functions.assumingMemoryBound(to: bareos_plugin_functions.self).pointee
    context = .allocate(capacity: 1)
    context.initialize(to: bareos_context())
    context.pointee.core_private = UnsafeMutableRawPointer(core)
  }

  deinit { context.deallocate() }

  func newPlugin() -> Int32 { functions.new_plugin(context) }
  func freePlugin() { _ = functions.free_plugin(context) }
  func getValue(_ variable: Int, _ value: UnsafeMutableRawPointer?) -> Int32 {
    functions.get_plugin_value(context, Int32(variable), value)
  }
  func setValue(_ variable: Int, _ value: UnsafeMutableRawPointer?) -> Int32 {
    functions.set_plugin_value(context, Int32(variable), value)
  }

  func send(_ event: DaemonEvent, _ value: UnsafeMutableRawPointer?) -> Int32 {
    let number =
      switch event {
      case .jobStart: BAREOS_EVENT_JOB_START
      case .jobEnd: BAREOS_EVENT_JOB_END
      case .startBackupJob: BAREOS_EVENT_START_BACKUP_JOB
      case .endBackupJob: BAREOS_EVENT_END_BACKUP_JOB
      case .startRestoreJob: BAREOS_EVENT_START_RESTORE_JOB
      case .endRestoreJob: BAREOS_EVENT_END_RESTORE_JOB
      case .backupCommand: BAREOS_EVENT_BACKUP_COMMAND
      case .restoreCommand: BAREOS_EVENT_RESTORE_COMMAND
      case .estimateCommand: BAREOS_EVENT_ESTIMATE_COMMAND
      case .level: BAREOS_EVENT_LEVEL
      case .since: BAREOS_EVENT_SINCE
      case .cancelCommand: BAREOS_EVENT_CANCEL_COMMAND
      case .pluginCommand: BAREOS_EVENT_PLUGIN_COMMAND
      case .newPluginOptions: BAREOS_EVENT_NEW_PLUGIN_OPTIONS
      }
    // Bareos sends a plugin only the events that the plugin has registered.
    guard job.events.contains(Int32(number)) else { return Int32(FD_OK) }
    var packet = fd_event(type: UInt32(number))
    return functions.handle_event(context, &packet, value)
  }

  // MARK: Backup

  func startBackupFile(_ options: MiniJob.Options) -> StartedRecord? {
    var packet = bareos_save_packet()
    packet.pkt_size = Int32(MemoryLayout<bareos_save_packet>.size)
    packet.pkt_end = packet.pkt_size
    packet.portable = true
    withUnsafeMutableBytes(of: &packet.flags) { flags in
      func set(_ bit: Int, _ on: Bool) { if on { flags[bit / 8] |= 1 << UInt8(bit % 8) } }
      set(FD_FO_ACL, options.acls)
      set(FD_FO_XATTR, options.extendedAttributes)
      set(FD_FO_NO_RECURSION, !options.recurses)
      set(FD_FO_NOATIME, options.withoutAccessTime)
      set(FD_FO_KEEPATIME, options.keepsAccessTime)
      set(FD_FO_NO_HARDLINK, !options.hardLinks)
      set(FD_FO_STRIPPATH, options.stripsPaths)
      set(FD_FO_CHKCHANGES, options.looksForChanges)
      // The flags of the record before, as Bareos passes them.
      set(FD_FO_DELTA, wasDelta)
    }
    guard functions.start_backup_file(context, &packet) == Int32(FD_OK) else { return nil }
    wasDelta = withUnsafeBytes(of: packet.flags) { $0[FD_FO_DELTA / 8] & 1 << UInt8(FD_FO_DELTA % 8) != 0 }
    return StartedRecord(
      type: Int(packet.type), path: bytes(packet.fname), link: bytes(packet.link), status: packet.statp,
      noRead: packet.no_read, delta: wasDelta ? packet.delta_seq + 1 : 0)
  }

  func endBackupFile() -> Int32 { functions.end_backup_file(context) }

  func acls() -> [UInt8] {
    var packet = bareos_acl_packet()
    packet.pkt_size = Int32(MemoryLayout<bareos_acl_packet>.size)
    packet.pkt_end = packet.pkt_size
    guard functions.get_acl(context, &packet) == Int32(FD_OK), let content = packet.content else { return [] }
    defer { free(content) }
    return Array(UnsafeRawBufferPointer(start: content, count: Int(packet.content_length)))
  }

  func extendedAttributes() -> [SavedEntry.Attribute] {
    var attributes: [SavedEntry.Attribute] = []
    while true {
      var packet = bareos_xattr_packet()
      packet.pkt_size = Int32(MemoryLayout<bareos_xattr_packet>.size)
      packet.pkt_end = packet.pkt_size
      let answer = functions.get_xattr(context, &packet)
      if let name = packet.name {
        attributes.append(
          (bytes(name), Array(UnsafeRawBufferPointer(start: packet.value, count: Int(packet.value_length)))))
        free(name)
        free(packet.value)
      }
      guard answer == Int32(FD_MORE) else { return attributes }
    }
  }

  func keeps(_ path: [UInt8]) -> Bool {
    var name = path + [0]
    return name.withUnsafeMutableBytes {
      functions.check_file(context, $0.baseAddress!.assumingMemoryBound(to: CChar.self))
    } == Int32(FD_SEEN)
  }

  // MARK: Data

  func io(_ packet: inout fd_io_packet) -> Int32 {
    switch release {
    case .v18:
      packet.pkt_size = Int32(MemoryLayout<fd_io_packet>.size)
      packet.pkt_end = packet.pkt_size
      return functions.plugin_io(context, &packet)
    case .v22, .v26: break
    }
    var later = bareos_io_packet_22()
    let common = MemoryLayout<fd_io_packet>.offset(of: \.pkt_end)!
    withUnsafeMutableBytes(of: &later) { to in
      withUnsafeBytes(of: packet) { from in to.copyMemory(from: UnsafeRawBufferPointer(rebasing: from[..<common])) }
    }
    later.filedes = -1
    later.pkt_size = Int32(MemoryLayout<bareos_io_packet_22>.size)
    later.pkt_end = later.pkt_size
    let answer = functions.plugin_io(context, &later)
    withUnsafeMutableBytes(of: &packet) { to in
      withUnsafeBytes(of: later) { from in to.copyMemory(from: UnsafeRawBufferPointer(rebasing: from[..<common])) }
    }
    return answer
  }

  // MARK: Restore

  func startRestoreFile(_ line: [UInt8]) { _ = line.withCString { functions.start_restore_file(context, $0) } }
  func endRestoreFile() { _ = functions.end_restore_file(context) }

  func createFile(_ packet: fd_restore_packet, original: [UInt8]) -> Int {
    withLayout(packet, original) { raw in
      guard functions.create_file(context, raw) == Int32(FD_OK) else { return FD_CF_ERROR }
      return Int(raw.assumingMemoryBound(to: fd_restore_packet.self).pointee.create_status)
    }
  }

  func setFileAttributes(_ packet: fd_restore_packet, original: [UInt8]) {
    withLayout(packet, original) { _ = functions.set_file_attributes(context, $0) }
  }

  private func withLayout<R>(
    _ packet: fd_restore_packet, _ original: [UInt8], _ body: (UnsafeMutableRawPointer) -> R
  ) -> R {
    var base = packet
    let common = MemoryLayout<fd_restore_packet>.offset(of: \.pkt_end)!
    func copyCommon(_ target: UnsafeMutableRawPointer) {
      withUnsafeBytes(of: base) { target.copyMemory(from: $0.baseAddress!, byteCount: common) }
    }
    switch release {
    case .v18:
      base.pkt_size = Int32(MemoryLayout<fd_restore_packet>.size)
      base.pkt_end = base.pkt_size
      return body(&base)
    case .v22:
      var packet = bareos_restore_packet_22()
      copyCommon(&packet)
      packet.pkt_size = Int32(MemoryLayout<bareos_restore_packet_22>.size)
      packet.pkt_end = packet.pkt_size
      packet.filedes = -1
      return body(&packet)
    case .v26:
      var packet = bareos_restore_packet_26()
      copyCommon(&packet)
      packet.pkt_size = Int32(MemoryLayout<bareos_restore_packet_26>.size)
      packet.pkt_end = packet.pkt_size
      packet.filedes = -1
      return original.withCString { original in
        packet.original_file_name = original
        packet.original_link_name = base.olname
        return body(&packet)
      }
    }
  }

  func setACLs(_ content: [UInt8], of name: [UInt8]) {
    var packet = bareos_acl_packet()
    packet.pkt_size = Int32(MemoryLayout<bareos_acl_packet>.size)
    packet.pkt_end = packet.pkt_size
    // Bareos passes one byte more than was backed up.
    var content = content + [0]
    packet.content_length = UInt32(content.count)
    name.withCString { name in
      packet.fname = name
      content.withUnsafeMutableBytes {
        packet.content = $0.baseAddress!.assumingMemoryBound(to: CChar.self)
        _ = functions.set_acl(context, &packet)
      }
    }
  }

  func setExtendedAttributes(_ attributes: [SavedEntry.Attribute], of name: [UInt8]) {
    for attribute in attributes {
      var packet = bareos_xattr_packet()
      packet.pkt_size = Int32(MemoryLayout<bareos_xattr_packet>.size)
      packet.pkt_end = packet.pkt_size
      var (key, value) = (attribute.name + [0], attribute.value)
      packet.name_length = UInt32(key.count)
      packet.value_length = UInt32(value.count)
      let answer = name.withCString { name in
        packet.fname = name
        return key.withUnsafeMutableBytes { key in
          value.withUnsafeMutableBytes { value in
            packet.name = key.baseAddress!.assumingMemoryBound(to: CChar.self)
            packet.value = value.baseAddress?.assumingMemoryBound(to: CChar.self)
            return functions.set_xattr(context, &packet)
          }
        }
      }
      // Like Bareos, drop the remaining attributes.
      guard answer == Int32(FD_OK) else { return }
    }
  }

  // MARK: Callbacks

  /// Makes the table of callbacks. It is never freed, because the plugin keeps its address.
  static func callbacks(_ version: UInt32, _ size: UInt32) -> UnsafeRawPointer {
    let table = UnsafeMutablePointer<bareos_core_functions>.allocate(capacity: 1)
    table.initialize(to: bareos_core_functions())
    table.pointee.size = size
    table.pointee.version = version
    // Swift has no type for a variadic function, so C code sets these fields.
    mini_set_variadic_bareos(table)
    table.pointee.get_value = { context, variable, value in
      let asked: DaemonVariable
      switch Int(variable) {
      case BAREOS_VAR_JOB_ID: asked = .jobID
      case BAREOS_VAR_LEVEL: asked = .level
      case BAREOS_VAR_SINCE_TIME: asked = .sinceTime
      case BAREOS_VAR_ACCURATE: asked = .accurate
      case BAREOS_VAR_JOB_STATUS: asked = .jobStatus
      case BAREOS_VAR_JOB_NAME: return jobOf(context).store(.jobName, at: value)
      case BAREOS_VAR_PREVIOUS_JOB_NAME: return jobOf(context).store(.previousJobName, at: value)
      case BAREOS_VAR_WORKING_DIRECTORY: return jobOf(context).store(.workingDirectory, at: value)
      case BAREOS_VAR_VERSION: return jobOf(context).store(.version, at: value)
      default: return Int32(FD_ERROR)
      }
      guard let value else { return Int32(FD_ERROR) }
      value.assumingMemoryBound(to: Int32.self).pointee = jobOf(context).value(asked)
      return Int32(FD_OK)
    }
    table.pointee.set_value = { _, _, _ in Int32(FD_OK) }
    table.pointee.accept_file = { context, packet in
      Int32(jobOf(context).accepts(packet!.pointee.fname) ? FD_OK : FD_SKIP)
    }
    table.pointee.check_changes = { context, packet in
      let asked = packet!.pointee
      let answer = jobOf(context).compare(
        bytes(asked.fname), link: bytes(asked.link), asked.statp, since: asked.save_time)
      packet!.pointee.accurate_found = answer.delta != nil
      packet!.pointee.delta_seq = answer.delta ?? 0
      return Int32(answer.hasChanged ? FD_OK : FD_SEEN)
    }
    table.pointee.set_seen_bitmap = { _, _, _ in Int32(FD_OK) }
    table.pointee.clear_seen_bitmap = { _, _, _ in Int32(FD_OK) }
    return UnsafeRawPointer(table)
  }
}

private func jobOf(_ context: UnsafeMutablePointer<bareos_context>?) -> MiniJob {
  MiniJob.of(context!.pointee.core_private)
}
