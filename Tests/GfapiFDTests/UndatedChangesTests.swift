import CSQLite
import Foundation
import Testing
import TestSupport

@testable import GfapiBackup

@Suite("The fingerprints that jobs store of each entry")
struct UndatedChangesTests {
  private let folder: TemporaryFolder
  private let gfid = [UInt8](repeating: 7, count: 16)
  /// The messages of the jobs.
  private final class Log {
    var messages: [String] = []
  }
  private let log = Log()

  init() throws { folder = try TemporaryFolder() }

  /// Starts a job.
  private func job(_ name: String?, after previous: String? = nil, since: Int = 0, isEstimate: Bool = false) -> UndatedChanges {
    let job = UndatedChanges.Job(
      name: name, previous: previous, since: previous == nil ? since : max(since, 1), isEstimate: isEstimate)
    return UndatedChanges(job, directory: folder.path + "/state", volume: "v") { [log] in log.messages.append("\($0): \($1)") }
  }

  private func fingerprint(_ digests: [Fingerprint.Part: Fingerprint.Digest]) -> Fingerprint {
    var fingerprint = Fingerprint()
    for (part, digest) in digests { fingerprint[part] = digest }
    return fingerprint
  }

  private func acl(_ value: Int64) -> Fingerprint { fingerprint([.acls: value == 0 ? .nothing : .value(value)]) }

  /// Runs a job that backs the entry up if it has changed. Returns true if it was backed up.
  private func run(_ name: String, after previous: String?, _ now: Fingerprint) -> Bool {
    let job = job(name, after: previous)
    let isBackedUp = previous == nil || job.hasChanged(gfid, now)
    if isBackedUp { job.backedUp(gfid, now) }
    job.end()
    return isBackedUp
  }

  @Test("An entry without ACLs counts as unchanged")
  func nothing() throws {
    #expect(run("full", after: nil, acl(0)))
    #expect(!run("1", after: "full", acl(0)))
    #expect(log.messages == [])
  }

  @Test("An incremental job sees changes since the previous job, a differential job those since the full one")
  func levels() {
    #expect(run("full", after: nil, acl(1)))
    #expect(!run("1", after: "full", acl(1)))
    #expect(run("2", after: "1", acl(2)))
    #expect(!run("3", after: "2", acl(2)))
    #expect(run("differential", after: "full", acl(2)))
    #expect(!run("4", after: "differential", acl(2)))
    #expect(run("5", after: "4", acl(3)))
    #expect(log.messages == [])
  }

  @Test("A removed ACL counts as a change once in each chain of jobs")
  func gone() {
    #expect(run("full", after: nil, acl(1)))
    #expect(run("1", after: "full", acl(0)))
    #expect(!run("2", after: "1", acl(0)))
    #expect(run("differential", after: "full", acl(0)))
    #expect(run("3", after: "2", acl(1)))
  }

  @Test("A change that a failed job saw is seen again by the next job")
  func failed() {
    #expect(run("full", after: nil, acl(1)))
    #expect(run("failed", after: "full", acl(2)))
    #expect(run("1", after: "full", acl(2)))
    #expect(!run("2", after: "1", acl(2)))
    // The entry has the state of the full backup again, and the last job has another one.
    #expect(run("3", after: "2", acl(1)))
  }

  @Test("Parts of a fingerprint that another part of the FileSet does not request stay as they are")
  func parts() {
    #expect(run("full", after: nil, fingerprint([.acls: .value(1), .layout: .nothing])))
    #expect(!run("1", after: "full", fingerprint([.acls: .value(1)])))
    // The attributes are not known from an earlier job, and the entry has some.
    #expect(run("2", after: "1", fingerprint([.acls: .value(1), .attributes: .value(5)])))
    #expect(!run("3", after: "2", fingerprint([.acls: .value(1)])))
    #expect(!run("4", after: "3", fingerprint([.acls: .value(1), .attributes: .value(5)])))
  }

  @Test("A part of a fingerprint that could not be read counts as changed")
  func unknown() {
    #expect(run("full", after: nil, fingerprint([.acls: .unknown])))
    #expect(run("1", after: "full", acl(1)))
    #expect(!run("2", after: "1", acl(1)))
    #expect(run("3", after: "2", fingerprint([.acls: .unknown])))
    #expect(run("4", after: "3", acl(1)))
  }

  @Test("A fingerprint is unknown after two concurrent jobs saw different states")
  func atOnce() {
    #expect(run("full", after: nil, acl(1)))
    #expect(run("other full", after: nil, acl(1)))
    let (first, second) = (job("first", after: "full"), job("second", after: "other full"))
    #expect(second.hasChanged(gfid, acl(2)) && first.hasChanged(gfid, acl(3)))
    second.backedUp(gfid, acl(2))
    second.end()
    first.backedUp(gfid, acl(3))
    first.end()
    for value in 1...3 { #expect(job("next \(value)", after: "second").hasChanged(gfid, acl(Int64(value)))) }
  }

  @Test("A change that one of two concurrent jobs saw is still new to a job that follows the other one")
  func atOnceTheSame() {
    #expect(run("full", after: nil, acl(1)))
    let first = job("first", after: "full")
    // This job looks at the entry before the change, and ends.
    let second = job("second", after: "full")
    #expect(!second.hasChanged(gfid, acl(1)))
    second.end()
    #expect(first.hasChanged(gfid, acl(2)))
    first.backedUp(gfid, acl(2))
    first.end()
    #expect(run("after second", after: "second", acl(2)))
    #expect(!run("again", after: "after second", acl(2)))
  }

  @Test("Two jobs of the same name, for several plugin lines or a repeated job, count as one")
  func sameName() {
    #expect(run("full", after: nil, acl(1)))
    #expect(run("1", after: "full", acl(2)))
    #expect(run("1", after: "full", acl(2)))
    #expect(!run("2", after: "1", acl(2)))
  }

  @Test("The previous job is found by its time if the daemon passes no job names")
  func byTime() {
    let full = job(nil)
    full.backedUp(gfid, acl(1))
    full.end()
    let now = time(nil)
    func hasChanged(since: Int, _ value: Int64) -> Bool {
      let job = job(nil, since: since)
      defer { job.end() }
      return job.hasChanged(gfid, acl(value))
    }
    #expect(!hasChanged(since: now, 1))
    #expect(hasChanged(since: now, 2))
    #expect(log.messages == [])
    // A time before the first job.
    #expect(hasChanged(since: now - 1000, 1))
    #expect(log.messages.count == 1 && log.messages[0].contains("does not reach back to 20"), "\(log.messages)")
  }

  @Test("An estimate reads the stored fingerprints and does not change them")
  func estimate() {
    #expect(run("full", after: nil, acl(1)))
    let estimate = job("estimate", after: "full", isEstimate: true)
    #expect(estimate.hasChanged(gfid, acl(2)))
    estimate.backedUp(gfid, acl(2))
    estimate.end()
    #expect(!run("1", after: "full", acl(1)))
    #expect(log.messages == [])
  }

  @Test("An estimate without a database reports that it is missing and does not create one")
  func estimateWithout() {
    #expect(job("estimate", after: "full", isEstimate: true).hasChanged(gfid, acl(1)))
    #expect(log.messages.count == 1 && log.messages[0].contains("/state/v.db is missing: "), "\(log.messages)")
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/state"))
  }

  @Test("After the database was damaged, each entry with ACLs or attributes is backed up once more")
  func damaged() throws {
    let file = folder.path + "/state/v.db"
    for damage in ["head -c 50000 /dev/urandom > '\(file)'", "printf 'SQLite format 3' > '\(file)'"] {
      #expect(run("full", after: nil, acl(1)))
      _ = try TestSupport.run("sh", "-c", damage)
      log.messages = []
      let next = job("1", after: "full")
      #expect(next.hasChanged(gfid, acl(1)) && !next.hasChanged(gfid, acl(0)))
      next.end()
      #expect(log.messages.contains { $0.contains("cannot be used, a new one is made: ") }, "\(log.messages)")
      #expect(log.messages.contains { $0.contains(": this job backs up every entry that has ") }, "\(log.messages)")
      _ = try TestSupport.run("rm", "-r", folder.path + "/state")
    }
  }

  @Test("If the database cannot be opened, each job reports it once and backs up all entries with ACLs")
  func noDatabase() throws {
    let result = try TestSupport.run("mkdir", "-p", folder.path + "/state/v.db")
    try #require(result.status == 0)
    #expect(run("full", after: nil, acl(1)))
    #expect(log.messages.count == 1 && log.messages[0].contains(" cannot be opened: "), "\(log.messages)")
    for name in ["1", "2"] {
      log.messages = []
      #expect(run(name, after: "full", acl(1)) && !run(name, after: "full", acl(0)))
      #expect(log.messages.count == 2 && log.messages[0].contains(": this job backs up every entry that has "), "\(log.messages)")
    }
  }

  @Test("After a job that did not end, the next one backs up entries that have or had ACLs")
  func interrupted() {
    #expect(run("full", after: nil, acl(1)))
    let killed = job("killed", after: "full")
    #expect(killed.hasChanged(gfid, acl(2)))
    #expect(run("1", after: "killed", acl(1)))
    #expect(!run("2", after: "1", acl(1)))
    _ = job("killed too", after: "2")
    #expect(run("3", after: "killed too", acl(0)))
  }

  @Test("After a job that the director consolidated from others, the previous state is found by time")
  func virtualFull() {
    #expect(run("full", after: nil, acl(1)))
    let consolidated = UndatedChanges.Job(name: "1", previous: "consolidated", since: time(nil) - 5)
    let next = UndatedChanges(consolidated, directory: folder.path + "/state", volume: "v") { [log] in log.messages.append("\($0): \($1)") }
    #expect(!next.hasChanged(gfid, acl(1)) && next.hasChanged(gfid, acl(2)))
    #expect(log.messages == [])
  }

  @Test("A symbolic link in place of the database is not followed")
  func link() throws {
    let state = folder.path + "/state"
    _ = try TestSupport.run("sh", "-c", "mkdir '\(state)'; touch '\(folder.path)/other'; ln -s ../other '\(state)/v.db'")
    #expect(run("full", after: nil, acl(1)))
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path + "/other")).isEmpty)
  }

  @Test("Only the daemon's user can read the database and its folder")
  func modes() throws {
    #expect(run("full", after: nil, acl(1)))
    for (path, mode) in [("/state", 0o700), ("/state/v.db", 0o600)] {
      #expect(try FileManager.default.attributesOfItem(atPath: folder.path + path)[.posixPermissions] as? Int == mode)
    }
  }
}
