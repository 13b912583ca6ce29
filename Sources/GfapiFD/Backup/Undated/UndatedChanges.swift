import Glibc

/// Finds the changes that Gluster does not date, by what earlier jobs saw: the fingerprints in a ``StateDatabase``. Lives on the job's
/// thread.
package final class UndatedChanges {
  /// The job that asks.
  package struct Job: Sendable {
    /// The daemon's unique name of the job, and of the one that it compares with.
    package var name: String?
    package var previous: String?
    /// When that began, in seconds since 1970; 0: nothing is compared.
    package var since = 0
    /// It reads the database and changes nothing.
    package var isEstimate = false

    package init(name: String? = nil, previous: String? = nil, since: Int = 0, isEstimate: Bool = false) {
      (self.name, self.previous, self.since, self.isEstimate) = (name, previous, since, isEstimate)
    }
  }

  /// What tells whether an entry has changed whose times have not.
  package enum Signs: Sendable {
    /// It has.
    case changed
    /// It has if its fingerprint is another.
    case fingerprint(Fingerprint)
  }

  /// How many entries are kept in memory before they are saved.
  private static let batch = 4096

  private let tell: (Severity, String) -> Void
  private let name: String?
  private let isEstimate: Bool
  private let path: String
  private var database: StateDatabase?
  /// This job's number; nil: what it sees is not kept.
  private var job: Int64?
  /// The number of the job that the daemon compares with. What was first seen later has changed; nil: everything has that was ever
  /// there.
  private var baseline: Int64?
  private var pending: [(gfid: [UInt8], fingerprint: Fingerprint)] = []

  /// Opens the database.
  ///
  /// - Parameters:
  ///   - directory: where databases are.
  ///   - volume: the volume's identity, as text.
  ///   - tell: takes messages.
  package init(_ job: Job, directory: String, volume: String, tell: @escaping (Severity, String) -> Void) {
    (self.tell, name, isEstimate) = (tell, job.name, job.isEstimate)
    path = StateDatabase.path(directory: directory, volume: volume)
    let problem = open(job, directory, volume)
    guard job.since > 0, baseline == nil else {
      if let problem, !isEstimate { tellLoss(problem) }
      return
    }
    tell(
      .warning,
      "the state database \(path) \(problem ?? "does not reach back to \(utc(job.since))"): this job backs up every entry that has extended attributes, an ACL, holes or several hard links, because Gluster does not date every change to them; a full backup also finds ACLs that were removed since then"
    )
  }

  /// Opens the database, a new one if need be. Returns what is wrong with it.
  private func open(_ job: Job, _ directory: String, _ volume: String) -> String? {
    if isEstimate, access(path, F_OK) != 0 { return "is missing" }
    do {
      database = try StateDatabase(directory: directory, volume: volume)
      if job.since > 0 { baseline = try database!.number(ofJob: job.previous, since: job.since) }
      if !isEstimate { self.job = try database!.begin(job: job.name, now: time(nil)) }
      return nil
    } catch  where error.isDamage && !isEstimate {
      tell(.warning, "the state database \(path) cannot be used, a new one is made: \(error)")
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

  private func tellLoss(_ problem: String) {
    tell(
      .warning,
      "the state database \(path) \(problem): the next incremental or differential job backs up every entry that has extended attributes, an ACL, holes or several hard links"
    )
  }

  /// Whether an entry whose times have not changed has changed all the same.
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

  /// Keeps what has been backed up of an entry.
  package func backedUp(_ gfid: [UInt8], _ fingerprint: Fingerprint) {
    guard job != nil else { return }
    pending.append((gfid, fingerprint))
    if pending.count >= Self.batch { save() }
  }

  /// Ends the job: all is saved.
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

  /// Keeps nothing of what this job sees: it stays incomplete, and no later one is compared with it.
  private func giveUp(_ what: String, _ error: Database.Failure) {
    job = nil
    guard !isEstimate else { return }
    tellLoss("\(what): \(error)")
    if error.isDamage { database?.remove() }
  }
}
