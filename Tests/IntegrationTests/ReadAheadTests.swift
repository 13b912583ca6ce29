import FDPluginABI
import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Reading ahead and writing behind")
struct ReadAheadTests {
  func write(_ path: String, _ size: Int, _ byte: UInt8 = 7) {
    _ = FileManager.default.createFile(atPath: path, contents: Data(repeating: byte, count: size))
  }

  /// Makes nested directories, files of many sizes, and a symbolic link.
  func makeTree(_ local: String) throws {
    for number in 0..<60 {
      let folder = "\(local)/\(number % 7)/\(number % 3)/\(number)"
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      write(folder + "/small", number * 100, UInt8(number))
      write(folder + "/empty", 0)
      if number % 10 == 0 { write(folder + "/large", (1 << 20) * number / 5 + number, UInt8(number)) }
    }
    symlink("0/0", local + "/link")
  }

  static let options = ["", ":workers=0", ":readahead=0", ":workers=1", ":workers=64", ":readahead=5000"]

  @Test("reading ahead changes neither the records of a backup nor their order", arguments: options)
  func sameRecords(_ options: String) throws {
    let (local, path) = try Scratch.folder()
    try makeTree(local)
    func backup(_ options: String) throws -> MemoryBackup {
      let backup = MemoryBackup()
      let counts = try withJob { try $0.backup(Scratch.line("plain", path, options), to: backup) }
      #expect(counts?.failed == 0)
      return backup
    }
    let (plain, other) = (try backup(":workers=0"), try backup(options))
    #expect(plain.paths == other.paths)
    #expect(zip(plain.items, other.items).allSatisfy { $0.data == $1.data })
  }

  @Test("a restore with any number of workers and any read-ahead has the same result", arguments: options)
  func sameRestore(_ options: String) throws {
    let (local, path) = try Scratch.folder()
    try makeTree(local + "/tree")
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("plain", path + "/tree"), to: saved) }
    var place = RestoreOptions()
    place.prefix = Array((path + "/to").utf8)
    try withJob { job throws in
      #expect(try saved.restore(job, Scratch.line("plain", "", options), place).failed == 0)
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
    }
    try Scratch.remount("plain")
    let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/to" + path + "/tree")
    #expect(comparison.status == 0, "\(comparison.output.suffix(2000))")
  }

  @Test(
    "a backup makes no calls for excluded entries, and at most one, for attributes, for an unchanged entry",
    arguments: [("dated", 0), ("check", 200)])
  func callsForNothing(_ attributes: String, _ expected: Int) throws {
    let (local, path) = try Scratch.folder()
    for number in 0..<200 { write("\(local)/old-\(number)", 5000) }
    // The file daemon compares whole seconds.
    nextSecond()
    let since = time(nil)
    for number in 0..<200 { write("\(local)/left-out-\(number)", 5000) }
    write(local + "/new", 5000)
    func calls() throws -> [String: Int] {
      let text = try run("gluster", "--mode=script", "volume", "profile", "plain", "info", "incremental").output
      // The last two columns of the table are the number of calls and the name of the call.
      let lines = text.split(separator: "\n").map { $0.split(separator: " ") }.filter { $0.count > 4 }
      return lines.reduce(into: [:]) { calls, line in calls[String(line.last!), default: 0] += Int(line[line.count - 2]) ?? 0 }
    }
    #expect(try run("gluster", "--mode=script", "volume", "profile", "plain", "start").status == 0)
    defer { _ = try? run("gluster", "--mode=script", "volume", "profile", "plain", "stop") }
    _ = try calls()
    var options = MiniJob.Options()
    (options.level, options.since, options.excludes) = (UInt8(ascii: "I"), since, ["*/left-out-*"])
    let backup = MemoryBackup()
    _ = try withJob(options) { try $0.backup(Scratch.line("plain", path, ":attributes=\(attributes)"), to: backup) }
    #expect(backup.paths == [path + "/new", path])
    let asked = try calls()
    #expect(asked["READDIRP", default: 0] > 0)
    #expect(expected..<(expected + 12) ~= asked["GETXATTR", default: 0], "\(asked)")
    for call in ["READ", "OPEN", "STAT", "LOOKUP"] { #expect(asked[call, default: 0] < 12, "\(call) of \(asked)") }
  }

  /// An entry made by hand.
  func item(_ type: Int, _ path: String, mode: mode_t, link: String = "", time: Int = 1_500_000_000, data: [UInt8] = [])
    -> MemoryBackup.Item
  {
    var status = stat()
    (status.st_mode, status.st_nlink, status.st_size) = (mode, 1, data.count)
    status.st_mtim.tv_sec = time
    return .init(entry: SavedEntry(type: type, path: Array(path.utf8), link: Array(link.utf8), status: status), data: data)
  }

  @Test("a restore keeps the order of dependent entries: repeated names, and links to files still being written")
  func order() throws {
    let (local, path) = try Scratch.folder()
    let large = [UInt8](repeating: 9, count: 20 << 20)
    let items = [
      item(FD_FT_REG, path + "/first", mode: S_IFREG | 0o644, data: large),
      item(FD_FT_LNKSAVED, path + "/a/second", mode: S_IFREG | 0o644, link: path + "/first"),
      item(FD_FT_REG, path + "/again", mode: S_IFREG | 0o644, data: large),
      item(FD_FT_LNK, path + "/again", mode: S_IFLNK | 0o777, link: "target"),
      item(FD_FT_REG, path + "/again", mode: S_IFREG | 0o600, data: Array("last".utf8)),
      // A directory in the place of a file that is still being written, and a file in the place of such a directory.
      item(FD_FT_REG, path + "/file", mode: S_IFREG | 0o644, data: large),
      item(FD_FT_REG, path + "/file/below", mode: S_IFREG | 0o644, data: [1]),
      item(FD_FT_REG, path + "/b/c/large", mode: S_IFREG | 0o644, data: large),
      item(FD_FT_REG, path + "/b/c", mode: S_IFREG | 0o644, data: [1]),
      item(FD_FT_DIREND, path + "/b/c", mode: S_IFDIR | 0o755, time: 1_400_000_001),
      item(FD_FT_DIREND, path + "/b", mode: S_IFDIR | 0o755, time: 1_400_000_002),
      item(FD_FT_DIREND, path + "/a", mode: S_IFDIR | 0o755, time: 1_400_000_003),
      item(FD_FT_DIREND, path, mode: S_IFDIR | 0o755, time: 1_400_000_004),
    ]
    try withJob { job throws in
      #expect(try MemoryBackup(items).restore(job, Scratch.line()).failed == 2)
      let told = job.messages.filter { $0.severity == .error }.map(\.text)
      #expect(told.count == 2 && told[0].contains(path + "/file/below: ") && told[1].contains(path + "/b/c: "), "\(told)")
    }
    try Scratch.remount("plain")
    func status(_ name: String) throws -> stat {
      var status = stat()
      try #require(lstat(local + name, &status) == 0, "\(name)")
      return status
    }
    #expect(try status("/first").st_ino == status("/a/second").st_ino && status("/first").st_size == large.count)
    #expect(try String(contentsOfFile: local + "/again", encoding: .utf8) == "last" && status("/again").st_mode == S_IFREG | 0o600)
    #expect(try status("/file").st_size == large.count && status("/b/c/large").st_size == large.count)
    for (name, time) in [("/b/c", 1_400_000_001), ("/b", 1_400_000_002), ("/a", 1_400_000_003), ("", 1_400_000_004)] {
      #expect(try status(name).st_mtim.tv_sec == time, "\(name)")
    }
  }

  @Test("a cancelled restore ends at once while its brick hangs")
  func cancelRestore() throws {
    let (local, path) = try Scratch.folder(on: "small")
    defer { try? FileManager.default.removeItem(atPath: local) }
    let brick = try Scratch.firstBrick("small")
    defer { kill(brick, SIGCONT) }
    let items = (0..<3000).map { item(FD_FT_REG, "\(path)/\($0)", mode: S_IFREG | 0o644, data: [1]) }
    try withJob { job throws in
      job.onMessage = nil
      var restore = Restore(job, Scratch.line("small"))
      var cancelled: ConnectionTests.Cancelled?
      for (number, item) in items.enumerated() {
        if number == 20 {
          kill(brick, SIGSTOP)
          cancelled = ConnectionTests.Cancelled(job, after: 0.5)
        }
        guard try restore.restore(item.entry, length: 1, { write in _ = item.data.withUnsafeBytes { write(0, $0) } }) else { break }
      }
      #expect(restore.end().entries < items.count)
      #expect(cancelled?.endedWithinASecond() == true)
      #expect(!job.hasFailed)
    }
  }
}
