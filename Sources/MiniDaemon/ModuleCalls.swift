import FDPluginABI
import Glibc

/// The entry points of the module for one job, as one family of daemons calls them. Each makes the packet in its release's
/// layout, calls, and reads the answer.
protocol ModuleCalls: AnyObject {
  func newPlugin() -> Int32
  func freePlugin()
  /// - Returns: `FD_OK` for an event that the family does not have.
  func send(_ event: DaemonEvent, _ value: UnsafeMutableRawPointer?) -> Int32
  func getValue(_ variable: Int, _ value: UnsafeMutableRawPointer?) -> Int32
  func setValue(_ variable: Int, _ value: UnsafeMutableRawPointer?) -> Int32

  /// nil: the plugin has no record.
  func startBackupFile(_ options: MiniJob.Options) -> StartedRecord?
  func endBackupFile() -> Int32
  func acls() -> [UInt8]
  func extendedAttributes() -> [SavedEntry.Attribute]
  /// Whether the plugin says that an entry of the accurate list is still there.
  func keeps(_ path: [UInt8]) -> Bool

  /// The packet's sizes are set here.
  func io(_ packet: inout fd_io_packet) -> Int32

  func startRestoreFile(_ line: [UInt8])
  func endRestoreFile()
  /// - Returns: the create_status.
  func createFile(_ packet: fd_restore_packet, original: [UInt8]) -> Int
  func setFileAttributes(_ packet: fd_restore_packet, original: [UInt8])
  func setACLs(_ content: [UInt8], of name: [UInt8])
  func setExtendedAttributes(_ attributes: [SavedEntry.Attribute], of name: [UInt8])
}

/// What happens in a job, whatever number a family gives it.
enum DaemonEvent {
  case jobStart, jobEnd, startBackupJob, endBackupJob, startRestoreJob, endRestoreJob
  case backupCommand, restoreCommand, estimateCommand, level, since, cancelCommand, pluginCommand
  /// Bareos.
  case newPluginOptions
}

/// What the plugin asks a daemon for, whatever number a family gives it.
enum DaemonVariable {
  case jobID, level, sinceTime, accurate, jobStatus, fileIndex
}

/// The same, of texts.
enum DaemonText {
  case jobName, previousJobName, workingDirectory, version
}

/// A record as the plugin told it.
struct StartedRecord {
  var type: Int
  var path: [UInt8]
  var link: [UInt8]
  var status: stat
  var noRead: Bool
  /// Bacula: number of the entry that a hard link is a further name of.
  var linkIndex: Int32 = 0
  /// Bacula: blocks of zeros are left out.
  var isSparse = false
  /// Bacula: the options that a restore may be given, for a record that is no entry.
  var options: [UInt8] = []
}
