import FDPluginABI
import GfapiJob

/// The supported releases of Bacula. Their packets cannot be told apart by size, but by the interface version.
package enum BaculaRelease: CaseIterable {
  case v9, v11, v13, v15

  /// The version of the daemon's plugin interface.
  package var version: UInt32 {
    let version =
      switch self {
      case .v9: BACULA_9_INTERFACE
      case .v11: BACULA_11_INTERFACE
      case .v13: BACULA_13_INTERFACE
      case .v15: BACULA_15_INTERFACE
      }
    return UInt32(version)
  }

  /// The size of the daemon's table of callbacks, in bytes.
  package var coreSize: Int {
    switch self {
    case .v9, .v11: BACULA_CORE_SIZE_9
    case .v13: BACULA_CORE_SIZE_13
    case .v15: BACULA_CORE_SIZE_15
    }
  }

  /// The size of the plugin's table of entry points, in bytes.
  var functionsSize: Int {
    switch self {
    case .v9: BACULA_FUNCTIONS_SIZE_9
    case .v11: BACULA_FUNCTIONS_SIZE_11
    case .v13: BACULA_FUNCTIONS_SIZE_13
    case .v15: BACULA_FUNCTIONS_SIZE_15
    }
  }

  /// Returns the daemon's number for a type of message.
  func messageType(_ severity: Severity) -> Int32 {
    switch self {
    case .v9, .v11: severity.messageType
    case .v13, .v15: severity.messageType + Int32(BACULA_13_M_SHIFT)
    }
  }

  /// The number of the variable for the name of the job that this one is compared with.
  var previousJobVariable: Int32 {
    let variable =
      switch self {
      case .v9: BACULA_VAR_PREVIOUS_JOB_NAME_9
      case .v11: BACULA_VAR_PREVIOUS_JOB_NAME_11
      case .v13, .v15: BACULA_VAR_PREVIOUS_JOB_NAME_13
      }
    return Int32(variable)
  }

  /// The number of the variable for the number of entries in the job so far.
  var fileIndexVariable: Int32 {
    let variable =
      switch self {
      case .v9: BACULA_VAR_FILE_INDEX_9
      case .v11: BACULA_VAR_FILE_INDEX_11
      case .v13, .v15: BACULA_VAR_FILE_INDEX_13
      }
    return Int32(variable)
  }
}
