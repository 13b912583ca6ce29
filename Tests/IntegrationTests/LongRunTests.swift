import Foundation
import Gluster
import Locks
import MiniDaemon
import Testing
import TestSupport

/// Many jobs in one process, as in a daemon that runs for weeks.
@Suite("Many jobs in one process", .serialized)
struct LongRunTests {
  /// A second event thread outlives the memory of the connection by a moment, and on a busy machine ends the process.
  @Test("a connection has one event thread of libgfapi, on each kind of volume")
  func oneEventThread() throws {
    // Mounting makes the volumes.
    for kind in Scratch.kinds { _ = try Scratch.mount(kind) }
    // Wait until the connections of earlier tests have ended.
    _ = try ProcessUsage.settled(getpid())
    let volumes = try Scratch.kinds.map { try Volume(VolumeURI("gluster://scratch/\($0)".utf8)) }
    for volume in volumes { _ = try volume.root() }
    let threads = try ProcessUsage.threads(getpid())
    #expect(threads.values.count { $0.hasPrefix("glfs_epoll") } == volumes.count, "\(threads)")
  }

  func makeTree(_ kind: String) throws -> String {
    let (local, path) = try Scratch.folder(on: kind)
    let commands =
      "cd '\(local)' && for d in 1 2 3; do mkdir $d; for n in $(seq 20); do head -c $((n * 1000)) /dev/urandom > $d/$n; done; done; ln -s 1 link"
    #expect(try run("sh", "-c", commands).status == 0)
    return path
  }

  func job(_ kind: String, _ path: String, _ number: Int) throws {
    let saved = MemoryBackup()
    let backup = try withJob { try $0.backup(Scratch.line(kind, path), to: saved) }
    #expect(backup?.entries == 65 && backup?.failed == 0)
    guard number % 4 == 0 else { return }
    var options = RestoreOptions()
    options.prefix = Array("\(path)-\(number)".utf8)
    #expect(try withJob { try saved.restore($0, Scratch.line(kind, path), options) }.failed == 0)
  }

  @Test("jobs leave no thread and no open file behind, in a row and side by side")
  func nothingLeft() throws {
    let path = try makeTree("plain")
    for number in 0..<10 { try job("plain", path, number) }
    let first = try ProcessUsage.settled(getpid())
    let rounds = Soak.rounds(20, 500)
    for number in 10..<rounds { try job("plain", path, number) }
    let inARow = try ProcessUsage.settled(getpid())
    let group = DispatchGroup()
    for number in 1000..<1020 {
      DispatchQueue(label: "job").async(group: group) { #expect(throws: Never.self) { try job("plain", path, number) } }
    }
    #expect(group.wait(timeout: .now() + 120) == .success)
    let last = try ProcessUsage.settled(getpid())
    print("after 10 jobs: \(first); after all in a row: \(inARow); after 20 at once: \(last)")
    for usage in [inARow, last] {
      #expect(usage.descriptors <= first.descriptors + 2, "\(first); \(inARow); \(last)")
      // The queue that runs the jobs keeps threads of its own.
      #expect(usage.threads <= first.threads + 30, "\(first); \(inARow); \(last)")
      // libgfapi never frees some 150 KiB for each connection, most of it stacks of threads that it does not join.
      #expect(Soak.isSanitized || usage.memory <= first.memory + 30_000 + rounds * 300, "\(first); \(inARow); \(last)")
    }
  }

  @Test("a job cancelled at any moment ends within two seconds, and leaves no connection", arguments: ["plain", "replicated"])
  func cancelled(_ kind: String) throws {
    let path = try makeTree(kind)
    let saved = MemoryBackup()
    // The jobs that made each connection, by connection.
    var stories = Dictionary(uniqueKeysWithValues: try ProcessUsage.clients(getpid()).map { ($0, "before") })
    _ = try withJob { try $0.backup(Scratch.line(kind, path), to: saved) }
    var random = Random(seed: 7)
    for number in 0..<Soak.rounds(10, 50) {
      let delay = UInt32.random(in: 0..<200_000, using: &random)
      try withJob { job throws in
        let cancelled = Mutex(ContinuousClock.now)
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
          usleep(delay)
          cancelled.withLock { $0 = .now }
          job.cancel()
          done.signal()
        }
        if number % 2 == 0 {
          _ = try job.backup(Scratch.line(kind, path), to: MemoryBackup())
        } else {
          var options = RestoreOptions()
          options.prefix = Array("\(path)-cancelled-\(number)".utf8)
          _ = try saved.restore(job, Scratch.line(kind, path), options)
        }
        let ended = ContinuousClock.now
        done.wait()
        // The job may have ended before it was cancelled.
        #expect(ended - cancelled.withLock { $0 } < .seconds(2), "\(number) \(delay)")
        #expect(!job.hasFailed || job.isCancelled, "\(job.messages)")
        for client in try ProcessUsage.clients(getpid()) where stories[client] == nil {
          stories[client] = "\(number) \(delay): \(job.messages)"
        }
      }
    }
    #expect(try withJob { try $0.backup(Scratch.line(kind, path), to: MemoryBackup()) }?.failed == 0)
    // A connection takes ten seconds to end.
    var left: [String] = []
    #expect(
      try eventually(within: 60) {
        left = try ProcessUsage.clients(getpid()).map { stories[$0] ?? "another" }.filter { $0 != "before" }
        return left.isEmpty
      }, "connections are left: \(left)")
  }
}

@Suite("Many entries")
struct ManyEntriesTests {
  @Test("a backup and a restore of ten times as many entries need little more memory", .enabled(if: !Soak.isSanitized))
  func memory() throws {
    let (_, path) = try Scratch.folder()
    /// Returns the peak memory of the tool in a restore and in a backup of so many files, in KiB.
    func peaks(_ files: Int) throws -> [Int] {
      let archive = try Scratch.temporaryFile(".pax")
      defer { try? FileManager.default.removeItem(atPath: archive) }
      let script = """
        import io, tarfile
        archive = tarfile.open('\(archive)', 'w', format=tarfile.PAX_FORMAT)
        for i in range(\(files)):
          info = tarfile.TarInfo('tree/directory-%04d/file-with-a-longer-name-%07d' % (i // 1000, i))
          info.size = 100
          archive.addfile(info, io.BytesIO(bytes(range(100))))
        archive.close()
        """
      #expect(try run("python3", "-c", script).status == 0)
      let place = "\(path)/\(files)"
      let restore = try peakMemory(Scratch.tool, "restore", archive, Scratch.line(), "--where", place)
      return [restore, try peakMemory(Scratch.tool, "backup", Scratch.line("plain", place), "-o", "/dev/null")]
    }
    let many = Soak.rounds(10_000, 1_000_000)
    let (first, last) = (try peaks(many / 10), try peaks(many))
    print("\(many / 10) and \(many) files, restore and backup: \(first) KiB, \(last) KiB")
    // Allow for the inodes that libgfapi remembers, for entries that are being transferred, and for some 40 bytes an entry.
    for (first, last) in zip(first, last) { #expect(last - first < (32 << 10) + many * 40 / 1024, "\(first) KiB, \(last) KiB") }
  }
}
