import Foundation
import Locks
import MiniDaemon
import Testing
import TestSupport

/// Faults and changes of a volume during a job.
@Suite("Faults of a volume", .serialized)
struct FaultTests {
  /// The phase of a job in which the fault strikes.
  enum Moment: String, CaseIterable {
    case crawl, smallFiles, largeFile, restore
    /// A backup of small files for a daemon that takes a hundredth of a second for each.
    case slowDaemon
  }

  /// Makes a tree that keeps a job in a phase for long enough.
  ///
  /// - Parameters:
  ///   - count: the approximate number of its entries.
  ///   - hasLink: true for a tree with a symbolic link. Gluster never finishes healing a symbolic link on a replicated volume (10.3,
  ///     on a kernel that does not change the mode of a link).
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

  /// Compares the tree with its restored copy, as soon as a new mount is connected to all bricks.
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

  /// Backs up a tree and restores it beside the original. Calls `strike` in the middle of one of the two jobs.
  ///
  /// - Parameter strike: called with a function that returns true once the job has noticed that it has to wait, or has ended.
  /// - Returns: the messages of both jobs, and true if both ended well.
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
      options.prefix = Array((path + "/restored").utf8)
      let counts = try saved.restore(job, line, options) { if moment == .restore, $0 == saved.items.count / 4 { strike(isNoticed) } }
      messages += job.messages
      isWell = counts.failed == 0 && !job.hasFailed
    }
    return (messages, isWell)
  }

  /// Runs a job. Passes `body` a function that returns true once the job has noticed that it has to wait, or has ended.
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

  /// Kills a brick for at least so many seconds, until the job has noticed it.
  func killBrick(_ kind: String, for seconds: Int = 0, until isNoticed: @escaping @Sendable () -> Bool) {
    #expect(throws: Never.self) { try Scratch.killBrick(kind, for: UInt32(seconds), until: isNoticed) }
  }

  @Test(
    "a job waits for a killed brick and goes on when it returns, and the restored tree is identical",
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

  /// A fault that makes the small volume unreachable until `mend()` ends it.
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
      // Use `system`, not `run`: Foundation does not notice the end of a process while there is no network.
      case .networkCut: #expect(system("ip link set lo up") == 0)
      }
    }
  }

  /// Pairs with each fault and each moment at least once; in a long run, all pairs.
  static let stayingFaults: [(Fault, Moment)] = Soak.cases(
    [
      (.bricksKilled, .crawl), (.bricksHang, .smallFiles), (.volumeStopped, .largeFile), (.networkCut, .restore),
      (.bricksKilled, .slowDaemon),
    ],
    of: Soak.pairs(Fault.allCases, Moment.allCases))

  @Test("a fault that stays fails the job with one reason within timeout=, and the next job works", arguments: stayingFaults)
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
    // Allow for timeout=, and for the time that the fault and the end of the job take on a busy machine.
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
    // A connection takes ten seconds to end, or a minute if its volume is unreachable.
    guard Soak.isOn else { return }
    #expect(try eventually(within: 120) { try ProcessUsage.clients(getpid()).subtracting(clients).isEmpty })
  }

  @Test(
    "a job is not affected by the loss of one brick of three, neither before nor after it is healed",
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

  @Test("a running job is not affected if glusterd is killed", arguments: Soak.cases([.restore], of: [Moment.smallFiles, .restore]))
  func glusterdKilled(_ moment: Moment) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try tree(moment, local)
    let (messages, isWell) = try roundTrip(moment, path) { _ in
      #expect(throws: Never.self) { try Scratch.killGlusterd() }
      // The restore that follows needs glusterd to begin.
      if moment != .restore { #expect(throws: Never.self) { try Scratch.startGlusterd() } }
    }
    if moment == .restore { try Scratch.startGlusterd() }
    #expect(isWell, "\(messages)")
    try Scratch.remount("small")
    try compare(local + "/tree", local + "/restored" + path + "/tree")
    #expect(try run("rm", "-r", local).status == 0)
  }

  @Test(
    "a job waits for a killed brick of a distributed volume, and leaves nothing out",
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

  @Test("a restore that begins while a brick of a distributed volume is down waits for the brick")
  func restoreBegins() throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    // There are enough directories that some belong on the killed brick.
    #expect(
      try run("sh", "-c", "cd '\(local)' && mkdir tree && cd tree && for n in $(seq 20); do mkdir $n; echo $n > $n/file; done").status == 0)
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("distributed", path + "/tree"), to: saved) }
    var options = RestoreOptions()
    options.prefix = Array((path + "/restored").utf8)
    try withWatched { job, isNoticed throws in
      killBrick("distributed", until: isNoticed)
      #expect(try saved.restore(job, Scratch.line("distributed"), options).failed == 0, "\(job.messages)")
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
      #expect(job.messages.contains { $0.text.contains("is unreachable; waiting") }, "\(job.messages)")
    }
    compareEventually("distributed", local, path)
  }

  @Test("a restore into existing directories waits for a killed brick of a distributed volume, and leaves nothing out")
  func oneOfTwoComesBackToWhatIsThere() throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    let commands =
      "cd '\(local)' && mkdir tree && cd tree && for n in $(seq 200); do mkdir $n; echo $n > $n/a; ln -s $n $n/b; mkfifo $n/c; mkdir $n/d; done"
    #expect(try run("sh", "-c", commands).status == 0)
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("distributed", path + "/tree", ":readahead=65536"), to: saved) }
    var options = RestoreOptions()
    options.prefix = Array((path + "/restored").utf8)
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

  /// A change that an administrator makes to a volume during a job.
  enum Change: String, CaseIterable {
    /// Clients load a new graph of translators.
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
        // On a volume without copies, Gluster first moves the files to other bricks.
        let last = try #require(try Scratch.bricks(of: volume).last)
        try Scratch.addBrick(volume)
        try Scratch.gluster("volume", "remove-brick", volume, "scratch:\(last)", "start")
      }
    }
  }

  @Test(
    "a job is not affected if a brick of a replicated volume is replaced by an empty one",
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
      // Until it is healed, the new brick reports a hard linked file with one name only.
      #expect(try Scratch.heal(volume, below: path) == [])
      try compare(local + "/tree", local + "/restored" + path + "/tree")
    }
  }

  @Test(
    "a job is not affected if an administrator changes the volume during the job",
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
