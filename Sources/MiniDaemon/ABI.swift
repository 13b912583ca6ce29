import DaemonReleases
import FDPluginABI

/// The daemon whose tables and packets the small daemon uses for its calls.
public enum ABI: String, CaseIterable, Sendable {
  case bareos21, bareos25, bareos26
  case bacula9, bacula11, bacula13, bacula15

  /// The newest release of Bareos.
  public static let newest = allCases.last { $0.bareos != nil }!

  public enum Family: Sendable {
    case bareos(BareosRelease)
    case bacula(BaculaRelease)
  }

  public var family: Family {
    switch self {
    case .bareos21: .bareos(.v18)
    case .bareos25: .bareos(.v22)
    case .bareos26: .bareos(.v26)
    case .bacula9: .bacula(.v9)
    case .bacula11: .bacula(.v11)
    case .bacula13: .bacula(.v13)
    case .bacula15: .bacula(.v15)
    }
  }

  /// The release of Bacula; nil: it is one of Bareos.
  public var bacula: BaculaRelease? { if case .bacula(let release) = family { release } else { nil } }
  /// The release of Bareos; nil: it is one of Bacula.
  public var bareos: BareosRelease? { if case .bareos(let release) = family { release } else { nil } }

  public var isBacula: Bool { bacula != nil }

  /// The releases with these tables and packets: `Bareos 18.2 to 21`.
  public var releases: String {
    switch family {
    case .bareos(let release): release.words
    case .bacula(let release): release.words
    }
  }

  /// Version of the plugin interface.
  public var version: UInt32 { bacula?.version ?? UInt32(BAREOS_INTERFACE_VERSION) }
  /// The daemon's version, as Bareos reports it to plugins; nil for Bacula.
  var versionText: String? { bareos?.version }
  /// True if a restore supports the stream of plugins' ACLs.
  var restoresACLs: Bool { bareos?.restoresACLs ?? true }
  /// The difference between the release's numbers of message types and FD_M_*.
  var messageShift: Int32 { bacula?.messageShift ?? 0 }
  /// Size of the daemon's table of callbacks, in bytes.
  var coreSize: Int { bacula?.coreSize ?? MemoryLayout<bareos_core_functions>.size }
}
