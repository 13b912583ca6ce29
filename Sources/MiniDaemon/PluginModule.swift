import FDPluginABI
import Glibc
import MiniDaemonCallbacks

/// Which release of Bareos the small daemon lays its packets out like.
public enum Layout: String, CaseIterable, Sendable {
  /// Bareos 18.2 to 21.
  case bareos21 = "21"
  /// Bareos 22 to 25.
  case bareos25 = "25"
  /// Bareos 26.
  case bareos26 = "26"
}

/// Something that kept the small daemon from working.
public struct DaemonError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// The plugin's module, loaded through its C interface as a file daemon loads it.
public final class PluginModule: @unchecked Sendable {
  // Set once, at loading.
  private let library: UnsafeMutableRawPointer
  let functions: UnsafePointer<bareos_plugin_functions>
  public let information: bareos_plugin_information

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
  ///   - version: the daemon's interface version.
  ///   - tableSize: size that the table of callbacks claims to have, in bytes.
  public init(
    _ path: String, version: UInt32 = UInt32(BAREOS_INTERFACE_VERSION),
    tableSize: Int = MemoryLayout<bareos_core_functions>.size
  ) throws {
    guard let library = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw DaemonError("cannot load \(path): \(String(cString: dlerror()))")
    }
    guard let load = dlsym(library, "loadPlugin") else {
      throw DaemonError("\(path) is no plugin of a file daemon: it has no loadPlugin")
    }
    var interface = fd_interface(size: UInt32(MemoryLayout<fd_interface>.size), version: version)
    // The plugin keeps the table's address.
    let table = UnsafeMutablePointer<bareos_core_functions>.allocate(capacity: 1)
    table.initialize(to: MiniJob.callbacks(version: version, size: tableSize))
    var information: UnsafeRawPointer?
    var functions: UnsafeRawPointer?
    let result = unsafeBitCast(load, to: Load.self)(&interface, table, &information, &functions)
    guard result == Int32(FD_OK), let information, let functions else {
      dlclose(library)
      throw DaemonError("\(path): loadPlugin refused: \(result)")
    }
    self.library = library
    self.information = information.assumingMemoryBound(to: bareos_plugin_information.self).pointee
    self.functions = functions.assumingMemoryBound(to: bareos_plugin_functions.self)
    guard String(cString: self.information.magic) == FD_PLUGIN_MAGIC, self.information.version == version,
      self.information.size == UInt32(MemoryLayout<bareos_plugin_information>.size),
      String(cString: self.information.license) == "AGPLv3"
    else { throw DaemonError("\(path): the plugin's information is not what a daemon accepts") }
  }

  /// Calls `unloadPlugin` and closes the library.
  public func unload() {
    if let symbol = dlsym(library, "unloadPlugin") { _ = unsafeBitCast(symbol, to: Unload.self)() }
    dlclose(library)
  }
}
