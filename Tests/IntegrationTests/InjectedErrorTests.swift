import FDPluginABI
import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Injected errors of a volume", .serialized)
struct InjectedErrorTests {
  /// Runs `body` while each call of one kind fails on the brick of the small volume.
  func failing<R>(_ call: String, _ body: () throws -> R) throws -> R { try Scratch.withErrors(in: call, body) }

  @Test(
    "a backup reports each entry for which a call fails, with path and reason, and goes on",
    arguments: [
      ("read", "/file", "(glfs_h_anonymous_read)"), ("read", "/large", "(glfs_pread)"), ("opendir", "", "(glfs_h_opendir)"),
      ("readdirp", "", "(glfs_xreaddirplus_r)"),
      ("readlink", "/link", "(glfs_h_readlink)"), ("getxattr", "/file", "was not saved"), ("open", "/large", "(glfs_"),
    ])
  func backup(_ call: String, _ name: String, _ words: String) throws {
    let (local, path) = try Scratch.folder(on: "small")
    defer { try? FileManager.default.removeItem(atPath: local) }
    // Larger than the data that the client gets along with a look-up.
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data(repeating: 7, count: 200_000))
    // Larger than a file that is read without opening it.
    _ = FileManager.default.createFile(atPath: local + "/large", contents: Data(repeating: 7, count: 1_100_000))
    try FileManager.default.createSymbolicLink(atPath: local + "/link", withDestinationPath: "target")
    try failing(call) {
      let backup = MemoryBackup()
      try withJob { job throws in
        let counts = try #require(try job.backup(Scratch.line("small", path), to: backup))
        let told = job.messages.filter { $0.severity == .error || $0.severity == .notSaved }
        #expect(told.contains { $0.text.contains(path + name + ":") && $0.text.contains(words) }, "\(job.messages)")
        #expect(!job.hasFailed && !job.messages.last!.text.contains(" 0 failed"))
        #expect(counts.failed > 0 || call == "getxattr")
      }
      // The base directory comes last whatever happened before.
      #expect(backup.paths.last == path)
    }
  }

  @Test("the next incremental backup saves files that could not be read, and each failed entry is counted once")
  func unreadData() throws {
    let (local, path) = try Scratch.folder(on: "small")
    for (name, size) in [("small", 10), ("large", 3_000_000)] {
      _ = FileManager.default.createFile(atPath: local + "/" + name, contents: Data(repeating: 7, count: size))
    }
    try FileManager.default.linkItem(atPath: local + "/small", toPath: local + "/link")
    nextSecond()
    var chain = Chain(Scratch.line("small", path), abi: .bacula9)
    try failing("read") { try chain.backUp() }
    let counts = chain.messages.compactMap { $0.text.firstMatch(of: /(\d+) entries and .* (\d+) failed/) }.first
    #expect(counts?.1 == "1" && counts?.2 == "3", "\(chain.messages)")
    nextSecond()
    try chain.backUp(accurate: false)
    #expect(Set(chain.backedUp) == Set(["small", "link", "large"].map { "\(path)/\($0)" }), "\(chain.messages)")
    try chain.backUp(accurate: false)
    #expect(chain.backedUp == [])
    try FileManager.default.removeItem(atPath: local)
  }

  @Test("a backup does not read the data of unchanged files")
  func unchanged() throws {
    let (local, path) = try Scratch.folder(on: "small")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data(repeating: 7, count: 200_000))
    var options = MiniJob.Options()
    options.level = UInt8(ascii: "I")
    options.since = Int(Date().timeIntervalSince1970) + 3600
    // The earlier job that the incremental one is compared with.
    _ = try withJob { try $0.backup(Scratch.line("small", path), to: MemoryBackup()) }
    try failing("open") {
      try withJob(options) { job throws in
        #expect(try job.backup(Scratch.line("small", path), to: MemoryBackup())?.failed == 0)
        #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
      }
    }
  }

  @Test("an accurate backup from a list does not report unread entries as deleted", arguments: [ABI.bareos26, .bacula9])
  func unreadListed(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try FileManager.default.createDirectory(atPath: local + "/directory", withIntermediateDirectories: true)
    let names = ["/directory/", "/directory/file", "/deleted"].map { path + $0 }
    let list = try Scratch.temporaryFile(".list")
    let lines = ["NEW \(path.dropFirst())/directory", "DELETE \(path.dropFirst())/deleted"]
    try (lines.joined(separator: "\n") + "\n").write(toFile: list, atomically: true, encoding: .utf8)
    var options = MiniJob.Options()
    options.level = UInt8(ascii: "I")
    options.accurate = Dictionary(uniqueKeysWithValues: names.map { (Array($0.utf8), (mtime: 0, size: 0, delta: 0)) })
    try failing("opendir") {
      try withJob(options, abi: abi) { job throws in
        _ = try job.backup(Scratch.line("small", path, ":gffilelist=\(list)"), to: MemoryBackup())
        #expect(job.messages.contains { $0.text.contains(path + "/directory: the directory cannot be read") }, "\(job.messages)")
        #expect(job.deleted == [Array((path + "/deleted").utf8)])
      }
    }
  }

  @Test("an accurate backup does not report entries of an unreadable directory as deleted", arguments: [ABI.bareos26, .bacula9, .bacula15])
  func unread(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try FileManager.default.createDirectory(atPath: local + "/directory", withIntermediateDirectories: true)
    let names = ["", "/directory/", "/directory/file", "/directory/below/", "/gone"].map { path + $0 }
    var options = MiniJob.Options()
    options.level = UInt8(ascii: "I")
    options.accurate = Dictionary(uniqueKeysWithValues: names.map { (Array($0.utf8), (mtime: 0, size: 0, delta: 0)) })
    options.accurate![Array("/elsewhere".utf8)] = (0, 0, 0)
    try withJob(options, abi: abi) { job throws in
      _ = try job.backup(Scratch.line("small", path), to: MemoryBackup())
      let deleted = Set(job.deleted.map { String(decoding: $0, as: UTF8.self) })
      #expect(deleted == Set(["/directory/file", "/directory/below/", "/gone"].map { path + $0 } + ["/elsewhere"]))
    }
    // The base directory cannot be read, so nothing is known about the entries in it.
    try failing("opendir") {
      try withJob(options, abi: abi) { job throws in
        _ = try job.backup(Scratch.line("small", path), to: MemoryBackup())
        #expect(job.deleted.map { String(decoding: $0, as: UTF8.self) } == ["/elsewhere"], "\(job.messages)")
      }
    }
  }

  @Test("for Bacula, an additional hard link is not saved as a link if the first name could not be read")
  func firstNameFails() throws {
    let (local, path) = try Scratch.folder(on: "small")
    #expect(FileManager.default.createFile(atPath: local + "/a", contents: Data(repeating: 7, count: 200_000)))
    #expect(link(local + "/a", local + "/b") == 0)
    try failing("read") {
      let backup = MemoryBackup()
      try withJob(abi: .bacula9) { job throws in
        let counts = try #require(try job.backup(Scratch.line("small", path), to: backup))
        #expect(counts.failed == 2)
      }
      #expect(!backup.items.contains { $0.entry.type == FD_FT_LNKSAVED })
    }
  }

  @Test("a restore reports each entry that it cannot restore completely", arguments: ["write", "mkdir", "symlink", "setxattr", "setattr"])
  func restore(_ call: String) throws {
    let (local, path) = try Scratch.folder()
    try FileManager.default.createDirectory(atPath: local + "/directory", withIntermediateDirectories: true)
    _ = FileManager.default.createFile(atPath: local + "/directory/file", contents: Data(repeating: 7, count: 200_000))
    #expect(try run("setfattr", "-n", "user.name", "-v", "value", local + "/directory/file").status == 0)
    #expect(link(local + "/directory/file", local + "/directory/second") == 0)
    try FileManager.default.createSymbolicLink(atPath: local + "/link", withDestinationPath: "target")
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("plain", path), to: saved) }
    try failing(call) {
      try withJob { job throws in
        let counts = try saved.restore(job, Scratch.line("small"))
        #expect(counts.entries == saved.items.count)
        let name = call == "symlink" ? "/link" : call == "mkdir" ? "/directory" : "/directory/file"
        #expect(job.messages.contains { $0.severity == .error && $0.text.contains(path + name) }, "\(job.messages)")
        // Errors that appear only at the end fail the job, after every entry has been tried.
        let fatal = job.messages.filter { $0.severity == .fatal }
        #expect(fatal.count <= 1 && fatal.allSatisfy { $0.text.contains("entries failed, see the errors above") }, "\(fatal)")
        #expect(!job.messages.last!.text.contains(" 0 failed"))
        // A file is reported and counted under each of its names.
        if call == "write" || call == "setxattr" {
          for name in ["file", "second"] {
            #expect(job.messages.contains { $0.severity == .error && $0.text.contains("\(path)/directory/\(name):") }, "\(job.messages)")
          }
          #expect(job.messages.last!.text.contains("\(saved.items.count - 2) entries restored"), "\(job.messages)")
          #expect(job.messages.last!.text.contains(" 2 failed"), "\(job.messages)")
        }
      }
    }
  }

  // MARK: Occasional errors

  struct Injected: Sendable, CustomStringConvertible {
    let call: String
    let error: String
    var description: String { "\(call) \(error)" }
  }

  /// The errors that Gluster's error-gen translator supports and that a brick may return.
  static let errors = ["EIO", "ENOENT", "EINTR", "EAGAIN", "ENOSPC"]

  /// Returns each call with one of the errors, in a long run with each of them.
  static func pairs(_ calls: [String]) -> [Injected] {
    calls.enumerated().flatMap { number, call in
      (Soak.isOn ? errors : [errors[number % errors.count]]).map { Injected(call: call, error: $0) }
    }
  }

  /// Runs `body` while one call in five of one kind fails on the brick of the small volume.
  func failingNowAndThen<R>(_ pair: Injected, _ body: () throws -> R) throws -> R {
    try Scratch.withErrors(in: pair.call, share: 20, error: pair.error, body)
  }

  /// Makes entries of all types in a folder of the small volume.
  func makeTree(_ local: String) throws {
    let commands = """
      cd '\(local)' && for d in 1 2 3; do mkdir $d; for n in $(seq 12); do head -c $((n * 3000)) /dev/urandom > $d/$n; done; done
      head -c 1200000 /dev/urandom > large; truncate -s 3M sparse; printf end >> sparse; ln -s 1/1 link; mkfifo fifo; ln 1/1 name
      setfattr -n user.a -v b 2/3 3; setfacl -m u:7:r 2/4
      """
    #expect(try run("sh", "-c", commands).status == 0)
  }

  /// Returns true if a message reports an entry, or a directory above it.
  func isTold(_ path: String, _ messages: [MiniJob.Message]) -> Bool {
    let told = messages.filter { $0.severity != .info }
    var above = path
    while !above.isEmpty {
      if told.contains(where: { $0.text.contains(above + ":") }) { return true }
      above = String(above[..<(above.lastIndex(of: "/") ?? above.startIndex)])
    }
    return false
  }

  @Test(
    "with occasional errors, a backup reports each entry that it does not save, and saves the others exactly",
    arguments: pairs(["lookup", "stat", "opendir", "readdirp", "open", "read", "getxattr", "readlink", "seek", "fstat"]))
  func backupNowAndThen(_ pair: Injected) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try makeTree(local)
    var contents: [String: [UInt8]] = [:]
    let names = try FileManager.default.subpathsOfDirectory(atPath: local)
    for name in names where name != "fifo" {
      contents[name] = (try? Data(contentsOf: URL(fileURLWithPath: local + "/" + name))).map(Array.init)
    }
    let saved = MemoryBackup()
    let (failed, messages) = try failingNowAndThen(pair) {
      try withJob { job throws in
        let counts = try job.backup(Scratch.line("small", path, ":timeout=10"), to: saved)
        return (counts?.failed ?? 0, job.messages)
      }
    }
    #expect(try run("rm", "-r", local).status == 0)
    // The job may fail to connect if the volume returns its root only now and then.
    if messages.contains(where: { $0.severity == .fatal }) {
      #expect(messages.contains { $0.severity == .fatal && $0.text.contains("(glfs_") }, "\(messages)")
      return
    }
    for name in names {
      let isTold = isTold(path + "/" + name, messages)
      guard let item = saved.item(path + "/" + name) else {
        #expect(isTold, "\(name) \(messages)")
        continue
      }
      guard item.entry.type == FD_FT_REG, let content = contents[name] else { continue }
      #expect(content == item.data || isTold, "\(name): \(content.count) \(item.data.count) \(messages)")
    }
    // The counts add up, except for entries that no listing returned: those in a directory that cannot be read.
    if !["lookup", "opendir", "readdirp"].contains(pair.call) {
      #expect(saved.items.count + failed >= names.count + 1, "\(saved.items.count) \(failed) \(names.count) \(messages)")
      #expect(saved.items.count <= names.count + 1)
    }
    let told = messages.count { $0.severity == .notSaved || $0.severity == .error }
    let countsNone = messages.last?.text.contains(" 0 failed") == true
    #expect((told == 0 && failed == 0) == countsNone, "\(messages)")
  }

  @Test(
    "with occasional errors, a restore reports each entry that differs, and restores the others exactly",
    arguments: pairs([
      "lookup", "create", "mkdir", "symlink", "mknod", "link", "write", "setattr", "setxattr", "open", "fsetattr", "truncate", "ftruncate",
    ])
      + [Injected(call: "write", error: "GF_ERROR_SHORT_WRITE")])
  func restoreNowAndThen(_ pair: Injected) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try makeTree(local)
    let saved = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("small", path), to: saved) }
    let (copy, place) = try Scratch.folder(on: "small", "copy")
    var options = RestoreOptions()
    options.prefix = Array(place.utf8)
    let (counts, messages) = try withJob { job throws in
      let counts = try failingNowAndThen(pair) { try saved.restore(job, Scratch.line("small", path, ":timeout=10"), options) }
      return (counts, job.messages)
    }
    let comparison = try run(Scratch.script("compare-trees"), local, copy + path)
    #expect(try run("rm", "-rf", local, copy).status == 0)
    let hasFailed = messages.contains { $0.severity == .fatal }
    // A restore that does not finish reports this with a fatal message.
    guard counts.entries == saved.items.count else {
      #expect(hasFailed, "\(messages)")
      return
    }
    for line in comparison.output.split(separator: "\n") where line.hasPrefix("b'") {
      let name = String(line.dropFirst(2).prefix { $0 != "'" })
      // A missing name is also a difference of the other name of the same file.
      let isOfLink = line.contains("': names: ") || line.contains("': first name: ")
      let names = isOfLink ? ["1/1", "name"] : [name]
      let isAnyTold = names.contains { isTold(place + path + "/" + $0, messages) }
      #expect(isAnyTold, "\(line) \(messages)")
    }
  }

  /// A sharded volume does this when two calls create a shard at once.
  @Test(
    "a file that a call now and then reports as missing, although it is there, is backed up and replaced all the same",
    arguments: ["read", "write", "rename"])
  func falselyMissing(_ call: String) throws {
    let (local, path) = try Scratch.folder(on: "small")
    try makeTree(local)
    let (copy, place) = try Scratch.folder(on: "small", "copy")
    var options = RestoreOptions()
    options.prefix = Array(place.utf8)
    let saved = MemoryBackup()
    func restore() throws {
      try withJob { job throws in
        #expect(try saved.restore(job, Scratch.line("small", path), options).entries == saved.items.count)
        #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
      }
    }
    func backUp() throws {
      try withJob { job throws in
        _ = try job.backup(Scratch.line("small", path), to: saved)
        #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
      }
    }
    func nowAndThen(_ body: () throws -> Void) throws { try Scratch.withSpacedErrors(in: call, error: "ENOENT", body) }
    if call == "read" { try nowAndThen(backUp) } else { try backUp() }
    try restore()
    if call != "read" { try nowAndThen(restore) }
    let comparison = try run(Scratch.script("compare-trees"), local, copy + path)
    #expect(comparison.status == 0, "\(comparison.output)")
    #expect(try run("rm", "-rf", local, copy).status == 0)
  }
}
