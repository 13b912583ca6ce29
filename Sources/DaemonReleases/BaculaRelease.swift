import FDPluginABI

/// The supported releases of Bacula. Their packets cannot be told apart by size, but by the interface version.
///
/// This is the one table of these releases: a new one is a case and a row here, and the compiler names each place that must know its layouts.
public enum BaculaRelease: CaseIterable, Sendable {
  case v9, v11, v13, v15

  private struct Facts {
    let name: String
    let interface: Int
    let coreSize, functionsSize: Int
    let messageShift: Int
    let previousJobVariable, fileIndexVariable: Int
  }

  private var facts: Facts {
    switch self {
    case .v9:
      Facts(
        name: "9.6", interface: Int(BACULA_9_INTERFACE), coreSize: BACULA_CORE_SIZE_9, functionsSize: BACULA_FUNCTIONS_SIZE_9,
        messageShift: 0,
        previousJobVariable: BACULA_VAR_PREVIOUS_JOB_NAME_9, fileIndexVariable: BACULA_VAR_FILE_INDEX_9)
    case .v11:
      Facts(
        name: "11", interface: Int(BACULA_11_INTERFACE), coreSize: BACULA_CORE_SIZE_9, functionsSize: BACULA_FUNCTIONS_SIZE_11,
        messageShift: 0,
        previousJobVariable: BACULA_VAR_PREVIOUS_JOB_NAME_11, fileIndexVariable: BACULA_VAR_FILE_INDEX_11)
    case .v13:
      Facts(
        name: "13", interface: Int(BACULA_13_INTERFACE), coreSize: BACULA_CORE_SIZE_13, functionsSize: BACULA_FUNCTIONS_SIZE_13,
        messageShift: Int(BACULA_13_M_SHIFT), previousJobVariable: BACULA_VAR_PREVIOUS_JOB_NAME_13,
        fileIndexVariable: BACULA_VAR_FILE_INDEX_13)
    case .v15:
      Facts(
        name: "15", interface: Int(BACULA_15_INTERFACE), coreSize: BACULA_CORE_SIZE_15, functionsSize: BACULA_FUNCTIONS_SIZE_15,
        messageShift: Int(BACULA_13_M_SHIFT), previousJobVariable: BACULA_VAR_PREVIOUS_JOB_NAME_13,
        fileIndexVariable: BACULA_VAR_FILE_INDEX_13)
    }
  }

  /// `Bacula 9.6`.
  public var words: String { "Bacula \(facts.name)" }
  /// The version of the daemon's plugin interface.
  public var version: UInt32 { UInt32(facts.interface) }
  /// The size of the daemon's table of callbacks, in bytes.
  public var coreSize: Int { facts.coreSize }
  /// The size of the plugin's table of entry points, in bytes.
  public var functionsSize: Int { facts.functionsSize }
  /// The difference between the release's numbers of message types and `FD_M_*`.
  public var messageShift: Int32 { Int32(facts.messageShift) }
  /// The number of the variable for the name of the job that this one is compared with.
  public var previousJobVariable: Int32 { Int32(facts.previousJobVariable) }
  /// The number of the variable for the number of entries in the job so far.
  public var fileIndexVariable: Int32 { Int32(facts.fileIndexVariable) }

  /// All releases, for messages: `Bacula 9.6, 11, 13 and 15`.
  public static let allInWords: String = {
    let names = allCases.map(\.facts.name)
    return "Bacula \(names.dropLast().joined(separator: ", ")) and \(names.last!)"
  }()
}
