import GfapiDefinition

/// Measures how long a job takes and what it waits for, for the job's log.
package struct JobPace {
  package typealias Instant = ContinuousClock.Instant

  /// The interval between progress messages, as long as the daemon asks for entries.
  static let interval = Duration.seconds(600)

  private let began: Instant
  private var told: Instant

  package init(now: Instant = .now) { (began, told) = (now, now) }

  /// Returns true if a progress message is due. The next one is due an interval later.
  package mutating func isDue(now: Instant = .now) -> Bool {
    guard told.duration(to: now) >= Self.interval else { return false }
    told = now
    return true
  }

  /// Returns the elapsed time, the rates and the share of the waiting time:
  /// `in 12 s, 853 entries/s, 1.2 MiB/s, 63 % of the time waiting for the volume`.
  ///
  /// - Parameters:
  ///   - entries: the number of entries that have been backed up or restored.
  ///   - bytes: the bytes of their data.
  ///   - waited: the time spent waiting for the volume; the rest is the daemon's.
  package func words(entries: Int, bytes: Int, waited: Duration, now: Instant = .now) -> String {
    let elapsed = max(began.duration(to: now) / .seconds(1), 0.001)
    let share = min(waited / .seconds(1) / elapsed, 1)
    let percent = Int(((share > 0.5 ? share : 1 - share) * 100).rounded())
    return "in \(Self.time(elapsed)), \(Int(Double(entries) / elapsed)) entries/s, \(sizeInWords(Double(bytes) / elapsed))/s, "
      + "\(percent) % of the time waiting for the \(share > 0.5 ? "volume" : "daemon")"
  }

  private static func time(_ seconds: Double) -> String {
    guard seconds >= 60 else { return "\(tenths(seconds)) s" }
    let whole = Int(seconds.rounded())
    return whole >= 3600 ? "\(whole / 3600) h \(whole / 60 % 60) min" : "\(whole / 60) min \(whole % 60) s"
  }
}
