import ArgumentParser
import Dispatch
import FDPluginABI
import Glibc
import Gluster
import MiniDaemon
import Synchronization

/// Measures one job of the module, or a bare loop of libgfapi calls to compare it with. `scripts/bench` runs it.
///
/// Prints one line: seconds, entries, bytes, failures, and the process's peak resident size in KiB.
@main struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gfapi-fd-bench", abstract: "Measures one job, or a bare loop of calls. scripts/bench runs it.",
    subcommands: [Backup.self, Restore.self, Crawl.self, ReadAll.self, Read.self, Write.self])

  struct Measured {
    var entries = 0
    var bytes = 0
    var failed = 0
  }

  static func measure(_ body: () throws -> Measured) throws {
    let began = ContinuousClock.now
    let measured = try body()
    let elapsed = (ContinuousClock.now - began).components
    let seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
    print(seconds, measured.entries, measured.bytes, measured.failed, peak())
    // End the process without disconnecting, which takes 10 s and is not part of a job.
    fflush(nil)
    _exit(measured.failed == 0 ? 0 : 1)
  }

  /// Returns the process's peak resident size, in KiB.
  private static func peak() -> Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss
  }
}

struct JobArguments: ParsableArguments {
  @Argument(help: "The plugin line.") var line: String
  @Option var module = "build/gfapi-fd.so"

  func job(_ options: MiniJob.Options = MiniJob.Options()) throws -> MiniJob {
    let job = try MiniJob(try PluginModule(module), options)
    job.onMessage = { message in
      if message.severity != .info { _ = (message.text + "\n").withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) } }
    }
    return job
  }
}

/// Takes a backup and discards it, except for what an accurate job needs to know about it.
final class Nowhere: BackupTarget {
  private let catalog: Catalog?
  init(_ catalog: Catalog?) { self.catalog = catalog }
  func begin(_ entry: SavedEntry) {}
  func data(_ bytes: UnsafeRawBufferPointer) {}
  func end(_ entry: SavedEntry) { catalog?.add(entry) }
}

struct Backup: ParsableCommand {
  @OptionGroup var arguments: JobArguments
  @Option(help: "Only what changed since this time, in seconds since 1970.") var since: Int?
  @Option(help: "The unique name of the job: NAME.DATE_HH.MM.SS_NN.") var job: String?
  @Option(help: "The unique name of the job that it is compared with.") var previous: String?
  @Option(help: "Run in accurate mode, with the entries of this file.") var accurate: String?
  @Option(help: "Write the entries that were saved to this file, for --accurate.") var catalog: String?

  func run() throws {
    var options = MiniJob.Options()
    if let since { (options.level, options.since) = (UInt8(ascii: "I"), since) }
    (options.jobName, options.previousJobName) = (job, previous)
    options.accurate = try accurate.map(Catalog.entries)
    let job = try arguments.job(options)
    let saved = try catalog.map(Catalog.init)
    try Bench.measure {
      let counts = try job.backup(arguments.line, to: Nowhere(saved)) ?? JobCounts()
      job.end()
      return Bench.Measured(
        entries: counts.entries, bytes: counts.bytes, failed: counts.failed + (job.hasFailed ? 1 : 0))
    }
  }
}

/// Restores generated files. Their data are not zeros.
struct Restore: ParsableCommand {
  @OptionGroup var arguments: JobArguments
  @Option(help: "The directory.") var directory: String
  @Option(help: "How many directories in it the files are in; 0: they are in it themselves.") var directories = 0
  @Option(help: "In each directory.") var files: Int
  @Option(help: "Of each file, in bytes.") var size: Int

  func run() throws {
    let job = try arguments.job()
    let data = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    data.initializeMemory(as: UInt8.self, repeating: 0x5a)
    var status = stat()
    (status.st_nlink, status.st_uid, status.st_gid) = (1, 1000, 1000)
    status.st_mtim.tv_sec = 1_600_000_000
    try Bench.measure {
      var restore = MiniDaemon.Restore(job, arguments.line)
      func restoreDirectory(_ path: String, files: Int, _ restore: inout MiniDaemon.Restore) throws {
        (status.st_mode, status.st_size, status.st_blocks) = (S_IFREG | 0o644, size, (size + 511) / 512)
        for number in 0..<files {
          let type = size > 0 ? FD_FT_REG : FD_FT_REGE
          let entry = SavedEntry(type: type, path: Array("\(path)/\(number)".utf8), status: status)
          _ = try restore.restore(entry, length: size) { write in
            for offset in stride(from: 0, to: size, by: data.count) {
              _ = write(offset, UnsafeRawBufferPointer(rebasing: data[..<min(data.count, size - offset)]))
            }
          }
        }
        (status.st_mode, status.st_size) = (S_IFDIR | 0o755, 0)
        _ = try restore.restore(SavedEntry(type: FD_FT_DIREND, path: Array(path.utf8), status: status))
      }
      for number in 0..<directories { try restoreDirectory("\(directory)/\(number)", files: files, &restore) }
      try restoreDirectory(directory, files: directories == 0 ? files : 0, &restore)
      let counts = restore.end()
      job.end()
      let errors = job.messages.count { $0.severity != .info }
      return Bench.Measured(entries: counts.entries, bytes: counts.bytes, failed: errors)
    }
  }
}

/// Lists a tree with readdirplus, one directory after another, and does nothing else.
struct Crawl: ParsableCommand {
  @Argument(help: "gluster://server/volume/directory") var uri: String

  func run() throws {
    try Bench.measure {
      let volume = try Volume(try VolumeURI(uri))
      var measured = Bench.Measured()
      func crawl(_ object: Object) throws {
        let directory = try object.openDirectory()
        while let entry = try directory.next() {
          measured.entries += 1
          if let found = entry.found, found.status.st_mode & S_IFMT == S_IFDIR { try crawl(found.object) }
        }
      }
      try crawl(try volume.lookUp(volume.uri.directory).object)
      return measured
    }
  }
}

/// Lists a tree with readdirplus and makes two calls for each regular file: one reads its data, the other lists its attributes' names.
struct ReadAll: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "read-all")

  @Argument(help: "gluster://server/volume/directory") var uri: String
  @Option(help: "How many calls are made at once.") var threads = 1

  func run() throws {
    try Bench.measure {
      let volume = try Volume(try VolumeURI(uri))
      var (measured, files) = (Bench.Measured(), [Object]())
      var largest = 1
      func crawl(_ object: Object) throws {
        let directory = try object.openDirectory()
        while let entry = try directory.next() {
          measured.entries += 1
          let (object, status) = try entry.found ?? object.lookUp(entry.name)
          if status.st_mode & S_IFMT == S_IFDIR { try crawl(object) }
          if status.st_mode & S_IFMT == S_IFREG { files.append(object) }
          largest = max(largest, Int(status.st_size))
        }
      }
      try crawl(try volume.lookUp(volume.uri.directory).object)
      let (size, all) = (largest, files)
      measured.bytes = try onThreads(threads, all.count) { next in
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 4096)
        defer { piece.deallocate() }
        var bytes = 0
        while let index = next() {
          bytes += try all[index].read(into: piece, at: 0)
          _ = try all[index].extendedAttributeNames()
        }
        return bytes
      }
      return measured
    }
  }
}

/// Reads one file, or parts of it.
struct Read: ParsableCommand {
  @Argument(help: "gluster://server/volume/file") var uri: String
  @Option(help: "How many bytes one call reads.") var piece = 1 << 20
  @Option(help: "How many calls are made at once.") var threads = 1
  @Option(help: "The number of a part to read; without this option: the whole file.") var part: [Int] = []
  @Option(help: "The size of a part, in bytes.") var partSize = 64 << 20

  private final class Shared: @unchecked Sendable {
    // Several threads may read an open file at once.
    let file: File
    init(_ file: consuming File) { self.file = file }
  }

  func run() throws {
    let (count, partSize) = (piece, partSize)
    try Bench.measure {
      let volume = try Volume(try VolumeURI(uri))
      let found = try volume.lookUp(volume.uri.directory)
      let (size, shared) = (Int(found.status.st_size), Shared(try found.object.openForReading()))
      let ranges = part.isEmpty ? [0..<size] : part.map { $0 * partSize..<min(($0 + 1) * partSize, size) }
      let pieces = ranges.flatMap { range in
        stride(from: range.lowerBound, to: range.upperBound, by: count).map { $0..<min($0 + count, range.upperBound) }
      }
      let bytes = try onThreads(threads, pieces.count) { next in
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 4096)
        defer { piece.deallocate() }
        var bytes = 0
        while let index = next() {
          var offset = pieces[index].lowerBound
          while offset < pieces[index].upperBound {
            let rest = UnsafeMutableRawBufferPointer(rebasing: piece[..<(pieces[index].upperBound - offset)])
            let got = try shared.file.read(into: rest, at: offset)
            if got == 0 { break }
            offset += got
          }
          bytes += offset - pieces[index].lowerBound
        }
        return bytes
      }
      return Bench.Measured(entries: 1, bytes: bytes)
    }
  }
}

/// Writes one file by calls of 1 MiB, one after another.
struct Write: ParsableCommand {
  @Argument(help: "gluster://server/volume/directory") var uri: String
  @Option var name: String
  @Option var size: Int

  func run() throws {
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    piece.initializeMemory(as: UInt8.self, repeating: 0x5a)
    try Bench.measure {
      let volume = try Volume(try VolumeURI(uri))
      let created = try volume.lookUp(volume.uri.directory).object.createFile(name.utf8, mode: 0o644)
      for offset in stride(from: 0, to: size, by: piece.count) {
        try created.file.write(UnsafeRawBufferPointer(rebasing: piece[..<min(piece.count, size - offset)]), at: offset)
      }
      return Bench.Measured(entries: 1, bytes: size)
    }
  }
}

/// Shares numbers from 0 on among threads.
///
/// - Parameters:
///   - count: how many numbers there are.
///   - body: runs on each thread. Its argument returns the next number, and nil at the end.
/// - Returns: the sum of what `body` has returned.
func onThreads(_ threads: Int, _ count: Int, _ body: @escaping @Sendable (() -> Int?) throws -> Int) throws -> Int {
  final class State: Sendable {
    let next = Atomic(0)
    let result = Mutex<Result<Int, any Error>>(.success(0))
    let ended = DispatchSemaphore(value: 0)
  }
  let state = State()
  for _ in 0..<threads {
    onOwnThread {
      let mine = Result {
        try body {
          let number = state.next.add(1, ordering: .relaxed).oldValue
          return number < count ? number : nil
        }
      }
      state.result.withLock { result in
        result = result.flatMap { sum in mine.map { sum + $0 } }
      }
      state.ended.signal()
    }
  }
  for _ in 0..<threads { state.ended.wait() }
  return try state.result.withLock { try $0.get() }
}
