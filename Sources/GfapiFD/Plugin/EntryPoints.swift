import FDPluginABI
import Glibc
import Synchronization

/// Loads the plugin: looks at who asks and answers in that daemon's terms.
///
/// - Parameters:
///   - interface: size and version of the daemon's interface; the version tells the family: Bareos 18.2 to 26 has 10.
///   - core: the daemon's callbacks.
///   - information: receives what the plugin is.
///   - functions: receives the plugin's entry points.
/// - Returns: 0, or 2 if this daemon is not known; the reason is on stderr and in the system's log.
package func loadPlugin(
  interface: UnsafeRawPointer?, core: UnsafeRawPointer?, information: UnsafeMutablePointer<UnsafeRawPointer?>?,
  functions: UnsafeMutablePointer<UnsafeRawPointer?>?
) -> Int32 {
  guard let interface, let core, let information, let functions else { return refuse("a null pointer") }
  let version = interface.assumingMemoryBound(to: bareos_interface.self).pointee.version
  guard version == UInt32(BAREOS_INTERFACE_VERSION) else {
    return refuse(
      "the daemon has plugin interface \(version); known is \(BAREOS_INTERFACE_VERSION) (Bareos 18.2 to 26)")
  }
  let table = core.assumingMemoryBound(to: bareos_core_functions.self)
  guard table.pointee.size == UInt32(MemoryLayout<bareos_core_functions>.size) else {
    return refuse(
      "the daemon's table of callbacks has \(table.pointee.size) bytes; known is \(MemoryLayout<bareos_core_functions>.size) (Bareos 18.2 to 26)")
  }
  bareosCore.withLock { $0 = Int(bitPattern: table) }
  information.pointee = UnsafeRawPointer(BareosTables.shared.information)
  functions.pointee = UnsafeRawPointer(BareosTables.shared.functions)
  return Int32(BAREOS_OK)
}

/// Unloads the plugin. Its code stays mapped: a thread may still wait for a volume.
package func unloadPlugin() -> Int32 { Int32(BAREOS_OK) }

private func refuse(_ reason: String) -> Int32 {
  let text = "gfapi-fd: not loaded: \(reason)"
  _ = (text + "\n").withCString { write(STDERR_FILENO, $0, strlen($0)) }
  text.withCString { text in withVaList([text]) { vsyslog(LOG_ERR, "%s", $0) } }
  return Int32(BAREOS_ERROR)
}

/// The daemon's callbacks, set once at loading.
private let bareosCore = Mutex(0)

/// What Bareos is given at loading: made once, kept for good.
private struct BareosTables: @unchecked Sendable {
  static let shared = BareosTables()

  let information: UnsafeMutablePointer<bareos_plugin_information>
  let functions: UnsafeMutablePointer<bareos_plugin_functions>

  static let name = constant(PluginDefinition.name)
  static let description = constant("Backup and restore of GlusterFS volumes through libgfapi")

  init() {
    information = .allocate(capacity: 1)
    information.initialize(
      to: bareos_plugin_information(
        size: UInt32(MemoryLayout<bareos_plugin_information>.size), version: UInt32(BAREOS_INTERFACE_VERSION),
        magic: constant(BAREOS_PLUGIN_MAGIC).pointer, license: constant("AGPLv3").pointer,
        author: constant("gfapi-fd maintainers").pointer, date: constant("2026").pointer,
        plugin_version: constant(moduleVersion).pointer, description: Self.description.pointer,
        usage: constant(PluginDefinition.grammar + "\n").pointer))

    functions = .allocate(capacity: 1)
    var table = bareos_plugin_functions()
    table.size = UInt32(MemoryLayout<bareos_plugin_functions>.size)
    table.version = UInt32(BAREOS_INTERFACE_VERSION)
    table.new_plugin = newPlugin
    table.free_plugin = freePlugin
    table.get_plugin_value = { _, variable, value in
      guard let value else { return Int32(BAREOS_ERROR) }
      let text: Constant
      switch Int(variable) {
      case BAREOS_PLUGIN_VAR_NAME: text = BareosTables.name
      case BAREOS_PLUGIN_VAR_DESCRIPTION: text = BareosTables.description
      default: return Int32(BAREOS_ERROR)
      }
      value.assumingMemoryBound(to: UnsafePointer<CChar>.self).pointee = text.pointer
      return Int32(BAREOS_OK)
    }
    // There is nothing to set.
    table.set_plugin_value = { _, _, _ in Int32(BAREOS_OK) }
    table.handle_event = { context, event, value in
      guard let event else { return Int32(BAREOS_ERROR) }
      // The only call that may come from another thread: it touches nothing but the cancellation.
      if Int(event.pointee.type) == BAREOS_EVENT_CANCEL_COMMAND {
        return instance(context) { $0.job.cancellation.cancel(); return Int32(BAREOS_OK) }
      }
      return instance(context) { $0.handle(event.pointee.type, value) }
    }
    table.start_backup_file = { instance($0, $1) { $0.startBackupFile($1) } }
    table.end_backup_file = { context in instance(context) { $0.endBackupFile() } }
    table.start_restore_file = { _, _ in Int32(BAREOS_OK) }
    table.end_restore_file = { context in instance(context) { $0.endRestoreFile() } }
    table.plugin_io = { instance($0, $1) { $0.io($1) } }
    table.create_file = { instance($0, $1) { $0.createFile($1) } }
    table.set_file_attributes = { instance($0, $1) { $0.setFileAttributes($1) } }
    // Whether an entry of the accurate list is still there is told by the crawl.
    table.check_file = { _, _ in Int32(BAREOS_OK) }
    table.get_acl = { instance($0, $1) { $0.getACL($1) } }
    table.set_acl = { instance($0, $1) { $0.setACL($1) } }
    table.get_xattr = { instance($0, $1) { $0.getXattr($1) } }
    table.set_xattr = { instance($0, $1) { $0.setXattr($1) } }
    functions.initialize(to: table)
  }
}

private func newPlugin(_ context: UnsafeMutablePointer<bareos_context>?) -> Int32 {
  guard let context,
    let core = UnsafePointer<bareos_core_functions>(bitPattern: bareosCore.withLock { $0 })
  else { return Int32(BAREOS_ERROR) }
  let daemon = BareosDaemon(core: core, context: context)
  // Made here, on the job's thread: a cancellation from another one finds it.
  _ = daemon.job
  context.pointee.plugin_private = Unmanaged.passRetained(daemon).toOpaque()
  daemon.registerEvents()
  return Int32(BAREOS_OK)
}

private func freePlugin(_ context: UnsafeMutablePointer<bareos_context>?) -> Int32 {
  guard let context, let held = context.pointee.plugin_private else { return Int32(BAREOS_ERROR) }
  context.pointee.plugin_private = nil
  let daemon = Unmanaged<BareosDaemon>.fromOpaque(held).takeRetainedValue()
  daemon.job.end()
  return Int32(BAREOS_OK)
}

private func instance(_ context: UnsafeMutablePointer<bareos_context>?, _ body: (BareosDaemon) -> Int32) -> Int32 {
  guard let held = context?.pointee.plugin_private else { return Int32(BAREOS_ERROR) }
  return body(Unmanaged<BareosDaemon>.fromOpaque(held).takeUnretainedValue())
}

private func instance<Packet>(
  _ context: UnsafeMutablePointer<bareos_context>?, _ packet: Packet?, _ body: (BareosDaemon, Packet) -> Int32
) -> Int32 {
  guard let packet else { return Int32(BAREOS_ERROR) }
  return instance(context) { body($0, packet) }
}

/// The version of the module and the tools.
package let moduleVersion = "0.1.0"

/// A C string for good.
private struct Constant: @unchecked Sendable {
  let pointer: UnsafePointer<CChar>
}

private func constant(_ text: String) -> Constant { Constant(pointer: UnsafePointer(strdup(text)!)) }
