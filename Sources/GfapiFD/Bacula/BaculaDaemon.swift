import DaemonReleases
import FDPluginABI
import GfapiAttributes
import GfapiBackup
import GfapiDefinition
import GfapiJob
import GfapiPlugin
import GfapiRestore
import Glibc
import Gluster

/// Bacula's side of a job: converts its packets to the plugin's own types and back, and implements the plugin's questions with the daemon's
/// callbacks.
package final class BaculaDaemon: PacketDaemon {
  private let core: UnsafePointer<bacula_core_functions>
  private let context: UnsafeMutablePointer<bacula_context>
  let release: BaculaRelease
  package private(set) lazy var job = Job(daemon: self)
  package let state = PacketState()
  package static let releases = BaculaRelease.allInWords
  package static let cancelEvent = BACULA_EVENT_CANCEL_COMMAND

  var hardLinks = HardLinks()
  /// The current record, if it may be the first name of a hard link, and the job's number of entries before it.
  var candidate: (record: SaveRecord, count: Int32)?
  var record = RecordAttributes()
  /// The state of the options object. A backup begins with this object, which is not an entry. It lists the options that a restore can
  /// be given.
  var optionsObject = OptionsObject.none
  enum OptionsObject { case none, upcoming, current }
  /// Answers to a question from the console that have not been returned yet.
  private var answers: [String] = []
  /// The bytes that the daemon got last, kept until the next call.
  var handedOut = CBytes([])

  /// What the daemon can still ask for of the current record.
  struct RecordAttributes {
    var hasACLs = true
    var isLink = false
  }

  init(core: UnsafePointer<bacula_core_functions>, context: UnsafeMutablePointer<bacula_context>, _ release: BaculaRelease) {
    self.core = core
    self.context = context
    self.release = release
  }

  deinit { RestoreTurn.shared.giveBack(state) }

  /// The events that concern the plugin.
  static let events = [
    BACULA_EVENT_JOB_START, BACULA_EVENT_JOB_END, BACULA_EVENT_START_BACKUP_JOB, BACULA_EVENT_END_BACKUP_JOB,
    BACULA_EVENT_START_RESTORE_JOB, BACULA_EVENT_END_RESTORE_JOB, BACULA_EVENT_BACKUP_COMMAND,
    BACULA_EVENT_RESTORE_COMMAND, BACULA_EVENT_ESTIMATE_COMMAND, BACULA_EVENT_LEVEL, BACULA_EVENT_SINCE,
    BACULA_EVENT_CANCEL_COMMAND, BACULA_EVENT_PLUGIN_COMMAND, BACULA_EVENT_HANDLE_BACKUP_FILE, BACULA_EVENT_RESTORE_OBJECT,
  ]

  func registerEvents() {
    for event in Self.events { _ = bacula_register_event(core, context, Int32(event)) }
  }

  // MARK: Daemon

  package func send(_ severity: Severity, _ text: String) {
    // The daemon truncates long messages. The rest of a text goes into further messages, which do not count as errors.
    var severity = severity
    for part in "gfapi: \(text)".split(utf8Bytes: BACULA_LONGEST_MESSAGE - 1) {
      _ = bacula_job_message(core, context, release.messageType(severity), part + "\n")
      severity = .info
    }
  }

  package func debug(_ level: Int32, _ text: String) { _ = bacula_debug_message(core, context, level, "gfapi: \(text)\n") }

  package func accepts(_ path: VolumePath, _ status: stat) -> Bool {
    ask(core.pointee.accept_file, RecordStrings(name: path.bytes), status).code == Int32(FD_OK)
  }

  /// Compares an entry. The daemon uses its own since time, and marks the entry as seen in its accurate list.
  package func compare(_ record: SaveRecord, since: Int) -> Comparison {
    let answer = ask(core.pointee.check_changes, RecordStrings(record), record.status, type: record.packetType)
    // Back up after any answer but "seen": an entry too many is better than a missing one.
    return Comparison(hasChanged: answer.code != Int32(FD_SEEN), number: answer.number)
  }

  package var isAccurate: Bool { value(Int32(BACULA_VAR_ACCURATE)) ?? 0 != 0 }

  package var jobIsCancelled: Bool {
    // nil means that the daemon has no such value.
    guard let status = value(Int32(BACULA_VAR_JOB_STATUS)) else { return false }
    return status == Int32(FD_JOB_CANCELED) || status == Int32(BACULA_JOB_INCOMPLETE)
  }

  package var jobName: String? { text(Int32(BACULA_VAR_JOB_NAME)) }
  package var previousJobName: String? { text(release.previousJobVariable) }
  package var workingDirectory: String? { text(Int32(BACULA_VAR_WORKING_DIRECTORY)) }

  private func text(_ variable: Int32) -> String? {
    textValue { core.pointee.get_value(context, variable, $0) == Int32(FD_OK) }
  }

  func value(_ variable: Int32) -> Int32? {
    var value: Int32 = 0
    return core.pointee.get_value(context, variable, &value) == Int32(FD_OK) ? value : nil
  }

  /// Asks the daemon about an entry, with a save packet in the layout of the daemon's release.
  private func ask(
    _ question: (UnsafeMutablePointer<bacula_context>?, UnsafeMutableRawPointer?) -> Int32, _ strings: RecordStrings,
    _ status: stat, type: Int32 = 0
  ) -> (code: Int32, number: Int?) {
    func inLayout<P: BaculaSavePacket>(of _: P.Type) -> (code: Int32, number: Int?) {
      var packet = P.empty()
      packet.fname = strings.name.pointer
      packet.link = strings.link.pointer
      packet.statp = status
      packet.type = type
      let code = withExtendedLifetime(strings) { withUnsafeMutablePointer(to: &packet) { question(context, $0) } }
      return (code, packet.accurate_found ? Int(packet.delta_seq) : nil)
    }
    return switch release {
    case .v9: inLayout(of: bacula_save_packet_9.self)
    case .v11: inLayout(of: bacula_save_packet_11.self)
    case .v13, .v15: inLayout(of: bacula_save_packet_13.self)
    }
  }

  // MARK: Events

  package func handle(_ event: UInt32, _ value: UnsafeMutableRawPointer?) -> Int32 {
    let text = { value.map { bytes(UnsafePointer($0.assumingMemoryBound(to: CChar.self))) } ?? [] }
    switch Int(event) {
    case BACULA_EVENT_LEVEL: job.setLevel(UInt8(truncatingIfNeeded: Int(bitPattern: value)))
    case BACULA_EVENT_SINCE: job.setSince(Int(bitPattern: value))
    case BACULA_EVENT_BACKUP_COMMAND:
      hardLinks = HardLinks()
      optionsObject = .upcoming
      return answer(job.beginBackup(text(), isEstimate: false))
    case BACULA_EVENT_ESTIMATE_COMMAND:
      hardLinks = HardLinks()
      optionsObject = .none
      return answer(job.beginBackup(text(), isEstimate: true))
    case BACULA_EVENT_RESTORE_COMMAND:
      // Never return an error: the daemon would go on without the plugin and restore onto its own disk. A message has given the reason, and
      // each entry is refused.
      if takeTurn() { _ = job.beginRestore(text()) }
    case BACULA_EVENT_END_BACKUP_JOB: job.endBackups()
    case BACULA_EVENT_END_RESTORE_JOB:
      job.endRestore()
      RestoreTurn.shared.giveBack(state)
    case BACULA_EVENT_JOB_END:
      job.endBackups()
      job.endRestore()
      RestoreTurn.shared.giveBack(state)
    case BACULA_EVENT_RESTORE_OBJECT:
      if let value { return takeObject(value.assumingMemoryBound(to: bacula_restore_object_packet.self)) }
    case BACULA_EVENT_HANDLE_BACKUP_FILE:
      if !state.hasRefused {
        state.hasRefused = true
        report(
          .error, "GFD-093",
          "Plugin in the Options of a FileSet has no effect: move it to Include, as Plugin = \"\(PluginDefinition.name):volume=…\""
        )
      }
      return Int32(FD_CORE)
    default: break
    }
    return Int32(FD_OK)
  }

  private func takeObject(_ packet: UnsafeMutablePointer<bacula_restore_object_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bacula_restore_object_packet>.size], "restore object packet") else {
      return Int32(FD_ERROR)
    }
    guard Int(packet.pointee.object_type) == BACULA_FT_PLUGIN_CONFIG_FILLED,
      PluginDefinition.concerns(bytes(packet.pointee.plugin_name))
    else { return Int32(FD_OK) }
    // The object is a text that ends with a NUL. Bytes after the NUL have no meaning.
    let text = (bytes(packet.pointee.object, Int(packet.pointee.object_len)) ?? .init(start: nil, count: 0)).prefix { $0 != 0 }
    guard !text.isEmpty else {
      job.refuseRestore()
      report(
        .fatal, "GFD-094",
        "the options of this restore arrived empty: a catalog on SQLite loses options of some lengths; enter the volume again with one more / at its end"
      )
      return Int32(FD_ERROR)
    }
    job.setRestoreOptions(text, for: bytes(packet.pointee.plugin_name))
    return Int32(FD_OK)
  }

  private func takeTurn() -> Bool {
    guard release == .v9 else { return true }
    return RestoreTurn.shared.take(state) {
      inform("waits for another restore to end: this release of Bacula cannot run two through one plugin")
    } isCancelled: {
      job.cancellation.isCancelled || jobIsCancelled
    }
  }

  // MARK: Data

  func checkedIO(_ packet: UnsafeMutablePointer<fd_io_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<fd_io_packet>.size], "I/O packet") else { return Int32(FD_ERROR) }
    return transfer(packet)
  }

  // MARK: Restore

  func createFile(_ raw: UnsafeMutableRawPointer) -> Int32 {
    guard check(raw) else { return Int32(FD_ERROR) }
    return release == .v9
      ? create(raw.assumingMemoryBound(to: fd_restore_packet.self))
      : create(raw.assumingMemoryBound(to: bacula_restore_packet_11.self))
  }

  func setFileAttributes(_ raw: UnsafeMutableRawPointer) -> Int32 {
    guard check(raw) else { return Int32(FD_ERROR) }
    return release == .v9
      ? setAttributes(raw.assumingMemoryBound(to: fd_restore_packet.self))
      : setAttributes(raw.assumingMemoryBound(to: bacula_restore_packet_11.self))
  }

  private func check(_ raw: UnsafeMutableRawPointer) -> Bool {
    let size = release == .v9 ? MemoryLayout<fd_restore_packet>.size : MemoryLayout<bacula_restore_packet_11>.size
    return check(raw.loadUnaligned(as: Int32.self), [size], "restore packet")
  }

  // MARK: Questions

  /// Implements checkStream: the plugin does not change its stream.
  func checkStream(_ packet: UnsafeMutablePointer<bacula_stream_packet>) -> Int32 {
    answer(check(packet.pointee.pkt_size, [MemoryLayout<bacula_stream_packet>.size], "stream packet"))
  }

  /// Answers a question from the console about the plugin line's volume, one line for each call.
  func query(_ packet: UnsafeMutablePointer<bacula_query_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bacula_query_packet>.size], "query packet") else {
      return Int32(FD_ERROR)
    }
    if answers.isEmpty { answers = ConsoleQuestions.answers(to: bytes(packet.pointee.parameter), bytes(packet.pointee.command)) }
    handedOut = CBytes(Array((answers.removeFirst() + "\n").utf8))
    packet.pointee.result = handedOut.pointer
    return Int32(answers.isEmpty ? FD_OK : FD_MORE)
  }
}
