import DeltaFormat
import Foundation
import Gluster
import TestSupport
import Testing

@testable import GfapiBackup

@Suite("What jobs keep of files of several shards")
struct DeltaMemoryTests {
  private let folder: TemporaryFolder
  private let gfid = [UInt8](repeating: 7, count: 16)
  private let path = VolumePath("/image")
  private static let shardSize = 4 << 20
  /// Two shards.
  private static let size = 2 * shardSize

  init() throws { folder = try TemporaryFolder() }

  /// A job with its own connection to the database.
  private final class Job {
    let undated: UndatedChanges
    let memory: DeltaMemory
    init(_ folder: String, _ name: String, after previous: String?, since: Int, line: String) throws {
      undated = UndatedChanges(
        UndatedChanges.Job(name: name, previous: previous, since: since), directory: folder + "/state", volume: "v"
      ) { _, _ in }
      memory = try #require(try undated.deltaMemory(line))
    }
    func end() throws {
      try memory.end()
      undated.end()
    }
  }

  /// The full name of a job: all are runs of one job.
  private func name(_ job: String, of series: String = "job") -> String { "\(series).2026-11-27_21.05.00_\(job)" }

  private func job(_ job: String, after previous: String?, of series: String = "job", since: Int = 1, line: String = "line") throws -> Job {
    try Job(
      folder.path, name(job, of: series), after: previous.map { name($0, of: series) }, since: previous == nil ? 0 : since, line: line)
  }

  private func stamp(_ number: Int) -> ShardStamp { ShardStamp(modified: number, changed: number, size: Self.shardSize, allocated: 1) }

  private func read(_ number: Int, _ value: Int) -> DeltaMemory.ReadShard {
    DeltaMemory.ReadShard(number: number, stamp: stamp(value), isSettled: true, digests: BlockDigests([UInt64(value)]))
  }

  /// Stores the file in a job: shards by their numbers, each with a value that stands for its times and its content.
  @discardableResult
  private func store(_ job: Job, _ shards: [Int: Int], on base: DeltaMemory.Base? = nil, size: Int = size) throws -> Int64 {
    let state = try job.memory.begin(gfid, path, on: base, shardSize: Self.shardSize)
    try job.memory.add(shards.map { read($0, $1) }, to: state)
    try job.memory.end(state, path, size: size, fingerprint: [UInt8](repeating: UInt8(shards.values.max() ?? 0), count: 16))
    return state
  }

  /// The values of the shards that a job can build on; nil: it cannot.
  private func known(_ job: Job, number: Int) throws -> [Int: Int]? {
    try job.memory.base(gfid, path, number: number)?.shards.mapValues { $0.stamp!.modified }
  }

  /// Runs a full backup and two deltas: `0`, `1` and `2`.
  private func chain() throws {
    let full = try job("0", after: nil)
    try store(full, [0: 1, 1: 1])
    try full.end()
    for number in 1...2 {
      let next = try job("\(number)", after: "\(number - 1)")
      try store(next, [1: number + 1], on: try next.memory.base(gfid, path, number: number - 1))
      try next.end()
    }
  }

  @Test("A delta builds on all that the deltas before it have changed, and its digests are found")
  func deltas() throws {
    try chain()
    let next = try job("3", after: "2")
    let base = try #require(try next.memory.base(gfid, path, number: 2))
    #expect(base.shards.mapValues { $0.stamp!.modified } == [0: 1, 1: 3])
    #expect(base.number == 2 && base.size == Self.size && base.job == name("2") && base.fingerprint == [UInt8](repeating: 3, count: 16))
    #expect(try next.memory.digests(of: 0, base.shards[0]!) == BlockDigests([1]))
    #expect(try next.memory.digests(of: 1, base.shards[1]!) == BlockDigests([3]))
  }

  @Test("What an earlier job has found unchanged is known; what it has not found was away, and is not")
  func seen() throws {
    try chain()
    for number in 3...5 {
      let next = try job("\(number)", after: "\(number - 1)")
      next.memory.saw(try #require(try next.memory.base(gfid, path, number: 2)))
      try next.end()
    }
    // The file has another name meanwhile. (A virtual full backup keeps the deltas of the old one.)
    #expect(try known(try job("6", after: "5"), number: 2) == [0: 1, 1: 3])
    try job("6", after: "5").end()
    #expect(try known(try job("7", after: "6"), number: 2) == nil)
  }

  @Test("A job with a list finds what the list names; what the list names and is gone was away, with all below it")
  func listed() throws {
    try chain()
    let listed = try job("3", after: "2")
    try listed.memory.isListed()
    try listed.end()
    #expect(try known(try job("4", after: "3"), number: 2) == [0: 1, 1: 3])
    let gone = try job("5", after: "3")
    try gone.memory.isListed()
    try gone.memory.forget(vanished: "/imag")
    try gone.memory.forget(vanished: "/image/below")
    try gone.end()
    #expect(try known(try job("6", after: "5"), number: 2) == [0: 1, 1: 3])
    for path in ["/image", "/"] as [VolumePath] {
      let gone = try job("7", after: "3")
      try gone.memory.isListed()
      try gone.memory.forget(vanished: path)
      try gone.end()
      #expect(try known(try job("8", after: "7"), number: 2) == nil)
      try gone.memory.database.run("DELETE FROM delta_states WHERE job = ?1", [.integer(gone.memory.job)])
    }
  }

  @Test("A virtual full backup stands for the jobs of this name; the daemon does not know its last record of a file")
  func merged() throws {
    let other = try job("0", after: nil, of: "other")
    try store(other, [0: 50, 1: 50])
    try other.end()
    try chain()
    let began = time(nil)
    let database = try Database(folder.path + "/state/v.db")
    try database.run("UPDATE jobs SET started = ?1 WHERE name <> ?2", [.integer(Int64(began - 400)), .text(name("2"))])
    for number in 0...2 {
      #expect(try known(try job("3", after: "virtual", since: began), number: number)?[0] == 1, "\(number)")
    }
    #expect(try known(try job("3", after: "virtual", since: began), number: 3) == nil)
    #expect(try known(try job("3", after: "virtual", since: began - 1000), number: 2) == nil)
  }

  @Test("Two runs at the same time: the daemon may have the record of the one that is not in the chain")
  func atOnce() throws {
    try chain()
    let (third, fourth) = (try job("3", after: "2"), try job("4", after: "2"))
    try store(third, [0: 8, 1: 8])
    fourth.memory.saw(try #require(try fourth.memory.base(gfid, path, number: 2)))
    try third.end()
    try fourth.end()
    #expect(try known(try job("5", after: "4"), number: 2) == [0: 1, 1: 3])
    let (sixth, seventh) = (try job("6", after: "2"), try job("7", after: "2"))
    try store(sixth, [0: 9, 1: 9], on: try sixth.memory.base(gfid, path, number: 2))
    try store(seventh, [0: 7], on: try seventh.memory.base(gfid, path, number: 2))
    try sixth.end()
    try seventh.end()
    let eighth = try job("8", after: "7")
    #expect(try known(eighth, number: 3) == [0: 7, 1: 3])
    eighth.memory.saw(try #require(try eighth.memory.base(gfid, path, number: 3)))
    // This one stored the same number, and has ended before the last job of the chain began.
    let ninth = try job("9", after: "2")
    try store(ninth, [0: 5], on: try ninth.memory.base(gfid, path, number: 2))
    try ninth.end()
    try eighth.end()
    try job("10", after: "8").end()
    #expect(try known(try job("11", after: "10"), number: 3) == nil)
  }

  @Test("Two jobs with one plugin line may have one FileSet, in which the daemon does not tell their records apart")
  func sameLine() throws {
    try chain()
    for (line, isAmbiguous) in [("other line", false), ("line", true)] {
      let other = try job("0 of \(line)", after: nil, of: "other", line: line)
      try store(other, [0: 50, 1: 50])
      try other.end()
      let next = try job("3", after: "0")
      var named: [String] = []
      let base = try next.memory.base(gfid, path, number: 0) { named.append($0) }
      #expect((base == nil) == isAmbiguous && named == (isAmbiguous ? ["other"] : []))
    }
  }

  @Test("What contradicts the daemon is not built on: another number, another file, another path")
  func contradictions() throws {
    try chain()
    let next = try job("3", after: "2")
    #expect(try known(next, number: 1) == nil && known(next, number: 3) == nil && known(next, number: 0) == nil)
    #expect(try next.memory.base([UInt8](repeating: 8, count: 16), path, number: 2) == nil)
    #expect(try next.memory.base(gfid, VolumePath("/other"), number: 2) == nil)
    #expect(try known(next, number: 2) != nil)
  }

  @Test("A differential job builds on the full one, and the next incremental one on the differential one")
  func differential() throws {
    try chain()
    let differential = try job("3", after: "0")
    #expect(try known(differential, number: 0) == [0: 1, 1: 1] && known(differential, number: 2) == nil)
    try store(differential, [0: 4, 1: 4], on: try differential.memory.base(gfid, path, number: 0))
    try differential.end()
    let next = try job("4", after: "3")
    #expect(try known(next, number: 1) == [0: 4, 1: 4] && known(next, number: 2) == nil)
  }

  @Test("A job whose end the daemon does not count is not built on, and one that did not end here neither")
  func failed() throws {
    try chain()
    let failed = try job("3", after: "2")
    try store(failed, [0: 9], on: try failed.memory.base(gfid, path, number: 2))
    try failed.end()
    let next = try job("4", after: "2")
    #expect(try known(next, number: 2) == [0: 1, 1: 3] && known(next, number: 3) == nil)
    // This one is killed.
    try store(next, [0: 9], on: try next.memory.base(gfid, path, number: 2))
    let last = try job("5", after: "4")
    #expect(try known(last, number: 3) == nil && known(last, number: 2) == nil)
  }

  @Test("A record that is not complete, or of something else, hides what was stored of the path before")
  func hidden() throws {
    try chain()
    let next = try job("3", after: "2")
    _ = try next.memory.begin(gfid, path, on: try next.memory.base(gfid, path, number: 2), shardSize: Self.shardSize)
    try next.end()
    let after = try job("4", after: "3")
    #expect(try known(after, number: 3) == nil && known(after, number: 2) == nil)
    try store(after, [0: 5, 1: 5])
    try after.end()
    let other = try job("5", after: "4")
    #expect(try known(other, number: 0) == [0: 5, 1: 5])
    try other.memory.forget(path)
    try other.memory.forget(VolumePath("/unknown"))
    try other.end()
    #expect(try known(try job("6", after: "5"), number: 0) == nil)
  }

  @Test("What a shorter state has cut off is not known any more, even if the file is longer again")
  func cut() throws {
    try chain()
    let cut = try job("3", after: "2")
    try store(cut, [0: 4], on: try cut.memory.base(gfid, path, number: 2), size: Self.shardSize)
    try cut.end()
    let grown = try job("4", after: "3")
    #expect(try known(grown, number: 3) == [0: 4])
    try store(grown, [:], on: try grown.memory.base(gfid, path, number: 3), size: 3 * Self.shardSize)
    try grown.end()
    #expect(try known(try job("5", after: "4"), number: 4) == [0: 4])
  }

  @Test("What no job needs any more is dropped, and only that")
  func dropped() throws {
    try chain()
    let whole = try job("3", after: "2")
    try store(whole, [0: 5, 1: 5])
    try whole.end()
    // If that job fails for the daemon, the next one needs the chain before it.
    let again = try job("4", after: "2")
    #expect(try known(again, number: 2) == [0: 1, 1: 3])
    let next = try job("5", after: "3")
    #expect(try known(next, number: 0) == [0: 5, 1: 5])
    try store(next, [0: 6], on: try next.memory.base(gfid, path, number: 0))
    try next.end()
    // Now the deltas 1 and 2 are not needed; the full one is, by a differential job.
    #expect(try known(try job("6", after: "2"), number: 2) == nil)
    #expect(try known(try job("7", after: "0"), number: 0) == [0: 1, 1: 1])
    #expect(try known(try job("8", after: "5"), number: 1) == [0: 6, 1: 5])
  }

  @Test("The jobs of another name keep what they have stored of the same file")
  func otherJobs() throws {
    try chain()
    let other = try job("0", after: nil, of: "other", line: "other line")
    try store(other, [0: 50, 1: 50])
    try other.end()
    for number in 3...6 {
      let next = try job("\(number)", after: "\(number - 1)")
      try store(next, [1: number + 1], on: try next.memory.base(gfid, path, number: number - 1))
      try next.end()
    }
    let next = try job("1", after: "0", of: "other", line: "other line")
    #expect(try known(next, number: 0) == [0: 50, 1: 50])
    #expect(try known(try job("7", after: "6"), number: 6) == [0: 1, 1: 7])
  }

  @Test("A new full backup drops what the chain before it had, when a job builds on it")
  func newFull() throws {
    try chain()
    let full = try job("3", after: nil)
    try store(full, [0: 5, 1: 5])
    try full.end()
    #expect(try known(try job("4", after: "2"), number: 2) == [0: 1, 1: 3])
    let next = try job("5", after: "3")
    next.memory.saw(try #require(try next.memory.base(gfid, path, number: 0)))
    try next.end()
    #expect(try known(try job("6", after: "2"), number: 2) == nil)
    #expect(try known(try job("7", after: "5"), number: 0) == [0: 5, 1: 5])
  }
}
