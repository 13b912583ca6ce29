import GfapiDefinition
import GfapiJob
import Glibc

/// Finds the changes for which Gluster sets no new time. Compares entries with the fingerprints that earlier jobs saw, in a
/// ``StateDatabase``. Used on the job's thread.
package final class UndatedChanges {
  /// The running job, and the job that it is compared with.
  package struct Job: Sendable {
    /// The daemon's unique names of the running job (`name`), and of the job that it is compared with (`previous`).
    package var name: String?
    package var previous: String?
    /// When the previous job began, in seconds since 1970; 0: nothing is compared.
    package var since = 0
    /// True if the job reads the database and changes nothing.
    package var isEstimate = false

    package init(name: String? = nil, previous: String? = nil, since: Int = 0, isEstimate: Bool = false) {
      (self.name, self.previous, self.since, self.isEstimate) = (name, previous, since, isEstimate)
    }
  }

  /// The signs that show whether an entry with unchanged times has changed.
  package enum Signs: Sendable {
    /// The entry has changed.
    case changed
    /// The entry has changed if its fingerprint differs from the stored one.
    case fingerprint(Fingerprint)
  }

  /// How many entries are kept in memory before they are saved.
  private static let batch = 4096

  private let report: (Severity, JobMessage) -> Void
  private let name: String?
  private let isEstimate: Bool
  private let compared: Job
  private let path: String
  private var database: StateDatabase?
  /// The number of the running job; nil if what the job sees is not kept.
  private var job: Int64?
  /// The number of the job that the daemon compares with. A digest that was first seen by a later job counts as changed. nil: every part
  /// that an entry has, or ever had, counts as changed.
  private var baseline: Int64?
  private var pending: [(gfid: [UInt8], fingerprint: Fingerprint)] = []

  /// Opens the database.
  ///
  /// - Parameters:
  ///   - directory: the directory of the databases.
  ///   - volume: the volume's identity, as text.
  ///   - report: called with each message for the job's log.
  package init(_ job: Job, directory: String, volume: String, report: @escaping (Severity, JobMessage) -> Void) {
    (self.report, name, isEstimate, compared) = (report, job.name, job.isEstimate, job)
    path = StateDatabase.path(directory: directory, volume: volume)
    let problem = open(job, directory, volume)
    guard job.since > 0, baseline == nil else {
      if let problem, !isEstimate { reportLoss(problem) }
      return
    }
    report(
      .warning,
      JobMessage(
        "GFD-037",
        "the state database \(path) \(problem ?? "does not reach back to \(utc(job.since))"): this job backs up every entry that has extended attributes, an ACL, holes or several hard links, because Gluster does not date every change to them; a full backup also finds ACLs that were removed since then"
      ))
  }

  /// Opens the database, and creates a new one if necessary. Returns what is wrong with the database; nil if nothing is.
  private func open(_ job: Job, _ directory: String, _ volume: String) -> String? {
    if isEstimate, access(path, F_OK) != 0 { return "is missing" }
    do {
      database = try StateDatabase(directory: directory, volume: volume)
      if job.since > 0 { baseline = try database!.number(ofJob: job.previous, since: job.since) }
      if !isEstimate { self.job = try database!.begin(job: job.name, now: time(nil)) }
      return nil
    } catch let error where error.isDamage && !isEstimate {
      report(.warning, JobMessage("GFD-038", "the state database \(path) cannot be used, a new one is made: \(error)"))
      (database, baseline) = (nil, nil)
      StateDatabase.remove(path)
      do {
        database = try StateDatabase(directory: directory, volume: volume)
        self.job = try database!.begin(job: job.name, now: time(nil))
        return nil
      } catch {
        return "cannot be made: \(error)"
      }
    } catch {
      return (database == nil ? "cannot be opened" : "cannot be written") + ": \(error)"
    }
  }

  private func reportLoss(_ problem: String) {
    report(
      .warning,
      JobMessage(
        "GFD-039",
        "the state database \(path) \(problem): the next incremental or differential job backs up every entry that has extended attributes, an ACL, holes or several hard links"
      ))
  }

  /// Returns what earlier jobs stored of files of several shards; nil: what this job stores cannot be kept. A message has reported that.
  ///
  /// - Parameter line: the plugin line.
  func deltaMemory(_ line: String) throws(Database.Failure) -> DeltaMemory? {
    guard let database, let job else { return nil }
    return try DeltaMemory(
      database, job: job, name: name ?? "", line: line, previous: compared.previous, since: baseline == nil ? 0 : compared.since)
  }

  /// Returns true if an entry with unchanged times has changed.
  package func hasChanged(_ gfid: [UInt8], _ fingerprint: Fingerprint) -> Bool {
    let known: [Fingerprint.Part: StateDatabase.Known]
    do {
      known = try database?.known(gfid) ?? [:]
    } catch {
      giveUp("cannot be read", error)
      (database, baseline) = (nil, nil)
      known = [:]
    }
    return fingerprint.digests.contains { part, digest in
      guard let known = known[part] else { return digest != .nothing }
      guard let baseline, digest != .unknown else { return true }
      return known.digest != digest || known.seen > baseline
    }
  }

  /// Keeps the fingerprint of what has been backed up of an entry.
  package func backedUp(_ gfid: [UInt8], _ fingerprint: Fingerprint) {
    guard job != nil else { return }
    pending.append((gfid, fingerprint))
    if pending.count >= Self.batch { save() }
  }

  /// Ends the job and saves everything.
  package func end() {
    save()
    if let database, let job {
      do { try database.complete(job: job, name) } catch { giveUp("cannot be written", error) }
    }
    database = nil
  }

  private func save() {
    guard let database, let job, !pending.isEmpty else { return }
    defer { pending = [] }
    do { try database.save(pending, job: job) } catch { giveUp("cannot be written", error) }
  }

  /// Stops keeping what this job sees. The job stays incomplete, so no later job is compared with it.
  private func giveUp(_ what: String, _ error: Database.Failure) {
    job = nil
    guard !isEstimate else { return }
    reportLoss("\(what): \(error)")
    if error.isDamage { database?.remove() }
  }
}
