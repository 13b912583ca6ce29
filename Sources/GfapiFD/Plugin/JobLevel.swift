import GfapiDefinition

/// The level of a job, and the time since which changes are backed up.
struct JobLevel {
  /// The daemons' letter.
  var letter = UInt8(ascii: "F")
  /// The time that the daemon has given, in seconds since 1970.
  var given = 0

  var isFull: Bool { letter == UInt8(ascii: "F") }
  /// The time since which changes are backed up, in seconds since 1970; 0 for a full backup.
  var since: Int { isFull ? 0 : given }

  /// The level and the time in words, for the job's log.
  var words: String {
    let name =
      switch letter {
      case UInt8(ascii: "F"): "full"
      case UInt8(ascii: "I"): "incremental"
      case UInt8(ascii: "D"): "differential"
      default: "level \(printable([letter]))"
      }
    return since > 0 ? "\(name) since \(utc(since))" : name
  }
}
