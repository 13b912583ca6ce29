// The two symbols that the module exports: see exports.map. The signatures are those that every daemon calls.

@_cdecl("loadPlugin")
public func exportedLoadPlugin(
  _ interface: UnsafeRawPointer?, _ core: UnsafeRawPointer?, _ information: UnsafeMutablePointer<UnsafeRawPointer?>?,
  _ functions: UnsafeMutablePointer<UnsafeRawPointer?>?
) -> Int32 {
  loadPlugin(interface: interface, core: core, information: information, functions: functions)
}

@_cdecl("unloadPlugin")
public func exportedUnloadPlugin() -> Int32 { unloadPlugin() }
