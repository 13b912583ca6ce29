import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Connection problems")
struct ConnectionTests {
  @Test("a missing volume is reported with transport, server, port, volume and error")
  func noVolume() throws {
    try withJob { job throws in
      #expect(try job.backup(#"gfapi:volume=gluster+tcp\://scratch\:24007/nosuchvolume"#, to: MemoryBackup()) == nil)
      let fatal = try #require(job.messages.first { $0.severity == .fatal }).text
      #expect(fatal.contains("tcp scratch:24007") && fatal.contains("volume nosuchvolume") && fatal.contains("glfs_init"))
      #expect(fatal.contains("there is no volume nosuchvolume (gluster volume list)"), "\(fatal)")
    }
  }

  @Test("a backup waits for a volume that is about to start")
  func starting() throws {
    let (local, path) = try Scratch.folder(on: "small")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    #expect(try run("gluster", "--mode=script", "volume", "stop", "small", "force").status == 0)
    defer { try? Scratch.remount("small") }
    // Use `system`, not `run`: the bricks become children of the command and keep its pipe open.
    #expect(system("(sleep 2; gluster --mode=script volume start small) > /dev/null 2>&1 < /dev/null &") == 0)
    try withJob { job throws in
      #expect(try job.backup(Scratch.line("small", path), to: MemoryBackup())?.entries == 2, "\(job.messages)")
    }
  }

  @Test("a refused connection is reported with the advice to check glusterd")
  func nobody() throws {
    try withJob { job throws in
      #expect(try job.backup(#"gfapi:volume=gluster\://127.0.0.1\:9/v:timeout=30"#, to: MemoryBackup()) == nil)
      #expect(job.messages.contains { $0.severity == .fatal && $0.text.contains("127.0.0.1:9: Connection refused: check that glusterd") })
    }
  }

  @Test("a server name that this host cannot resolve is reported with the name")
  func unknownName() throws {
    // Use a process of its own: libgfapi keeps trying such a connection for some time.
    let archive = try Scratch.temporaryFile(".pax")
    let result = try run(Scratch.tool, "backup", #"gfapi:volume=gluster\://nosuchhost.invalid/v:timeout=3"#, "-o", archive)
    #expect(result.status == 2 && result.output.contains("nosuchhost.invalid:24007: "), "\(result.output)")
    #expect(result.output.contains("correct the server in volume=, or the name resolution of this host"), "\(result.output)")
  }

  @Test("a job and `check` each warn once if the process is not root, and say what it lacks")
  func otherUser() throws {
    try Scratch.withVolume("unprivileged", bricks: 1) {
      let local = try Scratch.mount("unprivileged")
      let commands = "cd '\(local)'; echo x > open; for n in 1 2 3; do mkdir -m 700 closed$n; echo x > closed$n/f; done"
      #expect(try run("sh", "-ec", commands).status == 0)
      // A folder in which this user may read and write.
      let folder = try Scratch.temporaryFile()
      #expect(
        try run("sh", "-ec", "mkdir -m 777 '\(folder)'; cp '\(Scratch.tool)' '\(Scratch.modulePath)' '\(folder)'; chmod a+x '\(folder)/..'")
          .status == 0)
      func asOther(_ command: String, _ more: String...) throws -> CommandResult {
        let line = Scratch.line("unprivileged", ":timeout=4:statedir=\(folder)")
        return try run("setpriv", ["--reuid=65534", "--regid=65534", "--clear-groups", folder + "/gfapi-fd", command, line] + more)
      }
      let saved = try asOther("backup", "-o", folder + "/archive.pax")
      #expect(saved.status == 1, "\(saved.output)")
      #expect(saved.output.ranges(of: "the file daemon runs as user 65534, not as root").count == 1, "\(saved.output)")
      #expect(!saved.output.contains("this program runs as user"), "\(saved.output)")
      for number in 1...3 { #expect(saved.output.contains("/closed\(number): the directory cannot be read"), "\(saved.output)") }
      let check = try asOther("check")
      #expect(check.status == 1 && check.output.contains("user:        problem: this is user 65534, not root"), "\(check.output)")
      // libgfapi never uses a port below 1024, whatever user it runs as.
      try Scratch.gluster("volume", "set", "unprivileged", "server.allow-insecure", "off")
      try Scratch.gluster("volume", "stop", "unprivileged", "force")
      try Scratch.gluster("volume", "start", "unprivileged")
      let refused = try asOther("backup", "-o", folder + "/archive.pax")
      #expect(refused.status == 2 && refused.output.contains("that server.allow-insecure is on"), "\(refused.output)")
    }
  }

  @Test("the message about an unreachable volume says whether it is stopped or refuses this host", arguments: [false, true])
  func unreachable(_ isRefused: Bool) throws {
    try Scratch.withVolume("away", bricks: 1) {
      if isRefused { try Scratch.gluster("volume", "set", "away", "auth.reject", "*") }
      try Scratch.gluster("volume", "stop", "away", "force")
      if isRefused { try Scratch.gluster("volume", "start", "away") }
      let said = isRefused ? "the bricks refuse this host: check auth.allow" : "no brick runs, or too few of them: is the volume started"
      // The message is the same if libgfapi logs to another file.
      for logging in ["", ":logfile=\(try Scratch.temporaryFile(".log"))"] {
        try withJob { job throws in
          #expect(try job.backup(Scratch.line("away", ":timeout=4" + logging), to: MemoryBackup()) == nil)
          let fatal = job.messages.filter { $0.severity == .fatal }.map(\.text)
          #expect(fatal.count == 1 && fatal[0].contains(said), "\(fatal)")
        }
      }
    }
  }

  @Test("a job gives up on a server that never answers or drops packets, after timeout=", arguments: [false, true])
  func silent(_ dropsPackets: Bool) throws {
    let server = try SilentServer(dropsPackets: dropsPackets)
    try withJob { job throws in
      let began = ContinuousClock.now
      #expect(try job.backup("gfapi:volume=gluster\\://127.0.0.1\\:\(server.port)/v:timeout=2", to: MemoryBackup()) == nil)
      let took = ContinuousClock.now - began
      #expect(took >= .seconds(2) && took < .seconds(8))
      #expect(job.messages.contains { $0.severity == .fatal && $0.text.contains("within 2 s (timeout=)") })
    }
  }

  @Test("a volume is reachable through glusterd's Unix socket")
  func unixSocket() throws {
    let (_, path) = try Scratch.folder()
    try withJob { job throws in
      let line = "gfapi:volume=gluster+unix\\:///plain\(path)?socket=/run/glusterd.socket"
      #expect(try job.backup(line, to: MemoryBackup())?.entries == 1)
    }
    let check = try run(Scratch.tool, "check", #"gfapi:volume=gluster+unix\:///plain?socket=/run/glusterd.socket"#)
    #expect(check.status == 0 && check.output.contains("unix /run/glusterd.socket, volume plain"), "\(check.output)")
  }

  @Test("a volume is reachable through the next server if the first one is dead")
  func fallback() throws {
    let (_, path) = try Scratch.folder()
    try withJob { job throws in
      #expect(try job.backup("gfapi:volume=gluster\\://127.0.0.1\\:9,scratch/plain\(path)", to: MemoryBackup())?.entries == 1)
    }
  }

  @Test("a base directory that is missing, a file or behind a symbolic link ends the job with a message")
  func base() throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: nil)
    try FileManager.default.createSymbolicLink(atPath: local + "/link", withDestinationPath: ".")
    for wrong in ["/missing", "/file", "/link", "/file/below", "/link/below"] {
      try withJob { job throws in
        #expect(try job.backup(Scratch.line("plain", path + wrong), to: MemoryBackup()) == nil)
        #expect(job.messages.contains { $0.severity == .fatal && $0.text.contains(path) }, "\(job.messages)")
      }
    }
  }

  @Test("a backup and a restore end with one fatal message if the brick dies")
  func brickDies() throws {
    let (local, path) = try Scratch.folder(on: "small")
    for number in 0..<300 { _ = FileManager.default.createFile(atPath: local + "/\(number)", contents: Data("x".utf8)) }
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("small", path), to: saved) }
    func killBrick() throws { kill(try Scratch.firstBrick("small"), SIGKILL) }
    func restartBrick() throws {
      #expect(try run("gluster", "--mode=script", "volume", "start", "small", "force").status == 0)
      #expect(
        eventually {
          try? Scratch.remount("small")
          return FileManager.default.fileExists(atPath: local)
        })
    }
    try withJob { job throws in
      let backup = MemoryBackup()
      backup.onBegin = { _ in if backup.items.count == 20 { try? killBrick() } }
      _ = try job.backup(Scratch.line("small", path, ":readahead=16384:timeout=3"), to: backup)
      #expect(backup.items.count < 301)
      #expect(job.messages.count { $0.severity == .fatal && $0.text.contains("volume small") } == 1, "\(job.messages.suffix(3))")
    }
    try restartBrick()
    try withJob { job throws in
      job.onMessage = nil
      var restore = Restore(job, Scratch.line("small", "", ":readahead=16384:timeout=3"), RestoreOptions())
      for (number, item) in saved.items.enumerated() {
        if number == 20 { try killBrick() }
        guard
          try restore.restore(
            item.entry, length: item.data.count,
            { write in
              _ = item.data.withUnsafeBytes { write(0, $0) }
            })
        else { break }
      }
      #expect(restore.end().entries < 301)
      #expect(job.messages.count { $0.severity == .fatal } == 1, "\(job.messages.suffix(3))")
    }
    try restartBrick()
  }

  @Test("a distributed volume with a missing brick is never backed up in part, at the start or during the job")
  func subvolumeMissing() throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    for number in 0..<200 {
      try FileManager.default.createDirectory(atPath: "\(local)/\(number % 20)", withIntermediateDirectories: true)
      _ = FileManager.default.createFile(atPath: "\(local)/\(number % 20)/\(number)", contents: nil)
    }
    func restartBrick() throws {
      #expect(try run("gluster", "--mode=script", "volume", "start", "distributed", "force").status == 0)
      #expect(
        try eventually {
          try withJob { job throws in
            let backup = MemoryBackup()
            _ = try job.backup(Scratch.line("distributed", path, ":readahead=16384:timeout=3"), to: backup)
            return backup.items.count == 221
          }
        })
      // The client of the mount takes some time to reconnect.
      try Scratch.remount("distributed")
    }
    func killBrick() throws { kill(try Scratch.firstBrick("distributed"), SIGKILL) }
    try withJob { job throws in
      let backup = MemoryBackup()
      backup.onBegin = { _ in if backup.items.count == 20 { try? killBrick() } }
      _ = try job.backup(Scratch.line("distributed", path, ":readahead=16384:timeout=3"), to: backup)
      #expect(backup.items.count < 221)
      #expect(job.messages.count { $0.severity == .fatal && $0.text.contains("volume distributed") } == 1, "\(job.messages)")
    }
    try withJob { job throws in
      #expect(try job.backup(Scratch.line("distributed", path, ":timeout=3"), to: MemoryBackup()) == nil)
      #expect(job.messages.contains { $0.severity == .fatal && $0.text.contains("subvolume distributed-client-0") })
    }
    try restartBrick()
  }

  @Test("a cancelled job ends at once while it connects")
  func cancelConnecting() throws {
    let server = try SilentServer()
    try withJob { job throws in
      let cancelled = Cancelled(job, after: 0.3)
      #expect(try job.backup("gfapi:volume=gluster\\://127.0.0.1\\:\(server.port)/v", to: MemoryBackup()) == nil)
      #expect(cancelled.endedWithinASecond())
      #expect(!job.hasFailed)
    }
  }

  @Test("a cancelled backup ends at once while its brick hangs in the middle of a file")
  func cancelHanging() throws {
    let (local, path) = try Scratch.folder(on: "small")
    #expect(try run("dd", "if=/dev/urandom", "of=\(local)/file", "bs=1M", "count=20").status == 0)
    let brick = try Scratch.firstBrick("small")
    defer {
      kill(brick, SIGCONT)
      // Free the space: the volume is small.
      try? FileManager.default.removeItem(atPath: local)
    }
    try withJob { job throws in
      let backup = MemoryBackup()
      var cancelled: Cancelled?
      backup.onData = { _ in
        guard cancelled == nil else { return }
        kill(brick, SIGSTOP)
        cancelled = Cancelled(job, after: 0.5)
      }
      _ = try job.backup(Scratch.line("small", path), to: backup)
      #expect(cancelled?.endedWithinASecond() == true)
    }
  }

  @Test("a cancelled backup ends at once in the middle of a crawl")
  func cancelCrawl() throws {
    let (local, path) = try Scratch.folder()
    for number in 0..<300 { _ = FileManager.default.createFile(atPath: local + "/\(number)", contents: nil) }
    try withJob { job throws in
      let backup = MemoryBackup()
      backup.onBegin = { _ in if backup.items.count == 10 { job.cancel() } }
      _ = try job.backup(Scratch.line("plain", path), to: backup)
      #expect(backup.items.count < 20)
      #expect(!job.hasFailed)
    }
  }

  /// Cancels a job from another thread.
  final class Cancelled: Sendable {
    private let moment: ContinuousClock.Instant

    init(_ job: MiniJob, after seconds: Double) {
      moment = ContinuousClock.now + .seconds(seconds)
      let moment = moment
      Thread.detachNewThread {
        while ContinuousClock.now < moment { usleep(10_000) }
        job.cancel()
      }
    }

    /// Returns true if less than a second has passed since the cancellation. Call it as soon as the job has ended.
    func endedWithinASecond() -> Bool { ContinuousClock.now - moment < .seconds(1) }
  }
}
