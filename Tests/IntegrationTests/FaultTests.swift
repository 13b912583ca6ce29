import Foundation
import Locks
import MiniDaemon
import TestSupport
import Testing

/// What fails on the volume while a job is at it.
@Suite("A fault of the volume", .serialized)
struct FaultTests {
  /// In the middle of what a job is when the fault comes.
  enum Moment: String, CaseIterable {
    case crawl, smallFiles, largeFile, restore
    /// Small files, while the daemon takes a hundredth of a second for each.
    case slowDaemon
  }

  /// A tree on which a job is at a moment for long enough.
  ///
  /// - Parameters:
  ///   - count: of its entries, about.
  ///   - hasLink: with a symbolic link in it. A replicated volume never gets healed of one (10.3, on a kernel that changes no
  ///     link's mode).
  func tree(_ moment: Moment, _ local: String, _ count: Int = 400, hasLink: Bool = true) throws {
    let commands =
      switch moment {
      case .crawl: "for d in $(seq 20); do mkdir $d; for n in $(seq \(count / 20)); do : > $d/$n; done; done"
      case .smallFiles, .slowDaemon, .restore:
        "for n in $(seq \(count)); do head -c $((n * 20)) /dev/urandom > $n; done; setfacl -m u:7:r 7; ln 1 one; mkfifo fifo\(hasLink ? "; ln -s 2 two" : "")"
      case .largeFile: "head -c 9000000 /dev/urandom > large"
      }
    #expect(try run("sh", "-c", "mkdir '\(local)/tree' && cd '\(local)/tree' && \(commands)").status == 0)
  }

  func compare(_ original: String, _ copy: String, _ options: String...) throws {
    let comparison = try run(Scratch.script("compare-trees"), options + [original, copy])
    #expect(comparison.status == 0, "\(comparison.output.suffix(2000))")
  }

  /// Compares what a round trip has restored, as soon as a new mount knows all bricks.
  func compareEventually(_ kind: String, _ local: String, _ path: String) {
    var comparison = ""
    #expect(
      eventually(within: 60) {
        try? Scratch.remount(kind)
        guard let result = try? run(Scratch.script("compare-trees"), local + "/tree", local + "/restored" + path + "/tree") else {
          return false
        }
        comparison = String(result.output.suffix(2000))
        return result.status == 0
      }, "\(comparison)")
  }

  /// Backs a tree up and restores it beside it; `strike` is called in the middle of one of both.
  ///
  /// - Parameter strike: given what says whether the job has noticed that it has to wait, or has ended.
  /// - Returns: what both jobs said, and whether both ended well.
  func roundTrip(
    _ moment: Moment, _ path: String, on kind: String = "small", timeout: Int = 60,
    _ strike: @escaping (_ isNoticed: @escaping @Sendable () -> Bool) -> Void
  ) throws -> (messages: [MiniJob.Message], isWell: Bool) {
    let line = Scratch.line(kind, path + "/tree", ":readahead=65536:timeout=\(timeout)")
    let saved = MemoryBackup()
    var messages: [MiniJob.Message] = []
    var isWell = true
    try withWatched { job, isNoticed throws in
      switch moment {
      case .crawl, .smallFiles: saved.onBegin = { _ in if saved.items.count == 30 { strike(isNoticed) } }
      case .slowDaemon:
        saved.onBegin = { _ in
          if saved.items.count == 30 { strike(isNoticed) }
          usleep(10_000)
        }
      case .largeFile:
        var received = 0
        saved.onData = { count in
          if received < 1_000_000, received + count >= 1_000_000 { strike(isNoticed) }
          received += count
        }
      case .restore: break
      }
      let counts = try job.backup(line, to: saved)
      messages = job.messages
      isWell = counts?.failed == 0 && !job.hasFailed
    }
    guard isWell else { return (messages, isWell) }
    try withWatched { job, isNoticed throws in
      var options = RestoreOptions()
      options.place = Array((path + "/restored").utf8)
      let counts = try saved.restore(job, line, options) { if moment == .restore, $0 == saved.items.count / 4 { strike(isNoticed) } }
      messages += job.messages
      isWell = counts.failed == 0 && !job.hasFailed
    }
    return (messages, isWell)
  }

  /// Runs a job, of which may be asked whether it has noticed that it has to wait, or has ended.
  func withWatched(_ body: (MiniJob, _ isNoticed: @escaping @Sendable () -> Bool) throws -> Void) throws {
    let hasEnded = Mutex(false)
    try withJob { job throws in
      defer { hasEnded.withLock { $0 = true } }
      try body(job) { hasEnded.withLock { $0 } || job.messages.contains { $0.text.contains("is unreachable; waiting") } }
    }
  }

  func killBrick(_ kind: String) {
    #expect(throws: Never.self) { try Scratch.killBrick(kind) }
  }

  /// Until the job has noticed it.
  func killBrick(_ kind: String, for seconds: Int = 0, until isNoticed: @escaping @Sendable () -> Bool) {
    #expect(throws: Never.self) { try Scratch.killBrick(kind, for: UInt32(seconds), until: isNoticed) }
  }

  @Test(
    "that goes by: the job waits for the brick, goes on, and the tree is identical",
    arguments: Soak.cases([.smallFiles, .restore], of: Moment.allCases))
  func comesBack(_ moment: Moment) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try tree(moment, local)
    let (messages, isWell) = try roundTrip(moment, path) {
      killBrick("small", for: Soak.rounds(0, 20), until: $0)
    }
    #expect(isWell, "\(messages)")
    #expect(messages.contains { $0.severity == .info && $0.text.contains("is unreachable; waiting") }, "\(messages)")
    #expect(messages.contains { $0.severity == .info && $0.text.contains("answers again") }, "\(messages)")
    try Scratch.remount("small")
    try compare(local + "/tree", local + "/restored" + path + "/tree")
    #expect(try run("rm", "-r", local).status == 0)
  }

  /// What takes the small volume away, until it is made good again.
  enum Fault: String, CaseIterable {
    case bricksKilled, bricksHang, volumeStopped, networkCut

    func strike() throws {
      switch self {
      case .bricksKilled: kill(try Scratch.firstBrick("small"), SIGKILL)
      case .bricksHang: kill(try Scratch.firstBrick("small"), SIGSTOP)
      case .volumeStopped: try Scratch.gluster("volume", "stop", "small", "force")
      case .networkCut: #expect(system("ip link set lo down") == 0)
      }
    }

    func mend() throws {
      switch self {
      case .bricksKilled, .volumeStopped: try Scratch.gluster("volume", "start", "small", "force")
      case .bricksHang: kill(try Scratch.firstBrick("small"), SIGCONT)
      // Not by `run`: Foundation does not see a process end while there is no network.
      case .networkCut: #expect(system("ip link set lo up") == 0)
      }
    }
  }

  /// Each fault and each moment, or all pairs of them.
  static let stayingFaults: [(Fault, Moment)] = Soak.cases(
    [
      (.bricksKilled, .crawl), (.bricksHang, .smallFiles), (.volumeStopped, .largeFile), (.networkCut, .restore),
      (.bricksKilled, .slowDaemon),
    ],
    of: Soak.pairs(Fault.allCases, Moment.allCases))

  @Test("that stays fails the job with one reason within timeout=, and the next job works", arguments: stayingFaults)
  func stays(_ fault: Fault, _ moment: Moment) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try tree(moment, local)
    let clients = try ProcessUsage.clients(getpid())
    var struck = ContinuousClock.now
    let (messages, isWell) = try roundTrip(moment, path, timeout: 3) { _ in
      struck = .now
      #expect(throws: Never.self) { try fault.strike() }
    }
    #expect(!isWell)
    // Within timeout=, and what striking and ending the job take on a busy machine.
    #expect(ContinuousClock.now - struck < .seconds(3 + 6))
    #expect(messages.count { $0.severity == .fatal && $0.text.contains("the volume is unreachable, the ") } == 1, "\(messages)")
    try fault.mend()
    #expect(
      eventually(within: 60) {
        try? Scratch.remount("small")
        return FileManager.default.fileExists(atPath: local)
      })
    #expect(try run("rm", "-rf", local + "/restored").status == 0)
    #expect(try roundTrip(moment, path) { _ in }.isWell)
    try compare(local + "/tree", local + "/restored" + path + "/tree")
    #expect(try run("rm", "-r", local).status == 0)
    // The end of a connection takes ten seconds, that of one whose volume is gone a minute.
    guard Soak.isOn else { return }
    #expect(try eventually(within: 120) { try ProcessUsage.clients(getpid()).subtracting(clients).isEmpty })
  }

  @Test(
    "of one brick of three changes nothing, neither while it is away nor when it is healed",
    arguments: Soak.cases(
      [(.crawl, "replicated"), (.restore, "replicated"), (.smallFiles, "dispersed"), (.largeFile, "dispersed")],
      of: Soak.pairs(Moment.allCases, ["replicated", "dispersed"])))
  func oneOfThree(_ moment: Moment, _ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    try tree(moment, local, 120, hasLink: kind != "replicated")
    let (messages, isWell) = try roundTrip(moment, path, on: kind) { _ in
      killBrick(kind)
    }
    #expect(isWell, "\(messages)")
    try Scratch.remount(kind)
    try compare(local + "/tree", local + "/restored" + path + "/tree")
    try Scratch.startBricks(kind)
    #expect(try Scratch.heal(kind, below: path) == [])
    try compare(local + "/tree", local + "/restored" + path + "/tree", "--healed")
  }

  @Test("of glusterd changes nothing: a job needs it only to begin", arguments: Soak.cases([.restore], of: [Moment.smallFiles, .restore]))
  func glusterdKilled(_ moment: Moment) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try tree(moment, local)
    let (messages, isWell) = try roundTrip(moment, path) { _ in
      #expect(throws: Never.self) { try Scratch.killGlusterd() }
      // The restore that follows needs it.
      if moment != .restore { #expect(throws: Never.self) { try Scratch.startGlusterd() } }
    }
    if moment == .restore { try Scratch.startGlusterd() }
    #expect(isWell, "\(messages)")
    try Scratch.remount("small")
    try compare(local + "/tree", local + "/restored" + path + "/tree")
    #expect(try run("rm", "-r", local).status == 0)
  }

  @Test(
    "of one brick of a distributed volume that goes by: the job waits, nothing is left out",
    arguments: Soak.cases([.smallFiles, .restore], of: Moment.allCases))
  func oneOfTwoComesBack(_ moment: Moment) throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    try tree(moment, local)
    let (messages, isWell) = try roundTrip(moment, path, on: "distributed") {
      killBrick("distributed", until: $0)
    }
    #expect(isWell, "\(messages)")
    compareEventually("distributed", local, path)
  }

  @Test("of one brick of a distributed volume is waited for by a restore that begins then")
  func restoreBegins() throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    // So many directories that some belong on that brick.
    #expect(
      try run("sh", "-c", "cd '\(local)' && mkdir tree && cd tree && for n in $(seq 20); do mkdir $n; echo $n > $n/file; done").status == 0)
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("distributed", path + "/tree"), to: saved) }
    var options = RestoreOptions()
    options.place = Array((path + "/restored").utf8)
    try withWatched { job, isNoticed throws in
      killBrick("distributed", until: isNoticed)
      #expect(try saved.restore(job, Scratch.line("distributed"), options).failed == 0, "\(job.messages)")
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
      #expect(job.messages.contains { $0.text.contains("is unreachable; waiting") }, "\(job.messages)")
    }
    compareEventually("distributed", local, path)
  }

  @Test("of one brick of a distributed volume, in a restore into directories that are there: the job waits, nothing is left out")
  func oneOfTwoComesBackToWhatIsThere() throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    let commands =
      "cd '\(local)' && mkdir tree && cd tree && for n in $(seq 200); do mkdir $n; echo $n > $n/a; ln -s $n $n/b; mkfifo $n/c; mkdir $n/d; done"
    #expect(try run("sh", "-c", commands).status == 0)
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("distributed", path + "/tree", ":readahead=65536"), to: saved) }
    var options = RestoreOptions()
    options.place = Array((path + "/restored").utf8)
    for isStruck in [false, true] {
      try withWatched { job, isNoticed throws in
        let counts = try saved.restore(job, Scratch.line("distributed", "", ":readahead=65536"), options) {
          if isStruck, $0 == saved.items.count / 3 { killBrick("distributed", until: isNoticed) }
        }
        #expect(counts.failed == 0 && job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
      }
    }
    compareEventually("distributed", local, path)
  }

  /// What an administrator does to a volume while a job is at it.
  enum Change: String, CaseIterable {
    /// Clients take a new graph of translators.
    case option
    /// Files move to another brick.
    case rebalance
    case replaceBrick

    func make(_ volume: String) throws {
      switch self {
      case .option: try Scratch.gluster("volume", "set", volume, "performance.quick-read", "off")
      case .rebalance:
        try Scratch.addBrick(volume)
        try Scratch.rebalance(volume)
      case .replaceBrick:
        // Of a volume without copies the files are moved away first.
        let last = try #require(try Scratch.bricks(of: volume).last)
        try Scratch.addBrick(volume)
        try Scratch.gluster("volume", "remove-brick", volume, "scratch:\(last)", "start")
      }
    }
  }

  @Test(
    "that is none: a brick of a replicated volume is replaced by an empty one, and the tree is identical",
    arguments: Soak.cases([.smallFiles], of: [Moment.crawl, .smallFiles, .largeFile, .restore]))
  func brickReplaced(_ moment: Moment) throws {
    let volume = "replacing"
    try Scratch.withVolume(volume, bricks: 3, "replica", "3") {
      let (local, path) = try Scratch.folder(on: volume)
      try tree(moment, local, hasLink: false)
      let (messages, isWell) = try roundTrip(moment, path, on: volume) { _ in
        #expect(throws: Never.self) { try Scratch.replaceBrick(volume) }
      }
      #expect(isWell, "\(messages)")
      #expect(messages.allSatisfy { $0.severity == .info }, "\(messages)")
      // Until then the new brick tells of a hard link that it has one name.
      #expect(try Scratch.heal(volume, below: path) == [])
      try compare(local + "/tree", local + "/restored" + path + "/tree")
    }
  }

  @Test(
    "that is none: the volume is changed under way, and the tree is identical",
    arguments: Soak.cases(
      [(.option, .crawl), (.rebalance, .smallFiles), (.replaceBrick, .largeFile)],
      of: Soak.pairs(Change.allCases, [Moment.crawl, .smallFiles, .largeFile])))
  func changed(_ change: Change, _ moment: Moment) throws {
    let volume = "changing"
    try Scratch.withVolume(volume) {
      let (local, path) = try Scratch.folder(on: volume)
      try tree(moment, local)
      let (messages, isWell) = try roundTrip(moment, path, on: volume) { _ in
        #expect(throws: Never.self) { try change.make(volume) }
      }
      #expect(isWell, "\(messages)")
      try Scratch.remount(volume)
      try compare(local + "/tree", local + "/restored" + path + "/tree")
    }
  }
}
