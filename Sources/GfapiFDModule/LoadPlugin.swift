import DaemonReleases
import FDPluginABI
import GfapiBacula
import GfapiBareos
import GfapiJob
import Glibc

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
