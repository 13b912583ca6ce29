import GfapiJob
import Gluster

/// Reports the entries of a restore that fail, counts them, and ends the restore if the volume is gone or read-only.
final class RestoreFailures {
  private unowned let daemon: any Daemon
  private let calls: JobCalls
  private let volume: Volume
  /// The number of entries that failed.
  private(set) var count = 0
  /// Files with several hard links that were not restored completely, by the path of the first name. A message is reported for each
  /// additional hard link to them as well.
  private var incomplete: Set<VolumePath> = []
  /// True if the restore has ended because the volume is gone or read-only. A message has reported this.
  private(set) var isGone = false

  init(_ daemon: any Daemon, _ calls: JobCalls, _ volume: Volume) {
    (self.daemon, self.calls, self.volume) = (daemon, calls, volume)
  }

  /// Returns true if the file with this first name was not restored completely.
  func isIncomplete(_ path: VolumePath) -> Bool { incomplete.contains(path) }

  /// Forgets an earlier entry of the same path.
  func forget(_ path: VolumePath) { incomplete.remove(path) }

  /// Reports that the current entry failed.
  func fail(_ current: CurrentEntry, _ error: any Error) {
    guard !current.hasFailed else { return }
    current.hasFailed = true
    let isNew = markIncomplete(current)
    fail(current.entry.path, error, isNew: isNew)
  }

  /// Reports that an entry is not restored completely.
  func report(_ current: CurrentEntry, _ problem: JobMessage) {
    if markIncomplete(current) { count += 1 }
    daemon.report(.error, problem.about(current.entry.path))
    calls.reportCauses()
  }

  /// Marks an entry as not restored completely.
  ///
  /// - Returns: true if nothing has gone wrong with this entry yet.
  private func markIncomplete(_ current: CurrentEntry) -> Bool {
    defer { current.isIncomplete = true }
    if current.entry.status.st_nlink != 1, current.target != nil { incomplete.insert(current.path) }
    return !current.isIncomplete
  }

  /// Reports that an entry failed. Ends the restore if the volume is gone or read-only.
  ///
  /// - Parameters:
  ///   - path: in raw bytes, as the daemon knows it.
  ///   - isNew: true if no failure of the entry is counted yet.
  func fail(_ path: [UInt8], _ error: any Error, isNew: Bool = true) {
    // A message has already given the reason, or the job is cancelled.
    if isGone || error is JobCalls.Ended { return }
    if isNew { count += 1 }
    let cause = error as? GlusterError ?? (error as? RestoreProblem)?.cause
    if let cause, cause.meansVolumeIsGone {
      isGone = true
      calls.volume.retry.end()
      daemon.report(.fatal, JobMessage("GFD-008", "the volume is unreachable, the restore ends: \(error)").about(path))
    } else if let cause, cause.meansReadOnlyVolume, (try? calls.run { [volume] in volume.isReadOnly() }) == true {
      isGone = true
      daemon.report(.fatal, JobMessage("GFD-010", "the volume is read-only, the restore ends: \(error)").about(path))
      calls.reportCauses()
    } else {
      daemon.report(.error, JobMessage("GFD-070", "restore failed: \(error)").about(path))
      calls.reportCauses()
    }
  }
}
