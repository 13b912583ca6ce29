import FDPluginABI
import GfapiJob
import GfapiPlugin
import Locks

/// The tables that Bareos gets when it loads the plugin. They are created once and never freed.
package struct BareosTables: @unchecked Sendable {
  private static let shared = BareosTables(interface: UInt32(BAREOS_INTERFACE_VERSION))
  /// The tables for programs that only show the plugin, and for Bareos's gRPC bridge. The bridge is not supported: its jobs fail at their
  /// start.
  private static let shown = BareosTables(interface: shownInterface)
  /// The interface version that `bpluginfo` and the bridge announce.
  package static let shownInterface: UInt32 = 1
  /// The size of `bpluginfo`'s table of callbacks, in bytes.
  package static let shownSize: UInt32 = 64
  /// The addresses of the daemon's callbacks, set once at loading, and of the bridge's.
  private static let core = Mutex(0)
  private static let bridge = Mutex(0)

  private let information: UnsafeMutablePointer<bareos_plugin_information>
  private let functions: UnsafeMutablePointer<bareos_plugin_functions>

  package static func load(
    _ core: UnsafePointer<bareos_core_functions>, _ information: UnsafeMutablePointer<UnsafeRawPointer?>,
    _ functions: UnsafeMutablePointer<UnsafeRawPointer?>
  ) {
    self.core.withLock { $0 = Int(bitPattern: core) }
    information.pointee = UnsafeRawPointer(shared.information)
    functions.pointee = UnsafeRawPointer(shared.functions)
  }

  /// Returns the tables for programs that only show the plugin, and for the bridge.
  ///
  /// - Parameter core: the bridge's callbacks; nil: no callback will be called.
  package static func show(
    _ core: UnsafePointer<bareos_core_functions>?, _ information: UnsafeMutablePointer<UnsafeRawPointer?>,
    _ functions: UnsafeMutablePointer<UnsafeRawPointer?>
  ) {
    bridge.withLock { $0 = Int(bitPattern: core) }
    information.pointee = UnsafeRawPointer(shown.information)
    functions.pointee = UnsafeRawPointer(shown.functions)
  }

  private init(interface: UInt32) {
    information = .allocate(capacity: 1)
    information.initialize(
      to: bareos_plugin_information(
        size: UInt32(MemoryLayout<bareos_plugin_information>.size), version: interface,
        magic: PluginInformation.magic.pointer, license: PluginInformation.license.pointer,
        author: PluginInformation.author.pointer, date: PluginInformation.date.pointer,
        plugin_version: PluginInformation.version.pointer, description: PluginInformation.description.pointer,
        usage: PluginInformation.usage.pointer))

    functions = .allocate(capacity: 1)
    var table = bareos_plugin_functions()
    table.size = UInt32(MemoryLayout<bareos_plugin_functions>.size)
    table.version = interface
    if interface == Self.shownInterface {
      table.new_plugin = { context in
        // The bridge reports every entry as "seen", so no entry would count as changed.
        guard let context, let core = UnsafePointer<bareos_core_functions>(bitPattern: BareosTables.bridge.withLock { $0 })
        else { return Int32(FD_ERROR) }
        BareosDaemon(core: core, context: context).report(
          .fatal, "GFD-012",
          "Bareos's gRPC bridge cannot run this plugin: add gfapi to Plugin Names of the file daemon, so that the daemon loads it itself")
        return Int32(FD_ERROR)
      }
    } else {
      table.new_plugin = { context in
        guard let context, let core = UnsafePointer<bareos_core_functions>(bitPattern: BareosTables.core.withLock { $0 })
        else { return Int32(FD_ERROR) }
        let daemon = BareosDaemon(core: core, context: context)
        install(daemon, context)
        daemon.registerEvents()
        return Int32(FD_OK)
      }
    }
    table.free_plugin = { remove($0) }
    table.get_plugin_value = { PluginInformation.value($1, $2) }
    // There is nothing to set.
    table.set_plugin_value = { _, _, _ in Int32(FD_OK) }
    table.handle_event = { handleEvent($0, $1, $2) }
    table.start_backup_file = { instance("startBackupFile", $0, $1) { $0.startBackupFile($1) } }
    table.end_backup_file = { context in instance("endBackupFile", context) { $0.endRecord() } }
    table.start_restore_file = { _, _ in Int32(FD_OK) }
    table.end_restore_file = { context in instance("endRestoreFile", context) { $0.endRestoreFile() } }
    table.plugin_io = { instance("pluginIO", $0, $1) { $0.io($1) } }
    table.create_file = { instance("createFile", $0, $1) { $0.createFile($1) } }
    table.set_file_attributes = { instance("setFileAttributes", $0, $1) { $0.setFileAttributes($1) } }
    table.check_file = { instance("checkFile", $0, $1) { $0.checkFile($1) } }
    table.get_acl = { instance("getAcl", $0, $1) { $0.getACL($1) } }
    table.set_acl = { instance("setAcl", $0, $1) { $0.setACL($1) } }
    table.get_xattr = { instance("getXattr", $0, $1) { $0.getXattr($1) } }
    table.set_xattr = { instance("setXattr", $0, $1) { $0.setXattr($1) } }
    functions.initialize(to: table)
  }
}

extension bareos_context: PluginContext { package typealias Daemon = BareosDaemon }
