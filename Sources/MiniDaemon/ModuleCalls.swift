import FDPluginABI
import Glibc

/// The entry points of the module for one job, as one family of daemons calls them. Each function makes the packet in the layout of the
/// release, calls the module, and reads the answer.
protocol ModuleCalls: AnyObject {
  func newPlugin() -> Int32
  func freePlugin()
  /// Sends an event to the plugin.
  ///
  /// - Returns: the plugin's answer; `FD_OK` for an event that the family does not have.
  func send(_ event: DaemonEvent, _ value: UnsafeMutableRawPointer?) -> Int32
  func getValue(_ variable: Int, _ value: UnsafeMutableRawPointer?) -> Int32
  func setValue(_ variable: Int, _ value: UnsafeMutableRawPointer?) -> Int32

  /// Returns the next record; nil if the plugin has none.
  func startBackupFile(_ options: MiniJob.Options) -> StartedRecord?
  func endBackupFile() -> Int32
  func acls() -> [UInt8]
  func extendedAttributes() -> [SavedEntry.Attribute]
  /// Returns true if the plugin says that an entry of the accurate list still exists.
  func keeps(_ path: [UInt8]) -> Bool

  /// Calls the plugin for I/O on a file. This function sets the sizes in the packet.
  func io(_ packet: inout fd_io_packet) -> Int32

  func startRestoreFile(_ line: [UInt8])
  func endRestoreFile()
  /// - Returns: the create_status.
  func createFile(_ packet: fd_restore_packet, original: [UInt8]) -> Int
  func setFileAttributes(_ packet: fd_restore_packet, original: [UInt8])
  func setACLs(_ content: [UInt8], of name: [UInt8])
  func setExtendedAttributes(_ attributes: [SavedEntry.Attribute], of name: [UInt8])
}

/// The events of a job, independent of the numbers that a family gives them.
enum DaemonEvent {
  case jobStart, jobEnd, startBackupJob, endBackupJob, startRestoreJob, endRestoreJob
  case backupCommand, restoreCommand, estimateCommand, level, since, cancelCommand, pluginCommand
  /// Bareos only.
  case newPluginOptions
}

/// The numbers that the plugin asks a daemon for, independent of the variable numbers of a family.
enum DaemonVariable {
  case jobID, level, sinceTime, accurate, jobStatus, fileIndex
}

/// The texts that the plugin asks a daemon for, independent of the variable numbers of a family.
enum DaemonText {
  case jobName, previousJobName, workingDirectory, version
}

/// A record as the plugin reports it.
struct StartedRecord {
  var type: Int
  var path: [UInt8]
  var link: [UInt8]
  var status: stat
  var noRead: Bool
  /// The number of the delta that the record is, as the daemons count: 0 for a whole entry.
  var delta: UInt32 = 0
  /// Bacula: number of the first name of a hard link.
  var linkIndex: Int32 = 0
  /// Bacula: true if blocks of zeros are left out.
  var isSparse = false
  /// Bacula: the options that a restore accepts. Only a record that is not an entry has them.
  var options: [UInt8] = []
}
