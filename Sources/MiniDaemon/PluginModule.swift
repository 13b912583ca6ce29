import FDPluginABI
import Glibc

/// An error of the small daemon.
public struct DaemonError: Error, CustomStringConvertible {
  /// `GFD-` and three digits: docs/troubleshooting.md explains the message under this code.
  public let code: String
  /// The message without its code.
  public let text: String
  public init(_ code: String, _ text: String) { (self.code, self.text) = (code, text) }

  public var description: String { "\(code) \(text)" }
}

/// The plugin's module, loaded through its C interface as a file daemon loads it.
///
/// A process must load it for only one release of Bacula at a time, because the module serves only the release that loaded it last.
public final class PluginModule: @unchecked Sendable {
  // The properties are set once, when the module is loaded.
  public let abi: ABI
  private let library: UnsafeMutableRawPointer
  let functions: UnsafeRawPointer
  /// The size that the plugin's information claims to have, in bytes.
  public let informationSize: UInt32
  public let description: String
  /// The plugin's usage text; nil if the daemon does not ask for it.
  public let usage: String?

  private typealias Load =
    @convention(c) (
      UnsafeRawPointer?, UnsafeRawPointer?, UnsafeMutablePointer<UnsafeRawPointer?>?,
      UnsafeMutablePointer<UnsafeRawPointer?>?
    ) -> Int32
  private typealias Unload = @convention(c) () -> Int32

  /// Loads the module.
  ///
  /// - Parameters:
  ///   - path: the path of `gfapi-fd.so`.
  ///   - abi: the daemon to imitate.
  ///   - version: the daemon's interface version; nil: that of `abi`.
  ///   - tableSize: size that the table of callbacks claims to have, in bytes; nil: that of `abi`.
  public init(_ path: String, _ abi: ABI = .newest, version: UInt32? = nil, tableSize: Int? = nil) throws {
    // The daemons ignore this signal too. Otherwise a socket of libgfapi whose other end is closed would end the process.
    signal(SIGPIPE, SIG_IGN)
    guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw DaemonError("GFD-301", "cannot load \(path): \(String(cString: dlerror()))")
    }
    guard let load = dlsym(library, "loadPlugin") else {
      throw DaemonError("GFD-301", "\(path) is no plugin of a file daemon: it has no loadPlugin")
    }
    let version = version ?? abi.version
    var interface = fd_interface(size: UInt32(MemoryLayout<fd_interface>.size), version: version)
    let size = UInt32(tableSize ?? abi.coreSize)
    let table = abi.isBacula ? BaculaCalls.callbacks(version, size) : BareosCalls.callbacks(version, size)
    var information: UnsafeRawPointer?
    var functions: UnsafeRawPointer?
    let result = unsafeBitCast(load, to: Load.self)(&interface, table, &information, &functions)
    guard result == Int32(FD_OK), let information, let functions else {
      dlclose(library)
      throw DaemonError("GFD-301", "\(path): loadPlugin refused: \(result)")
    }
    self.abi = abi
    self.library = library
    self.functions = functions
    // Bareos has one field more, after the others.
    let common = information.assumingMemoryBound(to: bacula_plugin_information.self).pointee
    informationSize = common.size
    description = String(cString: common.description)
    usage =
      abi.isBacula
      ? nil : String(cString: information.assumingMemoryBound(to: bareos_plugin_information.self).pointee.usage)
    let expected = abi.isBacula ? MemoryLayout<bacula_plugin_information>.size : MemoryLayout<bareos_plugin_information>.size
    guard String(cString: common.magic) == FD_PLUGIN_MAGIC, common.version == version, common.size == UInt32(expected),
      String(cString: common.license) == "AGPLv3"
    else { throw DaemonError("GFD-301", "\(path): the plugin's information is not what a daemon accepts") }
  }

  /// Calls `unloadPlugin` and closes the library.
  public func unload() {
    if let symbol = dlsym(library, "unloadPlugin") { _ = unsafeBitCast(symbol, to: Unload.self)() }
    dlclose(library)
  }
}
