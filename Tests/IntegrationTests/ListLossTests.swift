import Foundation
import MiniDaemon
import Testing
import TestSupport

/// The sources of a list may be missing, cut off, on another brick, or of another time. The wrapper then lists everything that may have
/// changed, and reports the reason.
@Suite("Completeness of the wrapper's lists", .serialized)
struct ListLossTests {
  typealias Watched = GlusterfindTests.Watched

  /// Makes files on all bricks, and a full backup of them.
  static func watched(on volume: String, files: Int = 40) throws -> Watched {
    try Watched(
      on: volume,
      "os.mkdir('d'); [write(f'd/f{n}', str(n)) for n in range(\(files))]; write('gone', 'x'); write('renamed', 'x'); os.mkdir('e'); write('e/g', 'x'); settle()"
    )
  }

  static let changes = """
    [write(f'd/f{n}', 'more', 'a') for n in range(10, 20)]; os.setxattr('d/f3', 'user.a', b'1'); os.chmod('d/f4', 0o640)
    os.unlink('gone'); os.rename('renamed', 'd/renamed'); os.rename('e', 'e2'); write('d/new', 'x'); settle()
    """

  /// The paths of the changed files, and the new names.
  static let changed = (10..<20).map { "d/f\($0)" } + ["d/f3", "d/f4", "d/renamed", "e2/g", "d/new"]

  /// Waits for longer than a list begins before its time, because clocks may differ. Returns false after a minute.
  func waitBeyondMargin() -> Bool {
    let now = time(nil)
    return eventually(within: 60) { time(nil) > now + 7 }
  }

  /// Runs an incremental job from a list, and then one by crawl, which is expected to find nothing more.
  ///
  /// - Parameters:
  ///   - changed: paths that the job from the list is expected to save.
  ///   - reason: the reason why everything is listed; nil if only changes are.
  ///   - mayBeEverything: true if it depends on the time that some steps take whether everything is listed.
  ///   - isHealing: true if directories get new times meanwhile, so that a crawl would save them.
  func expectAll(
    _ watched: inout Watched, _ changed: [String] = Self.changed, everything reason: String? = nil, mayBeEverything: Bool = false,
    isHealing: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    // Otherwise the crawl below would find changes of this second again.
    nextSecond()
    try watched.backUp("Incremental", waits: false)
    #expect(watched.complaints == [], sourceLocation: sourceLocation)
    #expect(
      mayBeEverything || watched.said.contains("everything is listed: ") == (reason != nil), "\(watched.said)",
      sourceLocation: sourceLocation)
    if let reason { #expect(watched.said.contains(reason), "\(watched.said)", sourceLocation: sourceLocation) }
    let missing = changed.filter { !watched.chain.backedUp.contains("\(watched.path)/\($0)") }
    #expect(missing == [], "\(watched.listed)", sourceLocation: sourceLocation)
    try watched.expectNoDifference()
    guard !isHealing else { return }
    try watched.chain.backUp(accurate: false)
    #expect(watched.chain.backedUp == [], "a crawl finds more", sourceLocation: sourceLocation)
  }

  // MARK: Bricks that come and go

  @Test("a list has changed files that a rebalance has moved or is moving to another brick", arguments: [true, false])
  func rebalanced(_ isOver: Bool) throws {
    try Scratch.withVolume("moving", bricks: 2) {
      try Scratch.log("moving")
      try Scratch.addBrick("moving")
      try Scratch.gluster("volume", "rebalance", "moving", "fix-layout", "start")
      _ = eventually(within: 60) { (try? Scratch.gluster("volume", "rebalance", "moving", "status"))?.contains("completed") ?? false }
      // The files lie on the bricks where the former layout puts them.
      var watched = try Self.watched(on: "moving")
      let third = try Scratch.bricks(of: "moving")[2]
      try watched.change("[os.rename(f'd/f{n}', f'd/r{n}') for n in range(40)]")
      try watched.backUp("Incremental")
      let before = try FileManager.default.contentsOfDirectory(atPath: "\(third)\(watched.path)/d")
      try watched.change("[write(f'd/r{n}', 'more', 'a') for n in range(40)]")
      try Scratch.rebalance("moving")
      if isOver {
        try Scratch.waitForMoves("rebalance", "moving")
        try #require(try FileManager.default.contentsOfDirectory(atPath: "\(third)\(watched.path)/d") != before)
      }
      try expectAll(&watched, (0..<40).map { "d/r\($0)" })
      try Scratch.waitForMoves("rebalance", "moving")
    }
  }

  @Test("a list has everything after a brick was removed, and the reason names the brick")
  func brickRemoved() throws {
    try Scratch.withVolume("shrinking", bricks: 2) {
      try Scratch.log("shrinking")
      var watched = try Self.watched(on: "shrinking")
      try watched.change(Self.changes)
      let second = "scratch:" + (try Scratch.bricks(of: "shrinking")[1])
      try Scratch.gluster("volume", "remove-brick", "shrinking", second, "start")
      try Scratch.waitForMoves("remove-brick", "shrinking", second)
      try Scratch.gluster("volume", "remove-brick", "shrinking", second, "commit")
      try Scratch.remount("shrinking")
      try expectAll(
        &watched, everything: " (seconds since 1970), and what they logged is not known: \(second)")
      try watched.change("write('after', 'x')")
      try expectAll(&watched, ["after"])
    }
  }

  @Test("a list has everything after a brick was added to a distributed volume")
  func brickAdded() throws {
    try Scratch.withVolume("wider", bricks: 2) {
      try Scratch.log("wider")
      var watched = try Self.watched(on: "wider")
      try watched.change(Self.changes)
      try Scratch.addBrick("wider")
      try Scratch.remount("wider")
      try expectAll(&watched, everything: "wider3")
    }
  }

  @Test("a list has everything after a brick was replaced or reset")
  func brickNew() throws {
    try Scratch.withVolume("growing", bricks: 3, "replica", "3") {
      try Scratch.log("growing")
      var watched = try Self.watched(on: "growing", files: 20)
      try watched.change(Self.changes)
      try Scratch.replaceBrick("growing")
      try expectAll(&watched, everything: "(seconds since 1970)", isHealing: true)
      try watched.change("write('d/f1', 'again', 'a')")
      try expectAll(&watched, ["d/f1"], isHealing: true)
      // Reset the brick on the same folder, which is emptied.
      let last = try Scratch.bricks(of: "growing").last!
      try watched.change("write('d/f2', 'again', 'a')")
      try Scratch.gluster("volume", "reset-brick", "growing", "scratch:\(last)", "start")
      #expect(try run("sh", "-c", "rm -rf '\(last)' && mkdir '\(last)'").status == 0)
      try Scratch.gluster("volume", "reset-brick", "growing", "scratch:\(last)", "scratch:\(last)", "commit", "force")
      try expectAll(&watched, ["d/f2"], everything: "(seconds since 1970)", isHealing: true)
    }
  }

  @Test(
    "a list has changes that were made while one of several bricks was down",
    arguments: Soak.cases(["replicated"], of: ["replicated", "dispersed"]))
  func brickAway(_ kind: String) throws {
    var watched = try Self.watched(on: "\(kind)-logged", files: 20)
    try Scratch.killBrick("\(kind)-logged")
    try watched.change(Self.changes)
    // The changelogs of a brick are readable while its process is down.
    try expectAll(&watched)
    try watched.change("write('d/f1', 'again', 'a')")
    try Scratch.startBricks("\(kind)-logged")
    #expect(try Scratch.heal("\(kind)-logged", below: watched.path) == [])
    try watched.change("write('d/f2', 'again', 'a')")
    // A brick that starts may close two changelogs in one second.
    try expectAll(&watched, ["d/f1", "d/f2"], mayBeEverything: true, isHealing: true)
  }

  // MARK: Changelogs

  @Test("a list has the changes of the changelog that was open when a brick was killed or stopped", arguments: ["kill", "stop"])
  func brickRestarted(_ how: String) throws {
    let volume = "plain-logged-restart"
    var watched = try Self.watched(on: volume)
    try watched.change(Self.changes)
    if how == "kill" {
      try Scratch.killBrick(volume)
      try Scratch.startBricks(volume)
    } else {
      try Scratch.gluster("volume", "stop", volume, "force")
      try Scratch.gluster("volume", "start", volume)
    }
    try Scratch.remount(volume)
    // A volume may have had logging off while it was stopped, if that took longer than a changelog lasts. A brick that starts may close
    // two changelogs in one second.
    try expectAll(&watched, mayBeEverything: true)
  }

  @Test("a list has everything after changelogs were removed by hand, also the latest one", arguments: ["head", "tail"])
  func changelogsRemoved(_ which: String) throws {
    let volume = "plain-logged-restart"
    var watched = try Self.watched(on: volume)
    try watched.change(Self.changes)
    #expect(try Glusterfind.waitForChangelogs(volume))
    let brick = try Scratch.bricks(of: volume)[0]
    let names = "find '\(brick)/.glusterfs/changelogs/2'* -name 'CHANGELOG.*' -newermt @\(watched.since)"
    let removed = try run("sh", "-c", "\(names) | sort | \(which) -n 1 | xargs rm -v")
    #expect(removed.output.contains("removed"), "\(removed.output)")
    try expectAll(&watched, everything: "are not there any more on the brick \(brick)")
  }

  @Test(
    "a list has everything after logging was off for a while, also if it was turned on while the brick was down",
    arguments: Soak.cases([false], of: [false, true]))
  func loggingOff(_ whileAway: Bool) throws {
    let volume = "plain-logged-off"
    var watched = try Self.watched(on: volume)
    try Scratch.gluster("volume", "set", volume, "changelog.changelog", "off")
    try watched.change(Self.changes)
    if whileAway {
      // Wait for longer than the longest time between two changelogs of a brick.
      let off = time(nil)
      #expect(eventually(within: 60) { time(nil) > off + 40 })
      try Self.setLogging("on", whileStopped: volume)
      let on = time(nil)
      #expect(eventually(within: 60) { time(nil) > on + 5 })
      try expectAll(&watched, everything: "(seconds since 1970)")
    } else {
      try Scratch.gluster("volume", "set", volume, "changelog.changelog", "on")
      try expectAll(&watched, everything: "(seconds since 1970)")
    }
  }

  @Test(
    "the wrapper lists everything or crawls if changelogs are in another folder or encoding",
    arguments: [("changelog.changelog-dir", "/mnt/tmp/changelogs"), ("changelog.encoding", "binary")])
  func otherForm(_ option: String, _ value: String) throws {
    let volume = "plain-logged-form"
    let watched = try Self.watched(on: volume, files: 20)
    try Scratch.gluster("volume", "set", volume, option, value)
    defer { _ = try? Scratch.gluster("volume", "reset", volume, option) }
    try watched.change(Self.changes)
    nextSecond()
    let list = try Scratch.temporaryFile(".list")
    let result = try Glusterfind.wrap("-l", "Incremental", "-s", "\(watched.since)", "prebackup", volume, list)
    let said = option == "changelog.encoding" ? "crawled instead, which takes longer: " : "everything is listed: "
    #expect(result.status == 0 && result.output.contains(said) && result.output.contains(option), "\(result.output)")
  }

  /// Stops the volume, turns the logging of changes on or off, and starts and mounts it again.
  private static func setLogging(_ value: String, whileStopped volume: String) throws {
    try Scratch.gluster("volume", "stop", volume, "force")
    try Scratch.gluster("volume", "set", volume, "changelog.changelog", value)
    try Scratch.gluster("volume", "start", volume)
    try Scratch.remount(volume)
  }

  @Test("a list has everything if logging was off while a stopped volume ran again, however shortly")
  func loggingOffBetween() throws {
    let volume = "plain-logged-off"
    var watched = try Self.watched(on: volume, files: 20)
    try Self.setLogging("off", whileStopped: volume)
    try watched.change(Self.changes)
    nextSecond()
    nextSecond()
    try Self.setLogging("on", whileStopped: volume)
    #expect(try Glusterfind.waitForChangelogs(volume))
    try expectAll(&watched, everything: "(seconds since 1970)")
  }

  /// Sets the number of seconds after which a brick begins the next changelog.
  private static func setRollover(_ seconds: String, of volume: String) throws {
    _ = try Scratch.mount(volume)
    try Scratch.gluster("volume", "set", volume, "changelog.rollover-time", seconds)
  }

  @Test("a list is complete if two changelogs were closed in one second, so that the later has the name of the other")
  func sameSecond() throws {
    let volume = "plain-logged-restart"
    try Self.setRollover("15", of: volume)
    defer { try? Self.setRollover("2", of: volume) }
    var watched = try Watched(on: volume, "[write(f'f{n}', 'x') for n in range(40)]", waits: false)
    // Some of these many changelogs are closed in the same second.
    for number in 0..<12 {
      try watched.change("os.chmod('f\(number)', 0o600)")
      try Scratch.gluster("volume", "set", volume, "server.event-threads", "\(2 + number % 2)")
    }
    try expectAll(&watched, (0..<12).map { "f\($0)" }, mayBeEverything: true)
  }

  @Test("a list is complete whenever a new changelog begins")
  func rollover() throws {
    let volume = "plain-logged-restart"
    try Self.setRollover("3600", of: volume)
    defer { try? Self.setRollover("2", of: volume) }
    var watched = try Watched(on: volume, "write('a', 'x'); write('b', 'x'); write('c', 'x')", waits: false)
    try watched.change("write('a', 'more', 'a')")
    try expectAll(&watched, ["a"])
    try watched.change("write('b', 'more', 'a')")
    try Self.setRollover("2", of: volume)
    try watched.change("write('c', 'more', 'a')")
    // Options were set, and for a while no changelog was closed.
    try expectAll(&watched, ["b", "c"], everything: "(seconds since 1970)")
  }

  @Test("a list has files with new holes that were then moved to another brick")
  func holeMoved() throws {
    try Scratch.withVolume("moving", bricks: 2) {
      try Scratch.log("moving")
      try Scratch.addBrick("moving")
      try Scratch.gluster("volume", "rebalance", "moving", "fix-layout", "start")
      _ = eventually(within: 60) { (try? Scratch.gluster("volume", "rebalance", "moving", "status"))?.contains("completed") ?? false }
      var watched = try Watched(on: "moving", "[write(f'f{n}', os.urandom(600000), 'wb') for n in range(16)]; settle()")
      try watched.change("[os.rename(f'f{n}', f'r{n}') for n in range(16)]")
      #expect(waitBeyondMargin())
      try watched.backUp("Incremental")
      let made2 = time(nil)
      #expect(eventually(within: 60) { time(nil) > made2 + 7 })
      try watched.change(
        "import subprocess\nfor n in range(16): subprocess.run(['fallocate', '-p', '-o', '0', '-l', '262144', f'r{n}'], check=True)")
      try Scratch.rebalance("moving")
      try Scratch.waitForMoves("rebalance", "moving")
      try expectAll(&watched, (0..<16).map { "r\($0)" })
    }
  }

  @Test("a list has all other names of a file that lost a name because another file was renamed over it")
  func renamedOver() throws {
    var watched = try Watched("os.mkdir('h'); os.mkdir('g'); write('h/a', 'old'); os.link('h/a', 'g/c'); write('h/b', 'new')")
    #expect(waitBeyondMargin())
    try watched.backUp("Incremental")
    try watched.change("os.rename('h/b', 'h/a')")
    try expectAll(&watched, ["h/a", "g/c"])
  }

  @Test("a list has what changed after the last list was made and before the start of its job")
  func beforeStart() throws {
    var watched = try Watched("write('a', 'x')")
    // Wait, so that the next list does not have the folder because it is new.
    #expect(waitBeyondMargin())
    try watched.backUp("Incremental")
    try watched.change("write('a', 'more', 'a')")
    let local = watched.local
    try watched.backUp("Incremental") {
      let written = try run("sh", "-ec", "echo x > '\(local)/late'").status == 0
      #expect(written && waitBeyondMargin())
    }
    #expect(!watched.chain.backedUp.contains("\(watched.path)/late"))
    try expectAll(&watched, ["late"])
  }

  @Test("a list has everything if Gluster does not keep all names of a file (storage.gfid2path)")
  func namesNotKept() throws {
    let volume = "plain-logged-restart"
    _ = try Scratch.mount(volume)
    try Scratch.gluster("volume", "set", volume, "storage.gfid2path", "off")
    var watched = try Watched(on: volume, "write('a', 'x'); os.link('a', 'b')")
    try Scratch.gluster("volume", "set", volume, "storage.gfid2path", "on")
    try watched.change("os.link('a', 'c'); write('a', 'more', 'a')")
    try expectAll(&watched, ["a", "b", "c"], everything: "names of a file are kept (storage.gfid2path)")
  }

  @Test("a list has the changes in a directory that its brick no longer knows, because a rename of it has failed")
  func lostDirectory() throws {
    var watched = try Watched(
      "os.mkdir('d'); write('d/f', 'x'); write('d/gone', 'x'); os.mkdir('other'); write('other/g', 'x'); os.makedirs('e/below')")
    try watched.change(
      """
      file = open('d/f', 'a'); d = os.open('d', os.O_RDONLY); e = os.open('e', os.O_RDONLY); below = os.open('e/below', os.O_RDONLY)
      for name in 'de':
        try: os.rename(name, 'other')
        except OSError: pass
      file.write('more'); file.close()
      os.close(os.open('new', os.O_CREAT | os.O_WRONLY, dir_fd=d)); os.unlink('gone', dir_fd=d)
      os.fchmod(e, 0o700); os.close(os.open('deep', os.O_CREAT | os.O_WRONLY, dir_fd=below))
      """)
    let brick = try Scratch.bricks(of: "plain-logged")[0]
    let attributes = try run("getfattr", "--absolute-names", "-n", "trusted.gfid", "-e", "hex", brick + watched.path + "/d").output
    let identity = try #require(attributes.firstMatch(of: /0x([0-9a-f]{32})/)).1
    let link = "\(brick)/.glusterfs/\(identity.prefix(2))/\(identity.dropFirst(2).prefix(2))"
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: link).allSatisfy { !$0.hasPrefix(identity.prefix(8)) }, "the brick knows it")
    try expectAll(&watched, ["d/f", "d/new", "e", "e/below/deep"])
    #expect(watched.listed.contains("DELETE \(watched.path.dropFirst())/d/gone"), "\(watched.listed)")
  }

  @Test("a list has changes that bricks do not log: fallocate, holes, zeroed ranges", arguments: Soak.cases(["plain"], of: Scratch.kinds))
  func notLogged(_ kind: String) throws {
    let volume = "\(kind)-logged"
    let calls = [("hole", "-p -o 0 -l 262144"), ("zeros", "-z -o 131072 -l 262144"), ("longer", "-l 900000")]
    func fallocate(_ options: String, _ name: String) -> String {
      "import subprocess; subprocess.run(['fallocate', *'\(options)'.split(), '\(name)'], check=True)"
    }
    var watched = try Watched(on: volume, calls.map { "write('\($0.0)', os.urandom(600000), 'wb')" }.joined(separator: "; ") + "; settle()")
    // Wait, so that the next list does not have the files because they are new.
    #expect(waitBeyondMargin())
    try watched.backUp("Incremental")
    try watched.change(calls.map { fallocate($0.1, $0.0) }.joined(separator: "; "))
    let trusting = try Glusterfind.wrap(
      "--trust-changelogs", "-l", "Incremental", "-s", "\(watched.since)", "prebackup", volume, watched.list)
    #expect(trusting.status == 0)
    let path = String(watched.path.dropFirst())
    let trusted = try String(contentsOfFile: watched.list, encoding: .utf8)
    // If this fails, bricks log these changes, and the wrapper need not look for them any more.
    if kind == "plain" { for (name, _) in calls { #expect(!trusted.contains("\(path)/\(name)\n"), "\(trusted)") } }
    try expectAll(&watched, calls.map(\.0))
  }

  // MARK: Others

  @Test("a list is complete while other jobs and monitoring call glusterd at the same time")
  func atOnce() throws {
    let volumes = ["plain-logged", "replicated-logged"]
    let all = try volumes.map { try Self.watched(on: $0, files: 20) }
    for index in all.indices { try all[index].change(Self.changes) }
    let monitor = Process()
    monitor.executableURL = URL(fileURLWithPath: "/bin/sh")
    monitor.arguments = ["-c", "while :; do gluster volume status plain-logged; done > /dev/null 2>&1"]
    try monitor.run()
    defer {
      // Use SIGKILL: the child may have inherited the blocked signals of this process.
      kill(monitor.processIdentifier, SIGKILL)
      monitor.waitUntilExit()
    }
    let group = DispatchGroup()
    for (volume, watched) in zip(volumes, all) {
      let (since, folder) = (watched.since, watched.path.dropFirst())
      for _ in 0..<2 {
        DispatchQueue(label: volume).async(group: group) {
          #expect(throws: Never.self) {
            let list = try Scratch.temporaryFile(".list")
            let result = try Glusterfind.wrap("--strict", "-l", "Incremental", "-s", "\(since)", "prebackup", volume, list)
            #expect(result.status == 0 && result.output.contains("changes since"), "\(result.output)")
            let listed = try String(contentsOfFile: list, encoding: .utf8)
            for path in Self.changed where path != "e2/g" { #expect(listed.contains("\(folder)/\(path)\n"), "\(path): \(listed)") }
          }
        }
      }
    }
    #expect(group.wait(timeout: .now() + 240) == .success)
  }

  @Test("a list is complete after glusterd was killed, and beside a session of another job")
  func glusterdRestarted() throws {
    var watched = try Watched(
      "os.mkdir('d'); [write(f'd/f{n}', str(n)) for n in range(20)]; write('gone', 'x'); write('renamed', 'x'); os.mkdir('e'); write('e/g', 'x')",
      session: "nightly-\(UUID().uuidString.prefix(8))")
    let other = ["--session", "weekly-\(UUID().uuidString.prefix(8))"]
    let list = try Scratch.temporaryFile(".list")
    for (phase, level) in [("prebackup", "Full"), ("postbackup", "Full")] {
      #expect(try Glusterfind.wrap(other + ["-l", level, "--exit", "OK", phase, watched.volume, list]).status == 0)
    }
    try watched.change(Self.changes)
    try Scratch.killGlusterd()
    try Scratch.startGlusterd()
    try expectAll(&watched)
    try watched.change("write('d/f1', 'again', 'a')")
    let weekly = try Glusterfind.wrap(other + ["-l", "Incremental", "prebackup", watched.volume, list])
    #expect(weekly.status == 0 && weekly.output.contains("changes since"), "\(weekly.output)")
    let listed = try String(contentsOfFile: list, encoding: .utf8)
    for path in ["d/f1", "d/f10", "d/new"] { #expect(listed.contains("\(watched.path.dropFirst())/\(path)\n"), "\(listed)") }
    try expectAll(&watched, ["d/f1"])
  }

  @Test("a list of a node whose clock is behind begins earlier by the difference")
  func clockBehind() throws {
    let brick = try Scratch.bricks(of: "plain-logged")[0]
    _ = try Scratch.folder(on: "plain-logged")
    let now = time(nil)
    let result = try run(
      Glusterfind.wrapper, "changelogs", brick, "/dev/stdout", "--since", "\(now)", "--now", "\(now + 60)")
    // No clock is changed here: the call passes a time of the other node that is later than this node's.
    let since = result.output.firstMatch(of: /#begin 1 level=changes since=(\d+) until=(\d+)\n/).flatMap { Int($0.1) }
    #expect(result.status == 0 && since.map { now - 67...now - 65 ~= $0 } ?? result.output.contains("only since"), "\(result.output)")
  }

  @Test("`gfapi-fd check` reports how far back the changelogs of each brick reach, and their size")
  func check() throws {
    let volume = "distributed-logged"
    _ = try Scratch.folder(on: volume)
    let definition = Scratch.line(volume) + ":gffilelist=/nonexistent"
    let before = try run(Scratch.tool, "check", definition, "--module", Scratch.modulePath)
    for brick in try Scratch.bricks(of: volume) {
      let line = try Regex("changelogs:  scratch:\(brick): since 20[-0-9]+T[:0-9]+Z, [0-9.]+ KiB on its disk\n")
      #expect(before.output.contains(line), "\(before.output)")
    }
    #expect(!before.output.contains("rebalance"))
    try Scratch.rebalance(volume)
    try Scratch.waitForMoves("rebalance", volume)
    let after = try run(Scratch.tool, "check", definition, "--module", Scratch.modulePath)
    #expect(after.output.contains("changelogs:  rebalance: completed; what it moved is listed all the same\n"), "\(after.output)")
    let first = try Scratch.bricks(of: volume)[0] + "/.glusterfs/changelogs/htime"
    #expect(try run("mv", first, first + "-away").status == 0)
    let none = try run(Scratch.tool, "check", definition, "--module", Scratch.modulePath)
    #expect(try run("mv", first + "-away", first).status == 0)
    #expect(none.output.contains(/changelogs:  warning: scratch:.*1: .*No such file/), "\(none.output)")
  }

  @Test("a list begins at the first of two equal clock times, and has everything if its time is in the future")
  func times() throws {
    let list = try Scratch.temporaryFile(".list")
    _ = try Scratch.folder(on: "plain-logged")
    func ask(_ since: String) throws -> String {
      try run(
        Glusterfind.wrapper, ["-l", "Incremental", "-s", since, "prebackup", "plain-logged", list], environment: ["TZ": "Europe/Berlin"]
      ).output
    }
    for (since, seconds) in [
      ("2026-10-25 02:30:00", 1_792_888_200), ("2026-10-25 01:30:00", 1_792_884_600), ("2026-10-25 03:30:00", 1_792_895_400),
      // This time of the clock does not exist.
      ("2026-03-29 02:30:00", 1_774_744_200),
    ] {
      let said = try ask(since)
      #expect(said.contains("everything is listed") && said.contains("wanted since \(seconds)"), "\(said)")
    }
    let future = time(nil) + 100_000
    #expect(try ask("\(future)").contains("everything is listed: the start time of the list, \(future), is later than now"))
  }
}
