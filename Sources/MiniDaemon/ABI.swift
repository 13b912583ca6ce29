import FDPluginABI

/// The daemon whose tables and packets the small daemon uses for its calls.
public enum ABI: String, CaseIterable, Sendable {
  /// Bareos 18.2 to 21.
  case bareos21
  /// Bareos 22 to 25.
  case bareos25
  case bareos26
  /// Bacula 9.6.
  case bacula9
  case bacula11
  case bacula13
  case bacula15

  /// Version of the plugin interface.
  public var version: UInt32 {
    let version =
      switch self {
      case .bareos21, .bareos25, .bareos26: BAREOS_INTERFACE_VERSION
      case .bacula9: Int32(BACULA_9_INTERFACE)
      case .bacula11: Int32(BACULA_11_INTERFACE)
      case .bacula13: Int32(BACULA_13_INTERFACE)
      case .bacula15: Int32(BACULA_15_INTERFACE)
      }
    return UInt32(version)
  }

  /// The daemon's version, as Bareos reports it to plugins; nil for Bacula.
  var versionText: String? {
    switch self {
    case .bareos21: "21.1.2 (01 March 2022)"
    case .bareos25: "25.0.0 (01 December 2025)"
    case .bareos26: "26.0.0 (01 December 2026)"
    case .bacula9, .bacula11, .bacula13, .bacula15: nil
    }
  }

  /// True if a restore supports the stream of plugins' ACLs. Bareos 18.2 to 21 skips it ("Unknown stream=1020").
  var restoresACLs: Bool { self != .bareos21 }

  public var isBacula: Bool {
    switch self {
    case .bareos21, .bareos25, .bareos26: false
    case .bacula9, .bacula11, .bacula13, .bacula15: true
    }
  }

  /// The difference between the release's numbers of message types and FD_M_*.
  var messageShift: Int32 {
    switch self {
    case .bacula13, .bacula15: Int32(BACULA_13_M_SHIFT)
    default: 0
    }
  }

  /// Size of the daemon's table of callbacks, in bytes.
  var coreSize: Int {
    switch self {
    case .bareos21, .bareos25, .bareos26: MemoryLayout<bareos_core_functions>.size
    case .bacula9, .bacula11: BACULA_CORE_SIZE_9
    case .bacula13: BACULA_CORE_SIZE_13
    case .bacula15: BACULA_CORE_SIZE_15
    }
  }
}
