import FDPluginABI
import Glibc

/// Something that kept the small daemon from working.
public struct DaemonError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// The plugin's module, loaded through its C interface as a file daemon loads it.
///
/// A process is to load it for one release of Bacula at a time: the module answers the last one.
public final class PluginModule: @unchecked Sendable {
  // Set once, at loading.
  public let abi: ABI
  private let library: UnsafeMutableRawPointer
  let functions: UnsafeRawPointer
  /// Size that the plugin's information claims, in bytes.
  public let informationSize: UInt32
  public let description: String
  /// What the plugin tells of its use; nil: this daemon does not ask.
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
  ///   - path: of `gfapi-fd.so`.
  ///   - abi: the daemon to be.
  ///   - version: the daemon's interface version; nil: that of `abi`.
  ///   - tableSize: size that the table of callbacks claims to have, in bytes; nil: that of `abi`.
  public init(_ path: String, _ abi: ABI = .bareos26, version: UInt32? = nil, tableSize: Int? = nil) throws {
    // As the daemons do: a socket of libgfapi whose other end is gone would end the process.
    signal(SIGPIPE, SIG_IGN)
    guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw DaemonError("cannot load \(path): \(String(cString: dlerror()))")
    }
    guard let load = dlsym(library, "loadPlugin") else {
      throw DaemonError("\(path) is no plugin of a file daemon: it has no loadPlugin")
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
      throw DaemonError("\(path): loadPlugin refused: \(result)")
    }
    self.abi = abi
    self.library = library
    self.functions = functions
    // Bareos has a field more, behind the others.
    let common = information.assumingMemoryBound(to: bacula_plugin_information.self).pointee
    informationSize = common.size
    description = String(cString: common.description)
    usage =
      abi.isBacula
      ? nil : String(cString: information.assumingMemoryBound(to: bareos_plugin_information.self).pointee.usage)
    let expected = abi.isBacula ? MemoryLayout<bacula_plugin_information>.size : MemoryLayout<bareos_plugin_information>.size
    guard String(cString: common.magic) == FD_PLUGIN_MAGIC, common.version == version, common.size == UInt32(expected),
      String(cString: common.license) == "AGPLv3"
    else { throw DaemonError("\(path): the plugin's information is not what a daemon accepts") }
  }

  /// Calls `unloadPlugin` and closes the library.
  public func unload() {
    if let symbol = dlsym(library, "unloadPlugin") { _ = unsafeBitCast(symbol, to: Unload.self)() }
    dlclose(library)
  }
}
