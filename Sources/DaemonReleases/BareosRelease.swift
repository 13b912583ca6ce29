import FDPluginABI

/// The supported releases of Bareos. All have one interface version; their packets differ in size.
///
/// This is the one table of these releases: a new one is a case and a row here, and the compiler names each place that must know its layouts.
public enum BareosRelease: CaseIterable, Sendable {
  case v18, v22, v26

  private struct Facts {
    let first, last: String
    /// A version of this release, as the daemon reports it to plugins.
    let version: String
    let restorePacketSize, ioPacketSize: Int
  }

  private var facts: Facts {
    switch self {
    case .v18:
      Facts(
        first: "18.2", last: "21", version: "21.1.2 (01 March 2022)",
        restorePacketSize: MemoryLayout<fd_restore_packet>.size, ioPacketSize: MemoryLayout<fd_io_packet>.size)
    case .v22:
      Facts(
        first: "22", last: "25", version: "25.0.0 (01 December 2025)",
        restorePacketSize: MemoryLayout<bareos_restore_packet_22>.size, ioPacketSize: MemoryLayout<bareos_io_packet_22>.size)
    case .v26:
      Facts(
        first: "26", last: "26", version: "26.0.0 (01 December 2026)",
        restorePacketSize: MemoryLayout<bareos_restore_packet_26>.size, ioPacketSize: MemoryLayout<bareos_io_packet_22>.size)
    }
  }

  /// `Bareos 18.2 to 21`.
  public var words: String { "Bareos " + (facts.first == facts.last ? facts.first : "\(facts.first) to \(facts.last)") }
  /// The daemon's version, as it reports it to plugins.
  public var version: String { facts.version }
  /// The size of the release's restore packet and of its I/O packet, in bytes.
  public var restorePacketSize: Int { facts.restorePacketSize }
  public var ioPacketSize: Int { facts.ioPacketSize }
  /// True if a restore supports the stream of plugins' ACLs. Bareos 18.2 to 21 skips it ("Unknown stream=1020").
  public var restoresACLs: Bool { self != .v18 }

  /// All releases, for messages: `Bareos 18.2 to 26`.
  public static let allInWords = "Bareos \(allCases.first!.facts.first) to \(allCases.last!.facts.last)"
}
