import FDPluginABI
import GfapiBackup
import GfapiJob
import Glibc
import Gluster

/// The common part of the adapters of both families.
///
/// Bareos is a fork of Bacula. Entry points, I/O and the order of calls are still the same; packets, events and callbacks are not.
package protocol PacketDaemon: Daemon {
  var job: Job { get }
  var state: PacketState { get }
  /// The supported releases, for messages: `Bareos 18.2 to 26`.
  static var releases: String { get }
  /// The number of the event that cancels a job.
  static var cancelEvent: Int { get }
  /// Sends a debug message. The daemon shows it if its debug level is at least `level`.
  func debug(_ level: Int32, _ text: String)
  /// Handles any other event. The meaning of the value depends on the event.
  func handle(_ event: UInt32, _ value: UnsafeMutableRawPointer?) -> Int32
}

/// The state of an adapter between two calls.
package final class PacketState {
  package init() {}

  /// The strings of the current record. The daemon reads them until the record ends.
  package var strings = RecordStrings()
  /// True if reading the current record has failed.
  package var hasFailed = false
  /// True if a packet has been refused. A message has reported this.
  package var hasRefused = false
}

extension PacketDaemon {
  /// Returns a text from the daemon; nil: the daemon does not return it, or it is empty.
  ///
  /// - Parameter get: stores the address of a C string, which the daemon owns. Returns false if there is none.
  package func textValue(_ get: (UnsafeMutableRawPointer) -> Bool) -> String? {
    var text: UnsafePointer<CChar>?
    guard get(&text), let text, text.pointee != 0 else { return nil }
    return String(cString: text)
  }

  // MARK: Backup

  /// Fills a packet with the next record.
  package func fill(_ packet: UnsafeMutablePointer<some SavePacket>, _ options: FileSetOptions, of backup: BackupRun) throws
    -> SaveRecord
  {
    let record = try backup.start(options)
    state.strings = RecordStrings(record)
    state.hasFailed = false
    packet.pointee.fill(record, state.strings)
    return record
  }

  /// Ends the current record.
  package func endRecord() -> Int32 {
    guard let backup = job.backup else { return Int32(FD_ERROR) }
    do {
      return try backup.end() ? Int32(FD_MORE) : Int32(FD_OK)
    } catch {
      return ended(error)
    }
  }

  /// Reports why a backup cannot go on. After a fatal message or a cancellation, the daemon ends the job by itself.
  package func ended(_ error: any Error) -> Int32 {
    if let message = (error as? JobCalls.Ended)?.message { report(.fatal, message) }
    return Int32(FD_STOP)
  }

  /// Implements checkFile: returns `FD_SEEN` if an entry of the accurate list that the backup did not pass to the daemon shall stay in
  /// the list.
  package func checkFile(_ name: UnsafePointer<CChar>) -> Int32 { Int32(job.mayExist(bytes(name)) ? FD_SEEN : FD_OK) }

  // MARK: Data

  /// Implements pluginIO. The size of the packet has been checked.
  package func transfer(_ packet: UnsafeMutablePointer<fd_io_packet>) -> Int32 {
    packet.pointee.status = 0
    packet.pointee.io_errno = 0
    packet.pointee.lerror = 0
    packet.pointee.win32 = false
    do {
      try perform(packet)
      return Int32(FD_OK)
    } catch {
      state.hasFailed = true
      packet.pointee.status = -1
      packet.pointee.io_errno = (error as? GlusterError)?.errno.rawValue ?? (error is JobCalls.Ended ? EINTR : EIO)
      if let message = (error as? JobCalls.Ended)?.message { report(.fatal, message) }
      return Int32(FD_ERROR)
    }
  }

  private func perform(_ packet: UnsafeMutablePointer<fd_io_packet>) throws {
    switch Int(packet.pointee.func) {
    case FD_IO_OPEN:
      if let restore = job.restore { restore.openFile() } else { try backup().openFile() }
    case FD_IO_READ:
      packet.pointee.status = Int32(try backup().read(into: buffer(packet)))
    case FD_IO_WRITE:
      guard let restore = job.restore else { throw GlusterError(errno: .invalidArgument, call: "write") }
      try restore.write(UnsafeRawBufferPointer(buffer(packet)))
      packet.pointee.status = packet.pointee.count
    case FD_IO_SEEK:
      guard let restore = job.restore else { throw GlusterError(errno: .invalidArgument, call: "seek") }
      let start: Int
      switch packet.pointee.whence {
      case SEEK_SET: start = 0
      case SEEK_CUR: start = restore.offset
      default: throw GlusterError(errno: .invalidArgument, call: "seek")
      }
      let (target, overflows) = start.addingReportingOverflow(Int(packet.pointee.offset))
      guard !overflows, target >= 0 else { throw GlusterError(errno: .invalidArgument, call: "seek") }
      restore.seek(to: target)
      packet.pointee.offset = Int64(restore.offset)
    case FD_IO_CLOSE:
      if let restore = job.restore { restore.closeFile() } else { try backup().closeFile() }
    default:
      throw GlusterError(errno: .invalidArgument, call: "I/O function \(packet.pointee.func)")
    }
  }

  private func buffer(_ packet: UnsafeMutablePointer<fd_io_packet>) throws -> UnsafeMutableRawBufferPointer {
    guard let buffer = bytes(packet.pointee.buf, Int(packet.pointee.count)) else {
      throw GlusterError(errno: .invalidArgument, call: "I/O packet without a buffer for \(packet.pointee.count) bytes")
    }
    return buffer
  }

  private func backup() throws -> BackupRun {
    guard let backup = job.backup else { throw GlusterError(errno: .invalidArgument, call: "no backup is running") }
    return backup
  }

  // MARK: Restore

  /// Implements createFile. The size of the packet has been checked.
  package func create(_ packet: UnsafeMutablePointer<some RestorePacket>) -> Int32 {
    guard let restore = job.restore else { return Int32(FD_ERROR) }
    guard let entry = packet.pointee.entry else {
      restore.refuse(bytes(packet.pointee.ofname), "the backup's record has a type that holds no entry: \(packet.pointee.type)")
      packet.pointee.create_status = Int32(FD_CF_ERROR)
      return Int32(FD_OK)
    }
    packet.pointee.create_status = restore.create(entry, under: bytes(packet.pointee.where)).createStatus
    return Int32(FD_OK)
  }

  package func setAttributes(_ packet: UnsafeMutablePointer<some RestorePacket>) -> Int32 {
    guard let restore = job.restore else { return Int32(FD_ERROR) }
    restore.setAttributes(packet.pointee.statp)
    packet.pointee.create_status = Int32(FD_CF_CREATED)
    return Int32(FD_OK)
  }

  package func endRestoreFile() -> Int32 {
    job.restore?.finishEntry()
    return Int32(FD_OK)
  }

  /// The path of the daemon's current entry; nil: there is none.
  package var entryInHand: [UInt8]? {
    if let restore = job.restore { return restore.path }
    return job.backup == nil ? nil : bytes(state.strings.name.pointer)
  }

  // MARK: Packets

  /// Returns the content of a packet; nil if its pointer and its length cannot be valid. A message reports this.
  package func content(_ start: UnsafeMutablePointer<CChar>?, _ count: Int, _ what: String) -> UnsafeRawBufferPointer? {
    if let bytes = bytes(start, count) { return UnsafeRawBufferPointer(bytes) }
    report(.error, "GFD-091", "this daemon's \(what) has no content for its \(count) bytes: left out")
    return nil
  }

  /// Returns true if a packet has one of the known sizes. Otherwise a message reports this.
  package func check(_ size: Int32, _ known: [Int], _ what: String) -> Bool {
    if known.contains(Int(size)) { return true }
    if !state.hasRefused {
      state.hasRefused = true
      report(
        .fatal, "GFD-090",
        "this daemon's \(what) has \(size) bytes, the plugin knows \(known.map(String.init).joined(separator: ", ")): it is made for \(Self.releases)"
      )
    }
    return false
  }

  package func answer(_ isWell: Bool) -> Int32 { Int32(isWell ? FD_OK : FD_ERROR) }
}
