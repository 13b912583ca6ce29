import DaemonReleases
import FDPluginABI
import Glibc
import MiniDaemonCallbacks

/// Calls the module as Bacula does.
final class BaculaCalls: ModuleCalls {
  /// The fields that the tables of all releases have. Releases after 9.6 have the last fields of the table elsewhere: see `later`.
  let functions: bacula_plugin_functions_9
  private let later: bacula_plugin_functions_15?
  let context: UnsafeMutablePointer<bacula_context>
  private let release: BaculaRelease

  init(_ job: MiniJob, _ core: UnsafeMutablePointer<mini_core>, _ release: BaculaRelease) {
    self.release = release
    functions = job.module.functions.assumingMemoryBound(to: bacula_plugin_functions_9.self).pointee
    later =
      release == .v9 ? nil : job.module.functions.assumingMemoryBound(to: bacula_plugin_functions_15.self).pointee
    context = .allocate(capacity: 1)
    context.initialize(to: bacula_context())
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

  /// Sends an event to the plugin. Bacula sends every event to every plugin.
  func send(_ event: DaemonEvent, _ value: UnsafeMutableRawPointer?) -> Int32 {
    let number =
      switch event {
      case .jobStart: BACULA_EVENT_JOB_START
      case .jobEnd: BACULA_EVENT_JOB_END
      case .startBackupJob: BACULA_EVENT_START_BACKUP_JOB
      case .endBackupJob: BACULA_EVENT_END_BACKUP_JOB
      case .startRestoreJob: BACULA_EVENT_START_RESTORE_JOB
      case .endRestoreJob: BACULA_EVENT_END_RESTORE_JOB
      case .backupCommand: BACULA_EVENT_BACKUP_COMMAND
      case .restoreCommand: BACULA_EVENT_RESTORE_COMMAND
      case .estimateCommand: BACULA_EVENT_ESTIMATE_COMMAND
      case .level: BACULA_EVENT_LEVEL
      case .since: BACULA_EVENT_SINCE
      case .cancelCommand: BACULA_EVENT_CANCEL_COMMAND
      case .pluginCommand: BACULA_EVENT_PLUGIN_COMMAND
      case .newPluginOptions: 0
      }
    return number == 0 ? Int32(FD_OK) : send(number: number, value)
  }

  func send(number: Int, _ value: UnsafeMutableRawPointer?) -> Int32 {
    var packet = fd_event(type: UInt32(number))
    return functions.handle_event(context, &packet, value)
  }

  // MARK: Backup

  func startBackupFile(_ options: MiniJob.Options) -> StartedRecord? {
    switch release {
    case .v9: start(bacula_save_packet_9())
    case .v11: start(bacula_save_packet_11())
    case .v13, .v15: start(bacula_save_packet_13())
    }
  }

  private func start<P: MiniSavePacket>(_ empty: P) -> StartedRecord? {
    var packet = empty
    packet.pkt_size = Int32(MemoryLayout<P>.size)
    packet.pkt_end = packet.pkt_size
    packet.portable = true
    guard functions.start_backup_file(context, &packet) == Int32(FD_OK) else { return nil }
    if packet.type == Int32(BACULA_FT_PLUGIN_CONFIG) {
      return StartedRecord(
        type: BACULA_FT_PLUGIN_CONFIG, path: [], link: [], status: packet.statp, noRead: true,
        options: Array(UnsafeRawBufferPointer(start: packet.objectText.0, count: Int(packet.objectText.1))))
    }
    // Bacula makes this call before it sends the plugin's name.
    var stream = bacula_stream_packet(
      pkt_size: Int32(MemoryLayout<bacula_stream_packet>.size), stream: 26,
      pkt_end: Int32(MemoryLayout<bacula_stream_packet>.size))
    let check = later?.check_stream ?? functions.check_stream
    guard check!(context, &stream) == Int32(FD_OK), stream.stream == 26 else { return nil }
    return StartedRecord(
      type: Int(packet.type), path: bytes(packet.fname), link: bytes(packet.link), status: packet.statp,
      noRead: packet.no_read, delta: packet.flags & 1 << UInt64(FD_FO_DELTA) != 0 ? packet.delta_seq + 1 : 0, linkIndex: packet.LinkFI,
      isSparse: packet.flags & 1 << UInt64(FD_FO_SPARSE) != 0)
  }

  func endBackupFile() -> Int32 { functions.end_backup_file(context) }

  func acls() -> [UInt8] { contents(BACULA_ACL_BACKUP).reduce([], +) }

  /// Returns the extended attributes. The content of each stream is one attribute.
  func extendedAttributes() -> [SavedEntry.Attribute] { contents(BACULA_XATTR_BACKUP).compactMap(Self.attribute) }

  /// Asks the plugin until it has no more content. The contents are copied, because their memory belongs to the plugin.
  private func contents(_ function: Int) -> [[UInt8]] {
    var contents: [[UInt8]] = []
    while true {
      var packet = Self.xacl(function)
      guard functions.handle_xacl(context, &packet) == Int32(FD_OK), packet.count > 0 else { return contents }
      contents.append(Array(UnsafeRawBufferPointer(start: packet.content, count: Int(packet.count))))
    }
  }

  private static func xacl(_ function: Int) -> bacula_xacl_packet {
    var packet = bacula_xacl_packet()
    packet.pkt_size = Int32(MemoryLayout<bacula_xacl_packet>.size)
    packet.pkt_end = packet.pkt_size
    packet.func = Int32(function)
    return packet
  }

  func keeps(_ path: [UInt8]) -> Bool {
    var name = path + [0]
    return name.withUnsafeMutableBytes {
      functions.check_file(context, $0.baseAddress!.assumingMemoryBound(to: CChar.self))
    } == Int32(FD_SEEN)
  }

  // MARK: Data

  func io(_ packet: inout fd_io_packet) -> Int32 {
    packet.pkt_size = Int32(MemoryLayout<fd_io_packet>.size)
    packet.pkt_end = packet.pkt_size
    return functions.plugin_io(context, &packet)
  }

  // MARK: Restore

  func startRestoreFile(_ line: [UInt8]) { _ = line.withCString { functions.start_restore_file(context, $0) } }
  func endRestoreFile() { _ = functions.end_restore_file(context) }

  func createFile(_ packet: fd_restore_packet, original: [UInt8]) -> Int { call(functions.create_file, packet) }

  func setFileAttributes(_ packet: fd_restore_packet, original: [UInt8]) {
    _ = call(functions.set_file_attributes, packet)
  }

  /// Calls an entry point with a packet in the release's layout. Returns the create_status.
  private func call(
    _ entryPoint: (UnsafeMutablePointer<bacula_context>?, UnsafeMutableRawPointer?) -> Int32, _ packet: fd_restore_packet
  ) -> Int {
    guard release == .v9 else {
      var later = Self.later(packet)
      return entryPoint(context, &later) == Int32(FD_OK) ? Int(later.create_status) : FD_CF_ERROR
    }
    var packet = packet
    packet.pkt_size = Int32(MemoryLayout<fd_restore_packet>.size)
    packet.pkt_end = packet.pkt_size
    return entryPoint(context, &packet) == Int32(FD_OK) ? Int(packet.create_status) : FD_CF_ERROR
  }

  private static func later(_ packet: fd_restore_packet) -> bacula_restore_packet_11 {
    var later = bacula_restore_packet_11()
    later.pkt_size = Int32(MemoryLayout<bacula_restore_packet_11>.size)
    later.pkt_end = later.pkt_size
    later.type = packet.type
    later.statp = packet.statp
    later.ofname = packet.ofname
    later.olname = packet.olname
    later.where = packet.where
    later.replace = packet.replace
    later.create_status = packet.create_status
    later.delta_seq = packet.delta_seq
    return later
  }

  func setACLs(_ content: [UInt8], of name: [UInt8]) { hand(BACULA_ACL_RESTORE, content) }

  func setExtendedAttributes(_ attributes: [SavedEntry.Attribute], of name: [UInt8]) {
    for attribute in attributes { hand(BACULA_XATTR_RESTORE, Self.content(attribute)) }
  }

  func hand(_ function: Int, _ content: [UInt8]) {
    var (packet, content) = (Self.xacl(function), content)
    packet.count = Int32(content.count)
    content.withUnsafeMutableBytes {
      packet.content = $0.baseAddress?.assumingMemoryBound(to: CChar.self)
      _ = functions.handle_xacl(context, &packet)
    }
  }

  // MARK: Attributes as archives keep them

  /// Splits the content of a stream into the name and the value, as an archive keeps them.
  ///
  /// In the content, the name and the value each follow their length, a big-endian UInt32. The length of the name counts its NUL.
  private static func attribute(_ content: [UInt8]) -> SavedEntry.Attribute? {
    func part(_ start: Int) -> ArraySlice<UInt8>? {
      guard start + 4 <= content.count else { return nil }
      let count = content[start..<(start + 4)].reduce(0) { $0 << 8 | Int($1) }
      guard start + 4 + count <= content.count else { return nil }
      return content[(start + 4)..<(start + 4 + count)]
    }
    guard let name = part(0), name.last == 0, let value = part(name.endIndex) else { return nil }
    return (Array(name.dropLast()), Array(value))
  }

  private static func content(_ attribute: SavedEntry.Attribute) -> [UInt8] {
    func length(_ count: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(count).bigEndian, Array.init) }
    return length(attribute.name.count + 1) + attribute.name + [0] + length(attribute.value.count) + attribute.value
  }

  // MARK: Options

  /// Passes the options that a user has filled in to the plugin, as Bacula does before a restore. They are for the entries that were backed
  /// up with `line`.
  func setOptions(_ text: String, for line: String) {
    var (text, name, line) = (Array(text.utf8) + [0], Array(BACULA_OPTIONS_NAME.utf8) + [0], Array(line.utf8) + [0])
    text.withUnsafeMutableBytes { text in
      name.withUnsafeMutableBytes { name in
        line.withUnsafeMutableBytes { line in
          var packet = bacula_restore_object_packet()
          packet.pkt_size = Int32(MemoryLayout<bacula_restore_object_packet>.size)
          packet.pkt_end = packet.pkt_size
          packet.object_type = Int32(BACULA_FT_PLUGIN_CONFIG_FILLED)
          packet.object_name = name.baseAddress!.assumingMemoryBound(to: CChar.self)
          packet.object = text.baseAddress!.assumingMemoryBound(to: CChar.self)
          packet.object_len = Int32(text.count)
          packet.plugin_name = line.baseAddress!.assumingMemoryBound(to: CChar.self)
          _ = send(number: BACULA_EVENT_RESTORE_OBJECT, &packet)
        }
      }
    }
    _ = send(number: BACULA_EVENT_RESTORE_OBJECT, nil)
  }

  // MARK: Questions

  /// Asks the plugin as the console's `.query` does. Returns its answers, one for each line; nil if this release cannot ask.
  func query(_ parameter: String, _ line: [UInt8]) -> [String]? {
    guard let ask = later?.query_parameter else { return nil }
    var (parameter, line, lines) = (Array(parameter.utf8) + [0], line + [0], [String]())
    return parameter.withUnsafeMutableBytes { parameter in
      line.withUnsafeMutableBytes { line in
        while true {
          var packet = bacula_query_packet()
          packet.pkt_size = Int32(MemoryLayout<bacula_query_packet>.size)
          packet.pkt_end = packet.pkt_size
          packet.parameter = parameter.baseAddress!.assumingMemoryBound(to: CChar.self)
          packet.command = line.baseAddress!.assumingMemoryBound(to: CChar.self)
          let answer = ask(context, &packet)
          if let result = packet.result { lines.append(String(cString: result)) }
          guard answer == Int32(FD_MORE) else { return lines }
        }
      }
    }
  }

  // MARK: Callbacks

  /// Makes the table of callbacks. It is never freed, because the plugin keeps its address.
  static func callbacks(_ version: UInt32, _ size: UInt32) -> UnsafeRawPointer {
    let table = UnsafeMutablePointer<bacula_core_functions>.allocate(capacity: 1)
    table.initialize(to: bacula_core_functions())
    table.pointee.size = size
    table.pointee.version = version
    // Swift has no type for a variadic function, so C code sets these fields.
    mini_set_variadic_bacula(table)
    table.pointee.get_value = { context, variable, value in
      let job = jobOf(context)
      guard let release = job.module.abi.bacula else { return Int32(FD_ERROR) }
      let (fileIndex, previousJob) = (Int(release.fileIndexVariable), Int(release.previousJobVariable))
      let asked: DaemonVariable
      switch Int(variable) {
      case BACULA_VAR_JOB_NAME: return job.store(.jobName, at: value)
      case previousJob: return job.store(.previousJobName, at: value)
      case BACULA_VAR_WORKING_DIRECTORY: return job.store(.workingDirectory, at: value)
      case BACULA_VAR_JOB_ID: asked = .jobID
      case BACULA_VAR_LEVEL: asked = .level
      case BACULA_VAR_SINCE_TIME: asked = .sinceTime
      case BACULA_VAR_ACCURATE: asked = .accurate
      case BACULA_VAR_JOB_STATUS: asked = .jobStatus
      case fileIndex: asked = .fileIndex
      default: return Int32(FD_ERROR)
      }
      guard let value else { return Int32(FD_ERROR) }
      value.assumingMemoryBound(to: Int32.self).pointee = job.value(asked)
      return Int32(FD_OK)
    }
    table.pointee.set_value = { context, variable, value in
      guard Int(variable) == BACULA_VAR_FILE_SEEN, let value else { return Int32(FD_ERROR) }
      jobOf(context).markSeen(bytes(UnsafePointer(value.assumingMemoryBound(to: CChar.self))))
      return Int32(FD_OK)
    }
    table.pointee.accept_file = { context, packet in
      // This field has the same offset in every release.
      let name = packet!.loadUnaligned(
        fromByteOffset: MemoryLayout<bacula_save_packet_9>.offset(of: \.fname)!, as: UnsafePointer<CChar>.self)
      return Int32(jobOf(context).accepts(name) ? FD_OK : FD_SKIP)
    }
    table.pointee.check_changes = { hasChanged(jobOf($0), $1!) }
    return UnsafeRawPointer(table)
  }
}

private func jobOf(_ context: UnsafeMutablePointer<bacula_context>?) -> MiniJob {
  MiniJob.of(context!.pointee.core_private)
}

private func hasChanged(_ job: MiniJob, _ raw: UnsafeMutableRawPointer) -> Int32 {
  func changed<P: MiniSavePacket>(_: P.Type) -> Int32 {
    let packet = raw.assumingMemoryBound(to: P.self)
    let asked = packet.pointee
    let answer = job.compare(bytes(asked.fname), link: bytes(asked.link), asked.statp, since: job.options.since)
    packet.pointee.accurate_found = answer.delta != nil
    packet.pointee.delta_seq = answer.delta ?? 0
    return Int32(answer.hasChanged ? FD_OK : FD_SEEN)
  }
  return switch job.module.abi.family {
  case .bacula(.v9): changed(bacula_save_packet_9.self)
  case .bacula(.v11): changed(bacula_save_packet_11.self)
  case .bacula(.v13), .bacula(.v15): changed(bacula_save_packet_13.self)
  case .bareos: Int32(FD_ERROR)
  }
}

/// The fields of a save packet that the small daemon uses. Their offsets depend on the release.
private protocol MiniSavePacket {
  var pkt_size: Int32 { get set }
  var pkt_end: Int32 { get set }
  var fname: UnsafeMutablePointer<CChar>! { get }
  var link: UnsafeMutablePointer<CChar>! { get }
  var statp: stat { get }
  var type: Int32 { get }
  var flags: UInt64 { get }
  var no_read: Bool { get }
  var portable: Bool { get set }
  var accurate_found: Bool { get set }
  var delta_seq: UInt32 { get set }
  var LinkFI: Int32 { get }
  /// The text of an object, and its length in bytes.
  var objectText: (UnsafeMutablePointer<CChar>?, Int32) { get }
}

extension bacula_save_packet_9: MiniSavePacket {
  var objectText: (UnsafeMutablePointer<CChar>?, Int32) { (object, object_len) }
}
extension bacula_save_packet_11: MiniSavePacket {
  var objectText: (UnsafeMutablePointer<CChar>?, Int32) { (object, object_len) }
}
extension bacula_save_packet_13: MiniSavePacket {
  var objectText: (UnsafeMutablePointer<CChar>?, Int32) { (restore_object.object, restore_object.object_len) }
}
