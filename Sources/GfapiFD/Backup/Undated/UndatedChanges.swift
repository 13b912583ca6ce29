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

  /// How many entries are kept in memory before they are saved.
  private static let batch = 4096

  private let tell: (Severity, String) -> Void
  private let isEstimate: Bool
  private var database: StateDatabase?
  private var job: Int64 = 0
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
    self.tell = tell
    isEstimate = job.isEstimate
    let file = "the state database \(directory)/\(volume).db"
    guard let reason = open(job, directory, volume, file) else { return }
    if job.since > 0 {
      tell(
        .warning,
        "\(file) \(reason): this job backs up every entry that has extended attributes, an ACL or holes, because Gluster does not date every change to them; only a full backup finds ACLs that were removed since then"
      )
    } else if database == nil, !isEstimate {
      tell(.warning, "\(file) \(reason): \(Self.consequence)")
    }
  }

  /// What follows when the database is lost.
  private static let consequence =
    "the next incremental or differential job backs up every entry that has extended attributes, an ACL or holes"

  /// Opens the database, a new one if need be. Returns why it cannot tell what has changed; nil: it can.
  private func open(_ job: Job, _ directory: String, _ volume: String, _ file: String) -> String? {
    if isEstimate, access("\(directory)/\(volume).db", F_OK) != 0 { return "is missing" }
    do {
      try begin(job, directory, volume)
    } catch {
      if isEstimate { return "cannot be used: \(error)" }
      tell(.warning, "\(file) cannot be used, a new one is made: \(error)")
      StateDatabase.remove("\(directory)/\(volume).db")
      do { try begin(job, directory, volume) } catch { return "cannot be made: \(error)" }
    }
    return baseline == nil ? "does not reach back to \(utc(job.since))" : nil
  }

  private func begin(_ job: Job, _ directory: String, _ volume: String) throws(Database.Failure) {
    let database = try StateDatabase(directory: directory, volume: volume)
    if job.since > 0 { baseline = try database.number(ofJob: job.previous, since: job.since) }
    if !isEstimate { self.job = try database.begin(job: job.name, now: time(nil)) }
    self.database = database
  }

  /// Whether an entry whose times have not changed has changed all the same.
  package func hasChanged(_ gfid: [UInt8], _ fingerprint: Fingerprint) -> Bool {
    let known: [Fingerprint.Part: StateDatabase.Known]
    do {
      known = try database?.known(gfid) ?? [:]
    } catch {
      giveUp("cannot be read", error)
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
    guard database != nil, !isEstimate else { return }
    pending.append((gfid, fingerprint))
    if pending.count >= Self.batch { save() }
  }

  /// Ends the job: all is saved.
  package func end() {
    save()
    database = nil
  }

  private func save() {
    guard let database, !pending.isEmpty else { return }
    defer { pending = [] }
    do { try database.save(pending, job: job) } catch { giveUp("cannot be written", error) }
  }

  /// Does without the database, and removes it: it does not have what this job has backed up.
  private func giveUp(_ what: String, _ error: Database.Failure) {
    guard let database else { return }
    self.database = nil
    baseline = nil
    if !isEstimate { database.remove() }
    tell(.warning, "the state database \(database.path) \(what): \(error): \(Self.consequence)")
  }
}
