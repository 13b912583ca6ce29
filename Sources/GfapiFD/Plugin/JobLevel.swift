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

  /// The longest time, in seconds, from the moment that a job sees, or from the beginning of its list, until the daemon sets its start.
  static let longestStart = 3600

  /// The time since which changes are searched for, in seconds since 1970; 0 for a full backup.
  ///
  /// The daemons set the start of a job, which is the since time of the next one, after the command before the job. A job whose snapshot or
  /// list that command has made does not have what changed between the two, so the next one searches further back.
  func searched(_ definition: PluginDefinition) -> Int {
    let isListed = if case .changes = definition.source { true } else { false }
    return (definition.moment.isOfJob || isListed) && since > 0 ? max(since - Self.longestStart, 1) : since
  }

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
