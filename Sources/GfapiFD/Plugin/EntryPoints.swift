import FDPluginABI
import GfapiDefinition
import GfapiJob
import Glibc
import Version

/// The description of the plugin that every daemon gets.
package enum PluginInformation {
  package static let magic = Constant(FD_PLUGIN_MAGIC)
  package static let license = Constant("AGPLv3")
  package static let author = Constant("gfapi-fd maintainers")
  package static let date = Constant("2026")
  package static let version = Constant(Version.version)
  static let name = Constant(PluginDefinition.name)
  package static let description = Constant("Backup and restore of GlusterFS volumes through libgfapi")
  package static let usage = Constant(PluginDefinition.grammar + "\n")

  /// Implements getPluginValue.
  package static func value(_ variable: Int32, _ value: UnsafeMutableRawPointer?) -> Int32 {
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
package struct Constant: @unchecked Sendable {
  package let pointer: UnsafePointer<CChar>

  package init(_ text: String) { pointer = UnsafePointer(strdup(text)!) }
}

/// A daemon's context for one plugin instance in one job.
package protocol PluginContext {
  associatedtype Daemon: PacketDaemon
  var plugin_private: UnsafeMutableRawPointer! { get set }
}

/// Stores a new instance in a context.
package func install<Context: PluginContext>(_ daemon: Context.Daemon, _ context: UnsafeMutablePointer<Context>) {
  // Create the lazy `job` now, on the job's own thread, so that a cancellation from another thread finds it.
  _ = daemon.job
  context.pointee.plugin_private = Unmanaged.passRetained(daemon).toOpaque()
}

/// Ends the instance in a context.
package func remove<Context: PluginContext>(_ context: UnsafeMutablePointer<Context>?) -> Int32 {
  guard let context, let held = context.pointee.plugin_private else { return Int32(FD_ERROR) }
  context.pointee.plugin_private = nil
  Unmanaged<Context.Daemon>.fromOpaque(held).takeRetainedValue().job.end()
  return Int32(FD_OK)
}

/// Implements handlePluginEvent.
package func handleEvent<Context: PluginContext>(
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
package func instance<Context: PluginContext>(
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

/// Makes a call of an instance with a packet.
///
/// The packet is a pointer here, not any `Packet`: the layout of a pointer is known, so the call needs no type at run time.
package func instance<Context: PluginContext, Packet>(
  _ call: @autoclosure () -> String?, _ context: UnsafeMutablePointer<Context>?, _ packet: UnsafeMutablePointer<Packet>?,
  _ body: (Context.Daemon, UnsafeMutablePointer<Packet>) -> Int32
) -> Int32 {
  guard let packet else { return Int32(FD_ERROR) }
  return instance(call(), context) { (daemon: Context.Daemon) in body(daemon, packet) }
}

/// Makes a call of an instance with a packet whose layout depends on the release.
package func instance<Context: PluginContext>(
  _ call: @autoclosure () -> String?, _ context: UnsafeMutablePointer<Context>?, _ packet: UnsafeMutableRawPointer?,
  _ body: (Context.Daemon, UnsafeMutableRawPointer) -> Int32
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
