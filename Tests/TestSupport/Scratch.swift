import Foundation
import Locks
import MiniDaemon

/// The scratch volumes on which the tests run (scripts/in-scratch).
public enum Scratch {
  public struct Missing: Error, CustomStringConvertible {
    public let description = "no scratch volumes: run the tests with make test"
  }

  /// The kinds of volumes.
  public static let kinds = ["plain", "distributed", "replicated", "dispersed", "sharded"]

  private static func variable(_ name: String) throws -> String {
    guard let value = ProcessInfo.processInfo.environment[name] else { throw Missing() }
    return value
  }

  /// The FUSE mount of a volume. A volume of one of the kinds is created when it is first requested.
  public static func mount(_ kind: String) throws -> String {
    try need(kind)
    return try mountPoint(kind)
  }

  private static func mountPoint(_ volume: String) throws -> String { try variable("GFAPI_FD_SCRATCH") + "/" + volume }

  /// The volumes that this process has requested.
  private static let made = Mutex<Set<String>>([])

  /// Creates a volume of a kind of scripts/in-scratch, unless it exists.
  private static func need(_ kind: String) throws {
    guard (kinds + ["small"]).contains(where: { kind == $0 || kind.hasPrefix($0 + "-") }) else { return }
    let mount = try mountPoint(kind)
    try made.withLock { made in
      guard made.insert(kind).inserted, !FileManager.default.fileExists(atPath: mount) else { return }
      // Use `system`, not `run`: see `remount`.
      let log = try temporaryFile(".log")
      guard system("'\(script("in-scratch"))' --add '\(kind)' > '\(log)' 2>&1 < /dev/null") == 0 else {
        throw TestError("cannot make the volume \(kind): \(try String(contentsOfFile: log, encoding: .utf8))")
      }
    }
  }

  /// Mounts a volume again. A FUSE mount of a sharded volume otherwise keeps showing modification times from before a `utime`.
  public static func remount(_ kind: String) throws {
    let mount = try mountPoint(kind)
    _ = try run("umount", "-l", mount)
    // Use `system`, not `run`: `run` waits until its pipe is closed, and the mount's own process would keep it open.
    let status = system("mount -t glusterfs -o acl 'scratch:/\(kind)' '\(mount)' > /dev/null 2>&1")
    guard status == 0 else { throw TestError("cannot mount \(kind)") }
  }

  /// Runs `body` with another mount of a volume, of a client whose clock differs from that of this host.
  ///
  /// - Parameter seconds: by how much the clock is ahead; negative: behind.
  public static func withMount(of kind: String, clock seconds: Int, _ body: (String) throws -> Void) throws {
    try need(kind)
    let mount = try temporaryFile(".mount")
    try FileManager.default.createDirectory(atPath: mount, withIntermediateDirectories: false)
    // Use `system`, not `run`: see `remount`.
    let clock = "LD_PRELOAD=/usr/lib/$(uname -m)-linux-gnu/faketime/libfaketimeMT.so.1 FAKETIME=\(seconds)s DONT_FAKE_MONOTONIC=1"
    guard system("\(clock) glusterfs --volfile-server=scratch --volfile-id='\(kind)' '\(mount)' > /dev/null 2>&1") == 0 else {
      throw TestError("cannot mount \(kind) with another clock")
    }
    defer {
      _ = try? run("umount", "-l", mount)
      try? FileManager.default.removeItem(atPath: mount)
    }
    try body(mount)
  }

  /// Runs Gluster's command line. Retries for a while if glusterd is busy.
  @discardableResult
  public static func gluster(_ arguments: String...) throws -> String { try gluster(arguments) }

  @discardableResult
  private static func gluster(_ arguments: [String]) throws -> String {
    var result = CommandResult(status: 0, output: "")
    _ = try eventually(within: 30) {
      result = try run("gluster", ["--mode=script"] + arguments)
      return result.status == 0 || !["ransaction", "try again", "onnection"].contains(where: result.output.contains)
    }
    guard result.status == 0 else { throw TestError("gluster \(arguments): \(result.output)") }
    return result.output
  }

  private static let glusterdPIDFile = "/run/glusterd.pid"

  /// Kills glusterd. The bricks keep running.
  public static func killGlusterd() throws {
    let text = try String(contentsOfFile: glusterdPIDFile, encoding: .utf8)
    guard let pid = pid_t(text.trimmingCharacters(in: .whitespacesAndNewlines)) else { throw TestError("no glusterd") }
    _ = Glibc.kill(pid, SIGKILL)
    guard eventually(within: 10, { Glibc.kill(pid, 0) != 0 }) else { throw TestError("glusterd lives on") }
  }

  /// Starts glusterd again and waits until it answers.
  public static func startGlusterd() throws {
    // Started with no signal blocked: a process that Foundation starts would inherit this process's signal mask, and so would its bricks.
    let program =
      "import os, signal; signal.pthread_sigmask(signal.SIG_SETMASK, []); "
      + "os.execvp('glusterd', ['glusterd', '--pid-file', '\(glusterdPIDFile)'])"
    guard system("python3 -c \"\(program)\" > /dev/null 2>&1") == 0 else { throw TestError("glusterd does not start") }
    try gluster("pool", "list")
  }

  /// The folders of a volume's bricks.
  public static func bricks(of volume: String) throws -> [String] {
    try need(volume)
    let folder = try variable("GFAPI_FD_SCRATCH_BRICKS")
    let numbers = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasPrefix(volume) && Int($0.dropFirst(volume.count)) != nil }
    return numbers.sorted().map { folder + "/" + $0 }
  }

  /// The process that serves the first brick of a volume.
  public static func firstBrick(_ kind: String) throws -> pid_t {
    try need(kind)
    let found = try run("pgrep", "-f", "glusterfsd.*\(kind)1").output.split(separator: "\n").first.flatMap { pid_t($0) }
    guard let found else { throw TestError("no brick of \(kind) is running") }
    return found
  }

  /// The processes that serve the bricks of a volume.
  private static func brickProcesses(_ volume: String) throws -> [pid_t] {
    try run("pgrep", "-f", "glusterfsd.*--volfile-id \(volume)[.]").output.split(separator: "\n").compactMap { pid_t($0) }
  }

  /// Kills processes and waits until they have ended.
  private static func kill(_ processes: [pid_t]) throws {
    for process in processes { _ = Glibc.kill(process, SIGKILL) }
    guard eventually({ processes.allSatisfy { Glibc.kill($0, 0) != 0 } }) else { throw TestError("\(processes) live on") }
  }

  /// Kills the first brick of a volume.
  public static func killBrick(_ kind: String) throws { try kill([firstBrick(kind)]) }

  /// Kills the first brick of a volume, and starts it again when a condition is true, or after a minute.
  ///
  /// - Parameters:
  ///   - seconds: the least time for which the brick stays unreachable.
  ///   - isNoticed: the condition; called by another thread.
  public static func killBrick(_ kind: String, for seconds: UInt32 = 0, until isNoticed: @escaping @Sendable () -> Bool) throws {
    try killBrick(kind)
    Thread.detachNewThread {
      sleep(seconds)
      _ = eventually(within: 60, isNoticed)
      try? startBricks(kind)
    }
  }

  /// Starts the bricks of a volume that are not running.
  public static func startBricks(_ kind: String) throws {
    let count = try bricks(of: kind).count
    // glusterd does not start a brick before it has noticed that the brick's process has ended.
    let areRunning = try eventually {
      try gluster("volume", "start", kind, "force")
      return try brickProcesses(kind).count == count && onlineBricks(kind) == count
    }
    guard areRunning else { throw TestError("not all bricks of \(kind) are running") }
  }

  /// The number of bricks of a volume that have reported their port to glusterd. A client that connects earlier works without the others:
  /// a file that it makes on a distributed volume is then only on one brick.
  private static func onlineBricks(_ volume: String) throws -> Int {
    try gluster("volume", "status", volume, "--xml")
      .matches(of: /<path>\/[^<]*<\/path>\s*<peerid>[^<]*<\/peerid>\s*<status>1<\/status>/).count
  }

  /// Replaces the first brick of a volume with an empty one.
  public static func replaceBrick(_ volume: String) throws {
    guard let first = try bricks(of: volume).first else { throw TestError("\(volume) has no brick") }
    try gluster("volume", "replace-brick", volume, "scratch:\(first)", "scratch:\(first)0", "commit", "force")
  }

  /// Adds a brick to a distributed volume of two.
  public static func addBrick(_ volume: String) throws {
    try gluster("volume", "add-brick", volume, "scratch:\(variable("GFAPI_FD_SCRATCH_BRICKS"))/\(volume)3", "force")
  }

  /// Lets the bricks of a volume log its changes, with a new changelog every 2 s.
  public static func log(_ volume: String) throws {
    try set(
      [
        "changelog.changelog": "on", "changelog.capture-del-path": "on", "storage.build-pgfid": "on", "changelog.rollover-time": "2",
      ], on: volume)
  }

  /// Waits until an operation that moves files of a volume has ended: `rebalance VOLUME`, or `remove-brick VOLUME BRICK`.
  public static func waitForMoves(_ words: String...) throws {
    let isOver = eventually(within: 120) {
      // glusterd sometimes does not answer.
      (try? gluster(["volume"] + words + ["status", "--xml"]))?.contains("<statusStr>completed</statusStr>") ?? false
    }
    guard isOver else { throw TestError("\(words) does not end") }
  }

  /// Starts a rebalance, which moves files to the bricks on which they belong.
  public static func rebalance(_ volume: String) throws { try gluster("volume", "rebalance", volume, "start", "force") }

  /// Waits until nothing is left to heal below a path of a replicated or dispersed volume, and mounts the volume again. Returns the
  /// entries that are still to be healed after two minutes.
  public static func heal(_ volume: String, below path: String) throws -> [String] {
    var left: [String] = []
    _ = try eventually(within: 120) {
      // Gluster refuses this until the self-heal daemon has connected to the brick.
      _ = try run("gluster", "volume", "heal", volume)
      // Each `heal info` starts a client of its own, which takes processor time from the healing. So look at the bricks first.
      _ = try eventually(within: 2) { try isHealed(volume) }
      left = try unhealed(volume, below: path)
      return left.isEmpty
    }
    try remount(volume)
    return left
  }

  /// True if the bricks of a volume record no entry that is to be healed.
  private static func isHealed(_ volume: String) throws -> Bool {
    try bricks(of: volume).allSatisfy { brick in
      let entries = try FileManager.default.contentsOfDirectory(atPath: brick + "/.glusterfs/indices/xattrop")
      return entries.allSatisfy { $0.hasPrefix("xattrop-") }
    }
  }

  /// The entries of a replicated or dispersed volume below a path that are to be healed.
  public static func unhealed(_ volume: String, below path: String) throws -> [String] {
    let info = try run("gluster", "volume", "heal", volume, "info")
    guard info.status == 0 else { throw TestError(info.output) }
    return info.output.split(separator: "\n").map(String.init).filter { $0.hasPrefix(path) }
  }

  /// Runs `body` while an additional volume exists, mounted like the others.
  ///
  /// - Parameter type: the type in words, such as `replica 3`; none: a distributed volume.
  public static func withVolume(_ name: String, bricks count: Int = 2, _ type: String..., body: () throws -> Void) throws {
    let bricks = try variable("GFAPI_FD_SCRATCH_BRICKS")
    try FileManager.default.createDirectory(atPath: mountPoint(name), withIntermediateDirectories: true)
    try gluster(["volume", "create", name] + type + (1...count).map { "scratch:\(bricks)/\(name)\($0)" } + ["force"])
    defer {
      _ = try? run("umount", "-l", mountPoint(name))
      _ = try? gluster("volume", "stop", name, "force")
      _ = try? gluster("volume", "delete", name)
      _ = try? run("sh", "-c", "rm -rf '\(bricks)/\(name)'[0-9]")
    }
    try gluster("volume", "start", name)
    try remount(name)
    try body()
  }

  /// Returns true if a directory can be created and renamed at a mount. Bricks apply an option a moment after it was set, so call
  /// this until they have.
  public static func mayRename(_ local: String) -> Bool {
    let probe = "\(local)/.probe-\(UUID().uuidString)"
    guard mkdir(probe, 0o700) == 0, rename(probe, probe + "-renamed") == 0 else { return false }
    return rmdir(probe + "-renamed") == 0
  }

  /// Runs `body` while a volume is read-only for every client.
  public static func withReadOnly<R>(_ volume: String, _ body: () throws -> R) throws -> R {
    func set(_ value: String) throws {
      try gluster("volume", "set", volume, "features.read-only", value)
      let local = try mount(volume)
      guard eventually({ mayRename(local) == (value == "off") }) else {
        throw TestError("features.read-only stays as it is on \(volume)")
      }
    }
    try set("on")
    let result = Result { try body() }
    try set("off")
    return try result.get()
  }

  /// Runs `body` while a volume exists whose one brick is on its own file system, `xfs`, `ext4` or `btrfs`, in a loop device.
  public static func withVolume(_ name: String, on fileSystem: String, body: () throws -> Void) throws {
    let brick = try variable("GFAPI_FD_SCRATCH_BRICKS") + "/\(name)1"
    let image = try temporaryFile(".img")
    let make = ["xfs": "mkfs.xfs -q", "ext4": "mkfs.ext4 -q -F", "btrfs": "mkfs.btrfs -q"][fileSystem] ?? "false"
    let made = try run(
      "sh", "-ec", "truncate -s 700M '\(image)'; \(make) '\(image)'; mkdir -p '\(brick)'; mount -o loop '\(image)' '\(brick)'")
    guard made.status == 0 else { throw TestError("cannot make \(fileSystem): \(made.output)") }
    defer { _ = try? run("sh", "-c", "umount -l '\(brick)'; rm -f '\(image)'; rmdir '\(brick)'") }
    try withVolume(name, bricks: 1, body: body)
  }

  /// Runs `body` while the brick of the small volume has only so many bytes free. The filling file is written directly on the brick: a
  /// FUSE mount may die when it meets a full brick.
  public static func withFullSmall<R>(leaving bytes: Int, _ body: () throws -> R) throws -> R {
    try need("small")
    let brick = try variable("GFAPI_FD_SCRATCH_BRICKS") + "/small1"
    let file = brick + "/.glusterfs/filling"
    let free = try run("stat", "-f", "-c", "%a %S", brick).output.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    guard free.count == 2, try run("fallocate", "-l", "\(free[0] * free[1] - bytes)", file).status == 0 else {
      throw TestError("cannot fill \(brick)")
    }
    let result = Result { try body() }
    try FileManager.default.removeItem(atPath: file)
    // A brick checks only every few seconds how much room it has.
    let mount = try mount("small")
    guard eventually({ mkdir(mount + "/room", 0o700) == 0 && rmdir(mount + "/room") == 0 }) else {
      throw TestError("the small volume stays full")
    }
    return try result.get()
  }

  /// A call that no client makes. Gluster's error-gen translator makes this call fail while no test needs another one to fail.
  private static let idleCall = "rchecksum"
  /// True if the brick of the small volume has the error-gen translator. The tests that need it run one after another.
  nonisolated(unsafe) private static var hasErrorGenerator = false

  /// Runs `body` while Gluster's own error-gen translator makes calls of one kind fail on the brick of the small volume.
  ///
  /// - Parameters:
  ///   - share: the share of calls that fail, in per cent.
  ///   - error: the error. Gluster 10.3 ignores it and uses one of the errors that such a call may return.
  public static func withErrors<R>(in call: String, share: Int = 100, error: String = "EIO", _ body: () throws -> R) throws -> R {
    try withErrors(in: call, "\(share)%", isSpaced: false, error, body)
  }

  /// Runs `body` while calls of one kind fail now and then on the brick of the small volume, always with this error. From one failure to the
  /// next there are two calls or more that do not fail.
  public static func withSpacedErrors<R>(in call: String, error: String, _ body: () throws -> R) throws -> R {
    // In this mode the share only says how many calls come before the first failure: 10.
    try withErrors(in: call, "0.001%", isSpaced: true, error, body)
  }

  private static func withErrors<R>(
    in call: String, _ share: String, isSpaced: Bool, _ error: String, _ body: () throws -> R
  ) throws -> R {
    try need("small")
    if !hasErrorGenerator {
      // A brick loads a new translator only when it starts, but accepts at any time which call is to fail.
      try set(["debug.error-gen": "posix", "debug.error-fops": idleCall], on: "small")
      try restartBricks("small")
      try remount("small")
      hasErrorGenerator = true
    }
    try fail(call, share, isSpaced, error)
    let result = Result { try body() }
    try fail(idleCall, share, isSpaced, error)
    return try result.get()
  }

  /// Sets which call fails on the brick of the small volume, and waits until the brick has applied it.
  private static func fail(_ call: String, _ share: String, _ isSpaced: Bool, _ error: String) throws {
    guard let brick = try bricks(of: "small").first else { throw TestError("the small volume has no brick") }
    let log = try FileHandle(
      forReadingFrom: URL(fileURLWithPath: "/var/log/glusterfs/bricks/\(brick.dropFirst().replacingOccurrences(of: "/", with: "-")).log"))
    defer { try? log.close() }
    let end = try log.seekToEnd()
    try set(
      [
        "debug.error-fops": call, "debug.error-failure": share, "debug.random-failure": isSpaced ? "on" : "off",
        "debug.error-number": error,
      ], on: "small")
    let isHeard = try eventually {
      try log.seek(toOffset: end)
      let told = String(decoding: try log.readToEnd() ?? Data(), as: UTF8.self)
      // The translators above it in the brick apply their options later.
      return told.range(of: "0-small-error-gen: option enable using set value \(call) ").map {
        told[$0.upperBound...].contains(" 0-\(brick): option ")
      } ?? false
    }
    guard isHeard else { throw TestError("the brick of the small volume has not heard that \(call) is to fail") }
  }

  /// Sets options of a volume.
  private static func set(_ options: KeyValuePairs<String, String>, on volume: String) throws {
    try gluster(["volume", "set", volume] + options.flatMap { [$0, $1] })
  }

  /// Kills the bricks of a volume and starts them again.
  private static func restartBricks(_ volume: String) throws {
    try kill(brickProcesses(volume))
    try startBricks(volume)
  }

  /// Runs `body` while the small volume has options that its brick reads when it starts.
  public static func withSmall<R>(_ options: KeyValuePairs<String, String>, _ body: () throws -> R) throws -> R {
    try withOptions(options, on: "small", body)
  }

  /// Runs `body` while each call of one kind takes the given number of microseconds longer on the bricks of a volume.
  public static func withDelay<R>(of microseconds: Int, for call: String, on volume: String, _ body: () throws -> R) throws -> R {
    try withOptions(
      [
        "debug.delay-gen": "posix", "delay-gen.enable": call, "delay-gen.delay-percentage": "100",
        "delay-gen.delay-duration": "\(microseconds)",
      ], on: volume, body)
  }

  /// Runs `body` while the bricks of a volume refuse every listing that returns more than names (`readdirp`).
  public static func withoutListings<R>(on volume: String, _ body: () throws -> R) throws -> R {
    try withOptions(
      ["debug.error-gen": "posix", "debug.error-fops": "readdirp", "debug.error-failure": "100%"], on: volume, body)
  }

  /// Runs `body` while a volume has options that its bricks read when they start.
  private static func withOptions<R>(
    _ options: KeyValuePairs<String, String>, on volume: String, _ body: () throws -> R
  ) throws -> R {
    try need(volume)
    try set(options, on: volume)
    try restartBricks(volume)
    defer {
      for (name, _) in options { _ = try? gluster("volume", "reset", volume, name) }
      try? restartBricks(volume)
      try? remount(volume)
    }
    return try body()
  }

  /// Runs `body` while another process creates, deletes, renames, truncates and extends entries of a folder all the time.
  public static func whileChanging(_ folder: String, _ body: () throws -> Void) throws {
    let chaos = Process()
    chaos.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    chaos.arguments = ["python3", testScript("change-all-the-time.py"), folder]
    // The process ends when its standard input is closed.
    let input = Pipe()
    chaos.standardInput = input
    try chaos.run()
    let result = Result {
      guard eventually({ (try? FileManager.default.contentsOfDirectory(atPath: folder).count) ?? 0 > 20 }) else {
        throw TestError("nothing changes in \(folder)")
      }
      try body()
    }
    try? input.fileHandleForWriting.close()
    chaos.waitUntilExit()
    try result.get()
    guard chaos.terminationStatus == 0 else { throw TestError("what changes \(folder) failed") }
  }

  /// Runs `body` while Gluster's quota limits the data below a path of the small volume, for example to `3MB`.
  public static func withQuota(_ path: String, _ limit: String, _ body: () throws -> Void) throws {
    try need("small")
    try gluster("volume", "quota", "small", "enable")
    defer { _ = try? gluster("volume", "quota", "small", "disable") }
    try gluster("volume", "quota", "small", "hard-timeout", "0")
    try gluster("volume", "quota", "small", "soft-timeout", "0")
    try gluster("volume", "quota", "small", "limit-usage", path, limit)
    try body()
  }

  /// Creates an empty folder on a volume. Returns its path at the mount and its path on the volume.
  public static func folder(on kind: String = "plain", _ name: String = #function) throws -> (local: String, path: String) {
    let path = "/" + name.filter(\.isLetter) + "-" + UUID().uuidString.prefix(8)
    let local = try mount(kind) + path
    try FileManager.default.createDirectory(atPath: local, withIntermediateDirectories: true)
    return (local, path)
  }

  /// Sets the modification times of a folder and of all entries in it back by an hour. Later changes then have other times, also in the
  /// whole seconds that the daemons compare.
  public static func setBack(_ folder: String) throws {
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder).map({ "/" + $0 }) + [""] {
      var status = stat()
      let path = folder + name
      guard lstat(path, &status) == 0 else { throw TestError("no \(path)") }
      status.st_mtim.tv_sec -= 3600
      guard utimensat(AT_FDCWD, path, [status.st_atim, status.st_mtim], AT_SYMLINK_NOFOLLOW) == 0 else {
        throw TestError("cannot set the times of \(path)")
      }
    }
  }

  /// Turns sharding on for the new files of a volume, and mounts it again.
  ///
  /// - Parameter size: the size of a shard, such as `4MB`; nil: Gluster's default, 64 MiB.
  public static func shard(_ volume: String, size: String? = "4MB") throws {
    try gluster("volume", "set", volume, "features.shard", "on")
    if let size { try gluster("volume", "set", volume, "features.shard-block-size", size) }
    try remount(volume)
  }

  /// A folder in memory.
  public static func temporaryFolder() throws -> String { try variable("GFAPI_FD_SCRATCH_TMP") }

  /// A new name for a file in memory.
  public static func temporaryFile(_ suffix: String = "") throws -> String {
    try temporaryFolder() + "/" + UUID().uuidString + suffix
  }

  /// The plugin line for a directory of a volume.
  public static func line(_ kind: String = "plain", _ path: String = "", _ more: String = "") -> String {
    // If the volume cannot be created, the test fails where it uses the volume.
    try? need(kind)
    return "gfapi:volume=gluster\\://scratch/\(kind)\(path)\(more)"
  }

  public static let tool = built("gfapi-fd")
  public static let modulePath = built("gfapi-fd.so")

  /// The path of a product of `make`, in the folder `build` or the one that GFAPI_FD_PRODUCTS names.
  public static func built(_ name: String) -> String {
    let folder = ProcessInfo.processInfo.environment["GFAPI_FD_PRODUCTS"] ?? "build"
    return Fixtures.package.appendingPathComponent("\(folder)/\(name)").path
  }

  /// The path of a helper program of the tests.
  public static func testScript(_ name: String) -> String {
    Fixtures.package.appendingPathComponent("Tests/TestSupport/\(name)").path
  }

  public static func script(_ name: String) -> String { Fixtures.package.appendingPathComponent("scripts/\(name)").path }

  /// The module, which is loaded once.
  public static let module = Result { try PluginModule(modulePath) }
}

/// A backup that is kept in memory, for inspection and for a restore.
public final class MemoryBackup: BackupTarget {
  public struct Item: Sendable {
    public var entry: SavedEntry
    public var data: [UInt8]

    public init(entry: SavedEntry, data: [UInt8] = []) {
      self.entry = entry
      self.data = data
    }
  }

  public private(set) var items: [Item] = []
  /// Called for each record before its data.
  public var onBegin: ((SavedEntry) -> Void)?
  /// Called for each piece of data with its length.
  public var onData: ((Int) -> Void)?
  private var data: [UInt8] = []

  public init(_ items: [Item] = []) { self.items = items }

  public func begin(_ entry: SavedEntry) {
    data = []
    onBegin?(entry)
  }

  public func data(_ bytes: UnsafeRawBufferPointer) {
    data += bytes
    onData?(bytes.count)
  }

  public func end(_ entry: SavedEntry) { items.append(Item(entry: entry, data: data)) }

  public func item(_ path: String) -> Item? { items.first { $0.entry.path == Array(path.utf8) } }

  /// The paths in the order of the records.
  public var paths: [String] { items.map { String(decoding: $0.entry.path, as: UTF8.self) } }

  /// Restores all items and returns the counts of the job.
  ///
  /// - Parameter before: called before each item, with its number.
  public func restore(
    _ job: MiniJob, _ line: String, _ options: RestoreOptions = RestoreOptions(), before: (Int) throws -> Void = { _ in }
  ) throws -> JobCounts {
    var restore = Restore(job, line, options)
    for (number, item) in items.enumerated() {
      try before(number)
      let data = item.data
      guard
        try restore.restore(
          item.entry, length: data.count,
          { write in
            data.withUnsafeBytes { bytes in
              for start in stride(from: 0, to: bytes.count, by: 65536) {
                guard write(start, UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 65536, bytes.count)])) else { return }
              }
            }
          })
      else { break }
    }
    return restore.end()
  }
}

/// Runs a job in the small test daemon (MiniDaemon) to its end.
public func withJob<R>(
  _ options: MiniJob.Options = MiniJob.Options(), abi: ABI = .bareos26, _ body: (MiniJob) throws -> R
) throws -> R {
  let module = try abi == .bareos26 ? Scratch.module.get() : PluginModule(Scratch.modulePath, abi)
  let job = try MiniJob(module, options)
  defer { job.end() }
  return try body(job)
}
