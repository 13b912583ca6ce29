import DaemonReleases
import FDPluginABI
import GfapiJob
import GfapiPlugin
import Locks

/// The tables that Bacula gets when it loads the plugin. They are created once, for the loading release, and never freed.
package struct BaculaTables: @unchecked Sendable {
  private struct Loaded {
    var release: BaculaRelease
    /// Address of the daemon's callbacks.
    var core: Int
  }
  private static let loaded = Mutex<Loaded?>(nil)

  package static func load(
    _ release: BaculaRelease, _ core: UnsafePointer<bacula_core_functions>,
    _ information: UnsafeMutablePointer<UnsafeRawPointer?>, _ functions: UnsafeMutablePointer<UnsafeRawPointer?>
  ) {
    loaded.withLock { $0 = Loaded(release: release, core: Int(bitPattern: core)) }
    let answer = UnsafeMutablePointer<bacula_plugin_information>.allocate(capacity: 1)
    answer.initialize(
      to: bacula_plugin_information(
        size: UInt32(MemoryLayout<bacula_plugin_information>.size), version: release.version,
        magic: PluginInformation.magic.pointer, license: PluginInformation.license.pointer,
        author: PluginInformation.author.pointer, date: PluginInformation.date.pointer,
        plugin_version: PluginInformation.version.pointer, description: PluginInformation.description.pointer))
    information.pointee = UnsafeRawPointer(answer)
    functions.pointee = release == .v9 ? table9() : table15(release)
  }

  private static func table9() -> UnsafeRawPointer {
    let table = UnsafeMutablePointer<bacula_plugin_functions_9>.allocate(capacity: 1)
    table.initialize(to: bacula_plugin_functions_9())
    fill(&table.pointee)
    table.pointee.size = UInt32(BaculaRelease.v9.functionsSize)
    table.pointee.version = BaculaRelease.v9.version
    return UnsafeRawPointer(table)
  }

  /// Returns the table of entry points for Bacula 11, 13 and 15. Bacula 11 and 13 read only its first part.
  private static func table15(_ release: BaculaRelease) -> UnsafeRawPointer {
    let table = UnsafeMutablePointer<bacula_plugin_functions_15>.allocate(capacity: 1)
    table.initialize(to: bacula_plugin_functions_15())
    fill(&table.pointee)
    table.pointee.size = UInt32(release.functionsSize)
    table.pointee.version = release.version
    table.pointee.query_parameter = { instance("queryParameter", $0, $1) { $0.query($1) } }
    return UnsafeRawPointer(table)
  }

  /// Sets the entry points that every release has. The others stay null: the plugin does not ask for a list of the entries to restore, and
  /// stores no metadata besides its streams.
  private static func fill(_ table: inout some BaculaFunctions) {
    table.new_plugin = { context in
      guard let context, let loaded = BaculaTables.loaded.withLock({ $0 }),
        let core = UnsafePointer<bacula_core_functions>(bitPattern: loaded.core)
      else { return Int32(FD_ERROR) }
      let daemon = BaculaDaemon(core: core, context: context, loaded.release)
      install(daemon, context)
      daemon.registerEvents()
      return Int32(FD_OK)
    }
    table.free_plugin = { remove($0) }
    table.get_plugin_value = { PluginInformation.value($1, $2) }
    // There is nothing to set.
    table.set_plugin_value = { _, _, _ in Int32(FD_OK) }
    table.handle_event = { handleEvent($0, $1, $2) }
    table.start_backup_file = { instance("startBackupFile", $0, $1) { $0.startBackupFile($1) } }
    table.end_backup_file = { context in instance("endBackupFile", context) { $0.endBackupFile() } }
    table.start_restore_file = { _, _ in Int32(FD_OK) }
    table.end_restore_file = { context in instance("endRestoreFile", context) { $0.endRestoreFile() } }
    table.plugin_io = { instance("pluginIO", $0, $1) { $0.checkedIO($1) } }
    table.create_file = { instance("createFile", $0, $1) { $0.createFile($1) } }
    table.set_file_attributes = { instance("setFileAttributes", $0, $1) { $0.setFileAttributes($1) } }
    table.check_file = { instance("checkFile", $0, $1) { $0.checkFile($1) } }
    table.handle_xacl = { instance("handleXACLdata", $0, $1) { $0.handleXACL($1) } }
    table.check_stream = { instance("checkStream", $0, $1) { $0.checkStream($1) } }
  }
}

/// The entry points that every release of Bacula has. Their position in the table depends on the release.
private protocol BaculaFunctions {
  typealias Context = UnsafeMutablePointer<bacula_context>
  var new_plugin: (@convention(c) (Context?) -> Int32)! { get set }
  var free_plugin: (@convention(c) (Context?) -> Int32)! { get set }
  var get_plugin_value: (@convention(c) (Context?, Int32, UnsafeMutableRawPointer?) -> Int32)! { get set }
  var set_plugin_value: (@convention(c) (Context?, Int32, UnsafeMutableRawPointer?) -> Int32)! { get set }
  var handle_event: (@convention(c) (Context?, UnsafeMutablePointer<fd_event>?, UnsafeMutableRawPointer?) -> Int32)! { get set }
  var start_backup_file: (@convention(c) (Context?, UnsafeMutableRawPointer?) -> Int32)! { get set }
  var end_backup_file: (@convention(c) (Context?) -> Int32)! { get set }
  var start_restore_file: (@convention(c) (Context?, UnsafePointer<CChar>?) -> Int32)! { get set }
  var end_restore_file: (@convention(c) (Context?) -> Int32)! { get set }
  var plugin_io: (@convention(c) (Context?, UnsafeMutablePointer<fd_io_packet>?) -> Int32)! { get set }
  var create_file: (@convention(c) (Context?, UnsafeMutableRawPointer?) -> Int32)! { get set }
  var set_file_attributes: (@convention(c) (Context?, UnsafeMutableRawPointer?) -> Int32)! { get set }
  var check_file: (@convention(c) (Context?, UnsafeMutablePointer<CChar>?) -> Int32)! { get set }
  var handle_xacl: (@convention(c) (Context?, UnsafeMutablePointer<bacula_xacl_packet>?) -> Int32)! { get set }
  var check_stream: (@convention(c) (Context?, UnsafeMutablePointer<bacula_stream_packet>?) -> Int32)! { get set }
}

extension bacula_plugin_functions_9: BaculaFunctions {}
extension bacula_plugin_functions_15: BaculaFunctions {}

extension bacula_context: PluginContext { package typealias Daemon = BaculaDaemon }
