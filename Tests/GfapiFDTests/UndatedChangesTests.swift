import CSQLite
import Foundation
import TestSupport
import Testing

@testable import GfapiFD

@Suite("What jobs remember of an entry")
struct UndatedChangesTests {
  private let folder: TemporaryFolder
  private let gfid = [UInt8](repeating: 7, count: 16)
  /// The messages of the jobs.
  private final class Log {
    var messages: [String] = []
  }
  private let log = Log()

  init() throws { folder = try TemporaryFolder() }

  /// A job that has begun.
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

  /// A job that asks whether the entry has changed, and backs it up if so.
  private func run(_ name: String, after previous: String?, _ now: Fingerprint) -> Bool {
    let job = job(name, after: previous)
    let isBackedUp = previous == nil || job.hasChanged(gfid, now)
    if isBackedUp { job.backedUp(gfid, now) }
    job.end()
    return isBackedUp
  }

  @Test("is nothing of an entry that has nothing")
  func nothing() throws {
    #expect(run("full", after: nil, acl(0)))
    #expect(!run("1", after: "full", acl(0)))
    #expect(log.messages == [])
  }

  @Test("tells an incremental job what has changed since the job before, and a differential one what has since the full one")
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

  @Test("tells that something is gone, once to each chain of jobs")
  func gone() {
    #expect(run("full", after: nil, acl(1)))
    #expect(run("1", after: "full", acl(0)))
    #expect(!run("2", after: "1", acl(0)))
    #expect(run("differential", after: "full", acl(0)))
    #expect(run("3", after: "2", acl(1)))
  }

  @Test("tells what a failed job saw again")
  func failed() {
    #expect(run("full", after: nil, acl(1)))
    #expect(run("failed", after: "full", acl(2)))
    #expect(run("1", after: "full", acl(2)))
    #expect(!run("2", after: "1", acl(2)))
    // It went back to what the full backup has, and the last job has something else.
    #expect(run("3", after: "2", acl(1)))
  }

  @Test("does not depend on what another part of the FileSet wants")
  func parts() {
    #expect(run("full", after: nil, fingerprint([.acls: .value(1), .layout: .nothing])))
    #expect(!run("1", after: "full", fingerprint([.acls: .value(1)])))
    // Not known, and there is something.
    #expect(run("2", after: "1", fingerprint([.acls: .value(1), .attributes: .value(5)])))
    #expect(!run("3", after: "2", fingerprint([.acls: .value(1)])))
    #expect(!run("4", after: "3", fingerprint([.acls: .value(1), .attributes: .value(5)])))
  }

  @Test("counts as changed where it could not be read")
  func unknown() {
    #expect(run("full", after: nil, fingerprint([.acls: .unknown])))
    #expect(run("1", after: "full", acl(1)))
    #expect(!run("2", after: "1", acl(1)))
    #expect(run("3", after: "2", fingerprint([.acls: .unknown])))
    #expect(run("4", after: "3", acl(1)))
  }

  @Test("of two jobs at once is unknown where they saw different things")
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

  @Test("of two jobs at once is what both saw, and a job that began after the first one is not the one that saw it")
  func atOnceTheSame() {
    #expect(run("full", after: nil, acl(1)))
    let first = job("first", after: "full")
    // It looks before the change, and ends.
    let second = job("second", after: "full")
    #expect(!second.hasChanged(gfid, acl(1)))
    second.end()
    #expect(first.hasChanged(gfid, acl(2)))
    first.backedUp(gfid, acl(2))
    first.end()
    #expect(run("after second", after: "second", acl(2)))
    #expect(!run("again", after: "after second", acl(2)))
  }

  @Test("is one thing for a job with several plugin lines, or one that is tried again")
  func sameName() {
    #expect(run("full", after: nil, acl(1)))
    #expect(run("1", after: "full", acl(2)))
    #expect(run("1", after: "full", acl(2)))
    #expect(!run("2", after: "1", acl(2)))
  }

  @Test("is found by time where the daemon tells no names")
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
    // From before the first job.
    #expect(hasChanged(since: now - 1000, 1))
    #expect(log.messages.count == 1 && log.messages[0].contains("does not reach back to 20"), "\(log.messages)")
  }

  @Test("is read by an estimate, and not changed")
  func estimate() {
    #expect(run("full", after: nil, acl(1)))
    let estimate = job("estimate", after: "full", isEstimate: true)
    #expect(estimate.hasChanged(gfid, acl(2)))
    estimate.backedUp(gfid, acl(2))
    estimate.end()
    #expect(!run("1", after: "full", acl(1)))
    #expect(log.messages == [])
  }

  @Test("is missing for an estimate where there is no database, and none is made")
  func estimateWithout() {
    #expect(job("estimate", after: "full", isEstimate: true).hasChanged(gfid, acl(1)))
    #expect(log.messages.count == 1 && log.messages[0].contains("/state/v.db is missing: "), "\(log.messages)")
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/state"))
  }

  @Test("is forgotten where the database is damaged, of another version or no file: all that has something is backed up once")
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

  @Test("is not there where the database cannot be opened: each job says so once, and backs up all that has something")
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

  @Test("is not known of a job that did not end: the next one backs up what has something, and what had something")
  func interrupted() {
    #expect(run("full", after: nil, acl(1)))
    let killed = job("killed", after: "full")
    #expect(killed.hasChanged(gfid, acl(2)))
    #expect(run("1", after: "killed", acl(1)))
    #expect(!run("2", after: "1", acl(1)))
    _ = job("killed too", after: "2")
    #expect(run("3", after: "killed too", acl(0)))
  }

  @Test("is found by time after a job that the director has put together from others")
  func virtualFull() {
    #expect(run("full", after: nil, acl(1)))
    let consolidated = UndatedChanges.Job(name: "1", previous: "consolidated", since: time(nil) - 5)
    let next = UndatedChanges(consolidated, directory: folder.path + "/state", volume: "v") { [log] in log.messages.append("\($0): \($1)") }
    #expect(!next.hasChanged(gfid, acl(1)) && next.hasChanged(gfid, acl(2)))
    #expect(log.messages == [])
  }

  @Test("of a file of another user in the database's place is not read through a link")
  func link() throws {
    let state = folder.path + "/state"
    _ = try TestSupport.run("sh", "-c", "mkdir '\(state)'; touch '\(folder.path)/other'; ln -s ../other '\(state)/v.db'")
    #expect(run("full", after: nil, acl(1)))
    #expect(try Data(contentsOf: URL(fileURLWithPath: folder.path + "/other")).isEmpty)
  }

  @Test("is in files that only the daemon's user may read")
  func modes() throws {
    #expect(run("full", after: nil, acl(1)))
    for (path, mode) in [("/state", 0o700), ("/state/v.db", 0o600)] {
      #expect(try FileManager.default.attributesOfItem(atPath: folder.path + path)[.posixPermissions] as? Int == mode)
    }
  }
}
