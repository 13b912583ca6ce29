import FDPluginABI
import Glibc
import Version

/// Loads the plugin: finds out which daemon calls, and returns the tables for this daemon.
///
/// - Parameters:
///   - interface: size and version of the daemon's interface. The version identifies the daemon: Bareos 18.2 to 26 has 10,
///     Bacula 9.6 has 14, 11 has 21, 13 has 22, 15 has 23.
///   - core: the daemon's callbacks.
///   - information: receives the description of the plugin.
///   - functions: receives the plugin's entry points.
/// - Returns: 0, or 2 if this daemon is not supported. The reason is written to stderr and to the system log.
package func loadPlugin(
  interface: UnsafeRawPointer?, core: UnsafeRawPointer?, information: UnsafeMutablePointer<UnsafeRawPointer?>?,
  functions: UnsafeMutablePointer<UnsafeRawPointer?>?
) -> Int32 {
  guard let interface, let core, let information, let functions else { return refuse("a null pointer") }
  let version = interface.assumingMemoryBound(to: fd_interface.self).pointee.version
  // The tables of both families begin with their size.
  let size = core.loadUnaligned(as: UInt32.self)
  if version == BareosTables.shownInterface, [BareosTables.shownSize, UInt32(MemoryLayout<bareos_core_functions>.size)].contains(size) {
    let isBridge = size != BareosTables.shownSize
    BareosTables.show(isBridge ? core.assumingMemoryBound(to: bareos_core_functions.self) : nil, information, functions)
    return Int32(FD_OK)
  }
  let bacula = BaculaRelease.allCases.first { $0.version == version }
  guard bacula != nil || version == UInt32(BAREOS_INTERFACE_VERSION) else {
    let known = BaculaRelease.allCases.map { "\($0.version)" }.joined(separator: ", ")
    return refuse(
      "the daemon has plugin interface \(version); known are \(BAREOS_INTERFACE_VERSION) (\(BareosDaemon.releases)) and \(known) (\(BaculaDaemon.releases))"
    )
  }
  let known = bacula?.coreSize ?? MemoryLayout<bareos_core_functions>.size
  guard size == UInt32(known) else {
    return refuse(
      "the daemon has plugin interface \(version), but its table of callbacks has \(size) bytes; known is \(known)")
  }
  if let bacula {
    BaculaTables.load(bacula, core.assumingMemoryBound(to: bacula_core_functions.self), information, functions)
  } else {
    BareosTables.load(core.assumingMemoryBound(to: bareos_core_functions.self), information, functions)
  }
  return Int32(FD_OK)
}

/// Unloads the plugin. Its code stays mapped, because a thread may still wait for a volume.
package func unloadPlugin() -> Int32 { Int32(FD_OK) }

private func refuse(_ reason: String) -> Int32 {
  let text = "gfapi-fd: \(JobMessage("GFD-095", "not loaded: \(reason)"))"
  _ = (text + "\n").withCString { write(STDERR_FILENO, $0, strlen($0)) }
  text.withCString { text in withVaList([text]) { vsyslog(LOG_ERR, "%s", $0) } }
  return Int32(FD_ERROR)
}

// MARK: Shared by the entry points of both families

/// The description of the plugin that every daemon gets.
enum PluginInformation {
  static let magic = Constant(FD_PLUGIN_MAGIC)
  static let license = Constant("AGPLv3")
  static let author = Constant("gfapi-fd maintainers")
  static let date = Constant("2026")
  static let version = Constant(Version.version)
  static let name = Constant(PluginDefinition.name)
  static let description = Constant("Backup and restore of GlusterFS volumes through libgfapi")
  static let usage = Constant(PluginDefinition.grammar + "\n")

  /// Implements getPluginValue.
  static func value(_ variable: Int32, _ value: UnsafeMutableRawPointer?) -> Int32 {
    guard let value else { return Int32(FD_ERROR) }
    let text: Constant
    switch Int(variable) {
    case FD_PLUGIN_VAR_NAME: text = name
    case FD_PLUGIN_VAR_DESCRIPTION: text = description
    default: return Int32(FD_ERROR)
    }
    value.assumingMemoryBound(to: UnsafePointer<CChar>.self).pointee = text.pointer
    return Int32(FD_OK)
  }
}

/// A C string that is never freed.
struct Constant: @unchecked Sendable {
  let pointer: UnsafePointer<CChar>

  init(_ text: String) { pointer = UnsafePointer(strdup(text)!) }
}

/// A daemon's context for one plugin instance in one job.
protocol PluginContext {
  associatedtype Daemon: PacketDaemon
  var plugin_private: UnsafeMutableRawPointer! { get set }
}

extension bareos_context: PluginContext { typealias Daemon = BareosDaemon }
extension bacula_context: PluginContext { typealias Daemon = BaculaDaemon }

/// Stores a new instance in a context.
func install<Context: PluginContext>(_ daemon: Context.Daemon, _ context: UnsafeMutablePointer<Context>) {
  // Create the lazy `job` now, on the job's own thread, so that a cancellation from another thread finds it.
  _ = daemon.job
  context.pointee.plugin_private = Unmanaged.passRetained(daemon).toOpaque()
}

/// Ends the instance in a context.
func remove<Context: PluginContext>(_ context: UnsafeMutablePointer<Context>?) -> Int32 {
  guard let context, let held = context.pointee.plugin_private else { return Int32(FD_ERROR) }
  context.pointee.plugin_private = nil
  Unmanaged<Context.Daemon>.fromOpaque(held).takeRetainedValue().job.end()
  return Int32(FD_OK)
}

/// Implements handlePluginEvent.
func handleEvent<Context: PluginContext>(
  _ context: UnsafeMutablePointer<Context>?, _ event: UnsafeMutablePointer<fd_event>?, _ value: UnsafeMutableRawPointer?
) -> Int32 {
  guard let event else { return Int32(FD_ERROR) }
  let type = event.pointee.type
  // The cancel event is the only call that may come from another thread, so it uses only the job's `cancellation`.
  if Int(type) == Context.Daemon.cancelEvent {
    return instance(nil, context) { daemon in
      daemon.job.cancellation.cancel()
      return Int32(FD_OK)
    }
  }
  return instance("handlePluginEvent(\(type))", context) { $0.handle(type, value) }
}

/// Makes a call of an instance, and shows the call if the daemon's debug level asks for it.
///
/// - Parameter call: the daemon's name for the call; nil: it is never shown.
func instance<Context: PluginContext>(
  _ call: @autoclosure () -> String?, _ context: UnsafeMutablePointer<Context>?, _ body: (Context.Daemon) -> Int32
) -> Int32 {
  guard let held = context?.pointee.plugin_private else { return Int32(FD_ERROR) }
  let daemon = Unmanaged<Context.Daemon>.fromOpaque(held).takeUnretainedValue()
  let answer = body(daemon)
  if DebugLevel.showsCalls, let call = call() {
    let entry = daemon.entryInHand.map { ": \(printable($0))" }
    daemon.debug(DebugLevel.calls, "\(call): \(answer)\(entry ?? "")")
  }
  return answer
}

func instance<Context: PluginContext, Packet>(
  _ call: @autoclosure () -> String?, _ context: UnsafeMutablePointer<Context>?, _ packet: Packet?,
  _ body: (Context.Daemon, Packet) -> Int32
) -> Int32 {
  guard let packet else { return Int32(FD_ERROR) }
  return instance(call(), context) { (daemon: Context.Daemon) in body(daemon, packet) }
}

/// The daemon's debug level, as `setdebug` sets it.
enum DebugLevel {
  /// The lowest debug level at which calls are shown.
  static let calls: Int32 = 200

  static var showsCalls: Bool { (level.pointer?.pointee ?? 0) >= calls }

  private struct Level: @unchecked Sendable {
    // The daemon's console thread writes this variable. The worst effect of the race is that one call more or less is shown.
    let pointer: UnsafePointer<Int32>?
  }

  /// The global variable `debug_level` of the daemon's library: `int` in Bareos, `int64_t` in Bacula, of which this is the lower half. No
  /// callback returns the level. Without it, every call would be formatted for the daemon to drop, which would cost more than the call.
  private static let level = Level(pointer: dlsym(nil, "debug_level").map { UnsafePointer($0.assumingMemoryBound(to: Int32.self)) })
}
