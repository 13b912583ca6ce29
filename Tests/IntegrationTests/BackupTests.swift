import FDPluginABI
import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Backup")
struct BackupTests {
  func write(_ path: String, _ text: String = "data") { _ = FileManager.default.createFile(atPath: path, contents: Data(text.utf8)) }
  func makeFolder(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  @Test("a directory comes after its content, the base directory last")
  func order() throws {
    let (local, path) = try Scratch.folder()
    try makeFolder(local + "/a/b/c")
    write(local + "/a/b/file")
    write(local + "/a/b/c/file")
    let backup = MemoryBackup()
    try withJob { job throws in
      #expect(try job.backup(Scratch.line("plain", path), to: backup)?.entries == 6)
      let told = job.messages.map(\.text)
      #expect(told.count == 3 && told[0].hasPrefix("gfapi: gfapi-fd 1.") && told[0].contains(", libgfapi 1"), "\(told)")
      #expect(
        told[0].hasSuffix(": backup of tcp scratch (default port), volume plain, directory \(path) (plain, 1 brick): full, by crawl"),
        "\(told)")
      #expect(
        told[1].hasPrefix("gfapi: 2 files, 4 directories, 0 symbolic links, 0 special files; 0 B of holes not fetched; in "), "\(told)")
      #expect(told[1].contains(" entries/s, ") && told[1].contains(" % of the time waiting for the "), "\(told)")
      #expect(told[2] == "gfapi: 6 entries and 8 bytes read, 0 unchanged, 0 excluded, 0 failed")
    }
    let paths = backup.paths
    #expect(paths.last == path)
    for (index, inner) in paths.enumerated() {
      for outer in paths where inner.hasPrefix(outer + "/") { #expect(index < paths.firstIndex(of: outer)!) }
    }
  }

  @Test("a backup does not enter an excluded directory")
  func excludes() throws {
    let (local, path) = try Scratch.folder()
    try makeFolder(local + "/no/inside")
    try makeFolder(local + "/yes")
    write(local + "/yes/file.tmp")
    write(local + "/yes/file")
    var options = MiniJob.Options()
    options.excludes = ["*/no", "*.tmp"]
    let backup = MemoryBackup()
    try withJob(options) { job throws in
      _ = try job.backup(Scratch.line("plain", path), to: backup)
      #expect(job.messages.last?.text.contains("2 excluded") == true)
    }
    #expect(backup.paths == [path + "/yes/file", path + "/yes", path])
  }

  @Test("a backup without recursion saves the entries of the base directory and goes no deeper")
  func noRecursion() throws {
    let (local, path) = try Scratch.folder()
    try makeFolder(local + "/directory/below")
    write(local + "/file")
    var options = MiniJob.Options()
    options.recurses = false
    let backup = MemoryBackup()
    _ = try withJob(options) { try $0.backup(Scratch.line("plain", path), to: backup) }
    #expect(Set(backup.paths) == [path + "/file", path + "/directory", path])
  }

  @Test("an incremental backup saves what changed since the last job, and nothing if nothing changed")
  func incremental() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/old")
    write(local + "/new")
    // ctime cannot be set. The since time of the job lies an hour ahead instead, so that the entries count as unchanged.
    var options = MiniJob.Options()
    options.level = UInt8(ascii: "I")
    options.since = Int(Date().timeIntervalSince1970) + 3600
    let future = timespec(tv_sec: options.since + 10, tv_nsec: 0)
    utimensat(AT_FDCWD, local + "/new", [future, future], 0)
    let backup = MemoryBackup()
    try withJob(options) { job throws in
      _ = try job.backup(Scratch.line("plain", path), to: backup)
      #expect(job.messages.last?.text.contains("2 unchanged") == true)
    }
    #expect(backup.paths == [path + "/new"])

    options.since += 3600
    let nothing = MemoryBackup()
    try withJob(options) { job throws in
      #expect(try job.backup(Scratch.line("plain", path), to: nothing)?.entries == 0)
      #expect(job.messages.allSatisfy { $0.severity == .info })
    }
    #expect(nothing.paths == [])
  }

  @Test("an incremental backup saves a file whose modification time was set back")
  func setBack() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/set-back")
    write(local + "/untouched")
    nextSecond()
    var options = MiniJob.Options()
    options.level = UInt8(ascii: "I")
    options.since = time(nil)
    let past = timespec(tv_sec: 1_000_000_000, tv_nsec: 0)
    #expect(utimensat(AT_FDCWD, local + "/set-back", [past, past], 0) == 0)
    let backup = MemoryBackup()
    _ = try withJob(options) { try $0.backup(Scratch.line("plain", path), to: backup) }
    #expect(backup.paths == [path + "/set-back"])
  }

  @Test(
    "a full and an accurate incremental backup together restore the content of the volume",
    arguments: [ABI.bareos21, .bareos26, .bacula9, .bacula15])
  func crawledChain(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    func change(_ script: String) throws {
      let result = try run("sh", "-ec", "cd '\(local)'; \(script)")
      try #require(result.status == 0, "\(result.output)")
    }
    try change(
      "mkdir -p a/b gone; echo 1 > a/one; echo 2 > a/b/two; echo 3 > gone/three; echo 4 > same; mkfifo fifo; touch -d @1000000000 a/b/two a/one"
    )
    try Scratch.setBack(local)
    var chain = Chain(Scratch.line("plain", path), abi: abi)
    try chain.backUp()
    try change("mv a moved; rm -r gone; echo more >> moved/one; mv fifo fifo2")
    try chain.backUp()
    #expect(!chain.backedUp.contains(path + "/same") && chain.backedUp.contains(path + "/moved/b/two"))
    let folder = try Scratch.folder()
    let difference = try chain.difference("plain", from: local, path, in: folder)
    #expect(difference.isEmpty, "\(difference)")
  }

  @Test("an accurate backup saves files that the catalog lacks or has with another time or size")
  func accurate() throws {
    let (local, path) = try Scratch.folder()
    for name in ["same", "other-time", "other-size", "unknown"] { write(local + "/" + name) }
    let all = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("plain", path), to: all) }
    var known: [[UInt8]: (mtime: Int, size: Int, delta: UInt32)] = [:]
    for item in all.items {
      let name = item.entry.type == FD_FT_DIREND ? item.entry.path + [0x2f] : item.entry.path
      known[name] = (item.entry.status.st_mtim.tv_sec, Int(item.entry.status.st_size), 0)
    }
    known[Array((path + "/other-time").utf8)]!.mtime -= 1
    known[Array((path + "/other-size").utf8)]!.size += 1
    known[Array((path + "/unknown").utf8)] = nil
    var options = MiniJob.Options()
    options.level = UInt8(ascii: "I")
    options.accurate = known
    let backup = MemoryBackup()
    _ = try withJob(options) { try $0.backup(Scratch.line("plain", path), to: backup) }
    #expect(Set(backup.paths) == ["other-time", "other-size", "unknown"].reduce(into: []) { $0.insert(path + "/" + $1) })
  }

  @Test("an estimate counts the entries and bytes that a backup would save")
  func estimate() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/file", String(repeating: "x", count: 1000))
    try FileManager.default.createSymbolicLink(atPath: local + "/link", withDestinationPath: "target")
    try withJob { job throws in
      var links: [String] = []
      let counts = job.estimate(Scratch.line("plain", path)) { entry in
        if entry.type == FD_FT_LNK { links.append(String(decoding: entry.link, as: UTF8.self)) }
      }
      #expect(counts?.entries == 3)
      #expect(counts?.bytes == 1000)
      #expect(links == ["target"])
    }
  }

  @Test("a backup reports an entry that was deleted before it was read, and goes on")
  func vanishing() throws {
    let (local, path) = try Scratch.folder()
    for number in 0..<50 { write(local + "/\(number)", String(repeating: "x", count: 4096)) }
    let backup = MemoryBackup()
    var removed = 0
    backup.onBegin = { entry in
      // Delete all files except the one that the daemon receives now. A few of them have been read ahead already.
      guard removed == 0 else { return }
      let told = String(decoding: entry.path, as: UTF8.self)
      for number in 0..<50 where told != "\(path)/\(number)" {
        try? FileManager.default.removeItem(atPath: local + "/\(number)")
        removed += 1
      }
    }
    try withJob { job throws in
      let counts = try #require(try job.backup(Scratch.line("plain", path, ":readahead=16384"), to: backup))
      // The daemon counts each record that reports a failure, and each of these has a message with path and reason.
      #expect(counts.failed > 0)
      let told = job.messages.filter { $0.severity == .notSaved }
      #expect(told.count == counts.failed)
      let said = "deleted before it was read"
      #expect(told.allSatisfy { $0.text.contains(path + "/") && $0.text.contains(said) && $0.text.contains("(glfs_") })
      #expect(counts.entries + counts.failed <= 51 && backup.paths.last == path)
    }
  }

  @Test("a backup and a restore write metrics for Prometheus; a failed or cancelled job is no success")
  func metrics() throws {
    let (local, path) = try Scratch.folder()
    for number in 1...3 { _ = FileManager.default.createFile(atPath: "\(local)/\(number)", contents: Data("data".utf8)) }
    let file = try Scratch.temporaryFile(".prom")
    func value(_ name: String, _ operation: String = "backup", _ more: String = "") throws -> String? {
      let text = try String(contentsOfFile: file, encoding: .utf8)
      let start = "gfapi_fd_\(name){operation=\"\(operation)\",volume=\"plain\",directory=\"\(path)\"\(more)} "
      return text.split(separator: "\n").first { $0.hasPrefix(start) }.map { String($0.dropFirst(start.count)) }
    }
    let line = Scratch.line("plain", path + ":metrics=\(file)")
    let backup = MemoryBackup()
    try withJob { job throws in _ = try job.backup(line, to: backup) }
    #expect(try value("last_run_success") == "1" && value("failed_entries") == "0" && value("bytes") == "12")
    #expect(try value("entries", "backup", ",type=\"file\"") == "3" && value("entries", "backup", ",type=\"directory\"") == "1")
    try withJob { job throws in _ = try backup.restore(job, line) }
    #expect(try value("last_run_success", "restore") == "1" && value("entries", "restore", ",type=\"any\"") == "4")
    // An estimate writes no metrics.
    try withJob { job throws in _ = job.estimate(line) { _ in } }
    #expect(try value("entries", "backup", ",type=\"file\"") == "3")
    let success = try value("last_success_time_seconds")
    try withJob { job throws in
      let cancelled = MemoryBackup()
      cancelled.onBegin = { _ in job.cancel() }
      _ = try job.backup(line, to: cancelled)
    }
    #expect(try value("last_run_success") == "0" && value("last_success_time_seconds") == success && success != nil)
    try withJob { job throws in _ = try job.backup(line, to: MemoryBackup()) }
    #expect(try value("last_run_success") == "1")
    // A backup of a missing directory writes metrics as well.
    let missing = Scratch.line("plain", path + "/missing:metrics=\(file)")
    try withJob { job throws in #expect(try job.backup(missing, to: MemoryBackup()) == nil) }
    let text = try String(contentsOfFile: file, encoding: .utf8)
    #expect(text.contains("gfapi_fd_last_run_success{operation=\"backup\",volume=\"plain\",directory=\"\(path)/missing\"} 0\n"), "\(text)")
    try withJob { job throws in
      _ = try job.backup(Scratch.line("plain", path + ":metrics=/nosuch/x.prom"), to: MemoryBackup())
      #expect(job.messages.count { $0.severity == .warning && $0.text.contains("metrics=/nosuch/x.prom: cannot be written") } == 1)
    }
  }

  @Test("a backup warns if entries of two volumes in one job have the same paths")
  func sameNames() throws {
    _ = try Scratch.mount("distributed")
    let (_, path) = try Scratch.folder()
    let (_, other) = try Scratch.folder(on: "distributed")
    for (lines, isTold) in [
      ([Scratch.line("plain", path), Scratch.line("distributed")], true),
      ([Scratch.line("plain", path), Scratch.line("distributed", other)], false),
      ([Scratch.line("plain", path), Scratch.line("plain")], false),
    ] {
      try withJob { job throws in
        for line in lines { _ = try job.backup(line, to: MemoryBackup()) }
        let told = job.messages.filter { $0.severity == .warning && $0.text.contains("are in one FileSet: ") }
        #expect(told.count == (isTold ? 1 : 0), "\(job.messages)")
      }
    }
  }

  @Test("a backup warns once about CheckFileChanges, with which Bareos looks for each file on its own disk")
  func looksForChanges() throws {
    let (local, path) = try Scratch.folder()
    for number in 1...3 { _ = FileManager.default.createFile(atPath: "\(local)/\(number)", contents: Data("x".utf8)) }
    var options = MiniJob.Options()
    options.looksForChanges = true
    try withJob(options) { job throws in
      #expect(try job.backup(Scratch.line("plain", path), to: MemoryBackup())?.entries == 4)
      let told = job.messages.filter { $0.severity == .warning }.map(\.text)
      #expect(told.count == 1 && told[0].contains("CheckFileChanges") && told[0].contains("remove the option"), "\(told)")
    }
  }

  @Test(
    "a backup of a changing tree saves untouched files exactly, and reports every file that it saves incompletely",
    arguments: ["plain", "distributed", "replicated"])
  func amidChanges(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    try makeFolder(local + "/still")
    try makeFolder(local + "/busy")
    var still: [String: [UInt8]] = [:]
    var random = Random(seed: 7)
    for number in 0..<200 {
      let content = (0..<Int.random(in: 0..<40_000, using: &random)).map { _ in UInt8.random(in: 1...255, using: &random) }
      #expect(FileManager.default.createFile(atPath: "\(local)/still/\(number)", contents: Data(content)))
      still["\(path)/still/\(number)"] = content
    }
    try Scratch.whileChanging(local + "/busy") {
      for _ in 0..<Soak.rounds(2, 200) {
        let backup = MemoryBackup()
        try withJob { job throws in
          _ = try #require(try job.backup(Scratch.line(kind, path), to: backup))
          #expect(!job.messages.contains { $0.severity == .fatal || $0.text.contains("/still/") }, "\(job.messages)")
          for (name, content) in still { #expect(backup.item(name)?.data == content, "\(name)") }
          // Additional hard links have no data of their own.
          let files = backup.items.filter { $0.entry.status.st_mode & S_IFMT == S_IFREG && $0.entry.type != FD_FT_LNKSAVED }
          for item in files where item.data.count != item.entry.status.st_size {
            let name = String(decoding: item.entry.path, as: UTF8.self)
            #expect(job.messages.contains { $0.text.contains(name + ":") }, "\(name): \(item.data.count) \(item.entry.status.st_size)")
          }
          #expect(backup.paths.last == path)
        }
      }
    }
  }

  @Test("a backup of a distributed volume saves each file once, even if it moves to another brick during the listing")
  func moved() throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    let bricks = try Scratch.bricks(of: "distributed").map { $0 + path }
    func isData(_ name: String, on brick: Int) -> Bool {
      var status = stat()
      return lstat("\(bricks[brick])/\(name)", &status) == 0 && status.st_mode & 0o1777 != 0o1000
    }
    // A renamed file stays on its brick, and about half of the new names belong on the other brick. A shell makes the files, because
    // Foundation writes a file under a temporary name, by which Gluster would put all files of a process onto one brick.
    let commands = "cd '\(local)' && for n in $(seq 900); do echo $n > $n; done && for n in $(seq 2 2 900); do mv $n renamed-$n; done"
    #expect(try run("sh", "-c", commands).status == 0)
    let names = try FileManager.default.contentsOfDirectory(atPath: local)
    try #require(names.count == 900 && (0...1).allSatisfy { brick in names.count { isData($0, on: brick) } > 300 })
    let backup = MemoryBackup()
    var (moved, said) = (0, "")
    backup.onBegin = { entry in
      // Wait for the first entry from the second brick: by then the first brick has been listed.
      let name = String(decoding: entry.path.dropFirst(path.utf8.count + 1), as: UTF8.self)
      guard moved == 0, !name.isEmpty, isData(name, on: 1) else { return }
      let there = names.filter { isData($0, on: 1) }
      // Files that belong on the second brick do not move, and setfattr reports an error for each of them.
      let move = "for name; do setfattr -n trusted.distribute.migrate-data -v force \"$name\"; done"
      do { said = try run("sh", ["-c", move, "sh"] + there.map { "\(local)/\($0)" }).output } catch { said = "\(error)" }
      moved = there.count { isData($0, on: 0) }
    }
    try withJob { job throws in
      #expect(try job.backup(Scratch.line("distributed", path, ":workers=0:readahead=0"), to: backup)?.failed == 0)
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
    }
    #expect(moved > 50, "\(said.suffix(1000))")
    #expect(backup.paths.dropLast().sorted() == names.map { path + "/" + $0 }.sorted())
  }

  @Test("a backup reports a directory that was deleted during the job, and goes on above it")
  func vanishingDirectory() throws {
    let (local, path) = try Scratch.folder()
    for number in 0..<50 {
      try makeFolder(local + "/\(number)")
      write(local + "/\(number)/file")
    }
    let backup = MemoryBackup()
    var done = false
    backup.onBegin = { entry in
      guard !done else { return }
      done = true
      let inside = String(decoding: entry.path, as: UTF8.self)
      for number in 0..<50 where !inside.hasPrefix("\(path)/\(number)/") {
        try? FileManager.default.removeItem(atPath: local + "/\(number)")
      }
    }
    try withJob { job throws in
      let counts = try #require(try job.backup(Scratch.line("plain", path, ":readahead=16384"), to: backup))
      #expect(counts.failed > 0)
      #expect(job.messages.contains { $0.severity == .notSaved && $0.text.contains(path) })
      #expect(backup.paths.last == path)
    }
  }

  @Test("a backup reports a file that shrinks or grows while it is read")
  func changing() throws {
    for (size, word) in [(15_000_000, "15000000 were read"), (32_000_000, "32000000 were read")] {
      let (local, path) = try Scratch.folder()
      write(local + "/file", String(repeating: "x", count: 30_000_000))
      let backup = MemoryBackup()
      var changed = false
      backup.onData = { _ in
        guard !changed else { return }
        changed = true
        let descriptor = open(local + "/file", O_WRONLY)
        ftruncate(descriptor, size)
        close(descriptor)
      }
      try withJob { job throws in
        _ = try job.backup(Scratch.line("plain", path), to: backup)
        let warning = try #require(job.messages.first { $0.severity == .warning })
        #expect(warning.text.contains(path + "/file") && warning.text.contains(word))
      }
      #expect(backup.item(path + "/file")?.data.count == size)
    }
  }

  @Test("a backup reports each path that is longer than a daemon accepts")
  func longPaths() throws {
    let (local, path) = try Scratch.folder()
    // No call accepts a path of this length. Such a path arises if a directory far above gets a longer name.
    let script = """
      cd '\(local)'; name=$(printf 'd%.0s' $(seq 250))
      mkdir short; cd short; for level in $(seq 15); do mkdir $name; cd $name; done
      touch fits $(printf 'f%.0s' $(seq 200)) $(printf 'g%.0s' $(seq 200))
      cd '\(local)'; mv short $(printf 's%.0s' $(seq 250))
      """
    #expect(try run("bash", "-c", script).status == 0)
    let backup = MemoryBackup()
    try withJob { job throws in
      let counts = try #require(try job.backup(Scratch.line("plain", path), to: backup))
      #expect(counts.failed == 2)
      #expect(job.messages.count { $0.severity == .notSaved && $0.text.contains("longer than") } == 2)
    }
    #expect(backup.paths.contains { $0.hasSuffix("/fits") })
    #expect(backup.paths.count == 18)
  }

  @Test("a backup saves the data of a hard linked file once, and every name")
  func hardLinks() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/one", "shared")
    link(local + "/one", local + "/two")
    link(local + "/one", local + "/three")
    let backup = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("plain", path), to: backup) }
    let files = backup.items.filter { $0.entry.type != FD_FT_DIREND }
    #expect(files.count { $0.entry.type == FD_FT_LNKSAVED } == 2)
    #expect(files.map(\.data.count).sorted() == [0, 0, 6])

    var options = MiniJob.Options()
    options.hardLinks = false
    let each = MemoryBackup()
    _ = try withJob(options) { try $0.backup(Scratch.line("plain", path), to: each) }
    #expect(each.items.count { $0.data.count == 6 } == 3)
  }

  @Test("a backup of a sparse file fetches only its data")
  func holes() throws {
    let (local, path) = try Scratch.folder()
    let descriptor = open(local + "/file", O_WRONLY | O_CREAT, 0o644)
    ftruncate(descriptor, 2 << 30)
    pwrite(descriptor, "middle", 6, 1 << 30)
    close(descriptor)
    final class Counting: BackupTarget {
      var zero = 0, other = 0
      func begin(_ entry: SavedEntry) {}
      func data(_ bytes: UnsafeRawBufferPointer) {
        // A block counts as data unless all its bytes are zero.
        if bytes.count > 0, memcmp(bytes.baseAddress!, bytes.baseAddress! + 1, bytes.count - 1) == 0, bytes[0] == 0 {
          zero += bytes.count
        } else {
          other += bytes.count
        }
      }
      func end(_ entry: SavedEntry) {}
    }
    let target = Counting()
    func fetched() throws -> Int {
      let text = try run("gluster", "--mode=script", "volume", "profile", "plain", "info", "incremental").output
      // The last two columns of the table are the number of calls and the name of the call.
      let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
      return lines.filter { $0.last == "READ" }.reduce(0) { $0 + (Int($1[$1.count - 2]) ?? 0) }
    }
    #expect(try run("gluster", "--mode=script", "volume", "profile", "plain", "start").status == 0)
    defer { _ = try? run("gluster", "--mode=script", "volume", "profile", "plain", "stop") }
    _ = try fetched()
    try withJob { job throws in
      _ = try job.backup(Scratch.line("plain", path), to: target)
      #expect(job.messages.allSatisfy { $0.severity == .info })
    }
    #expect(target.zero + target.other == 2 << 30)
    #expect(target.other <= 65536)
    #expect((1..<20).contains(try fetched()))
  }

  @Test("a backup with noatime or keepatime does not change access times")
  func accessTimes() throws {
    let (local, path) = try Scratch.folder()
    let old = timespec(tv_sec: 1_000_000_000, tv_nsec: 0)
    for name in ["small", "large"] {
      write(local + "/" + name, String(repeating: "x", count: name == "small" ? 10 : 3_000_000))
      utimensat(AT_FDCWD, local + "/" + name, [old, old], 0)
    }
    for keeps in [false, true] {
      var options = MiniJob.Options()
      options.withoutAccessTime = !keeps
      options.keepsAccessTime = keeps
      _ = try withJob(options) { try $0.backup(Scratch.line("plain", path), to: MemoryBackup()) }
      for name in ["small", "large"] {
        let after = MemoryBackup()
        _ = try withJob(options) { try $0.backup(Scratch.line("plain", path), to: after) }
        #expect(after.item(path + "/" + name)?.entry.status.st_atim.tv_sec == 1_000_000_000)
      }
    }
  }

  @Test(
    "a backup with keepatime keeps access times, and an incremental backup right after it saves nothing",
    arguments: ["features.ctime": "off", "ctime.noatime": "off", "features.read-only": "on"].map { ($0, $1) })
  func keepsAccessTimes(_ option: String, _ value: String) throws {
    let (local, path) = try Scratch.folder(on: "small")
    let times = [timespec(tv_sec: 1_000_000_000, tv_nsec: 0), timespec(tv_sec: 1_100_000_000, tv_nsec: 0)]
    for name in ["small", "large"] {
      write(local + "/" + name, String(repeating: "x", count: name == "small" ? 10 : 3_000_000))
      utimensat(AT_FDCWD, local + "/" + name, times, 0)
    }
    let brick = try #require(try Scratch.bricks(of: "small").first)
    try Scratch.withSmall([option: value]) {
      nextSecond()
      var chain = Chain(Scratch.line("small", path))
      try chain.backUp { $0.keepsAccessTime = true }
      #expect(chain.backedUp.count == 3 && chain.messages.allSatisfy { $0.severity == .info }, "\(chain.messages)")
      nextSecond()
      try chain.backUp(accurate: false) { $0.keepsAccessTime = true }
      #expect(chain.backedUp == [] && chain.messages.allSatisfy { $0.severity == .info }, "\(chain.backedUp) \(chain.messages)")
      for name in ["small", "large"] {
        #expect(chain.items.first { $0.entry.path == Array("\(path)/\(name)".utf8) }?.entry.status.st_atim.tv_sec == 1_000_000_000)
        if option == "features.ctime" {
          var status = stat()
          #expect(stat("\(brick)\(path)/\(name)", &status) == 0 && status.st_atim.tv_sec == 1_000_000_000)
        }
      }
    }
    try FileManager.default.removeItem(atPath: local)
  }

  @Test("a backup of a sharded volume saves its whole root, wherever Gluster lists its directory of shards", arguments: [1, 2])
  func shardedRoot(_ bricks: Int) throws {
    try Scratch.withVolume("root", bricks: bricks) {
      try Scratch.shard("root")
      let local = try Scratch.mount("root")
      // A file system in memory lists the oldest entry last. After the first file is deleted, this is `.shard`.
      let commands = "cd '\(local)'; head -c 9000000 /dev/urandom > first; rm first; mkdir d; for n in 1 2 3 4 5 6; do echo $n > $n; done"
      #expect(try run("sh", "-ec", commands).status == 0)
      let backup = MemoryBackup()
      _ = try withJob { try $0.backup(Scratch.line("root"), to: backup) }
      #expect(backup.paths.sorted() == ["/", "/1", "/2", "/3", "/4", "/5", "/6", "/d"])
    }
  }

  @Test("a backup saves the SELinux context, which a volume lists under another name")
  func selinux() throws {
    let context = Array("system_u:object_r:httpd_sys_content_t:s0".utf8)
    var status = stat()
    (status.st_mode, status.st_nlink, status.st_size) = (S_IFREG | 0o644, 1, 1)
    var entry = SavedEntry(type: FD_FT_REG, path: Array("/file".utf8), status: status)
    entry.extendedAttributes = [(Array("security.selinux".utf8), context)]
    let saved = MemoryBackup([.init(entry: entry, data: [7])])
    let (_, path) = try Scratch.folder()
    var options = RestoreOptions()
    options.prefix = Array(path.utf8)
    try withJob { job throws in
      #expect(try saved.restore(job, Scratch.line(), options).failed == 0, "\(job.messages)")
    }
    let backup = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("plain", path), to: backup) }
    let attributes = try #require(backup.item(path + "/file")).entry.extendedAttributes
    #expect(attributes.count == 1 && attributes.first?.name == Array("security.selinux".utf8) && attributes.first?.value == context)
  }

  @Test("a backup saves ACLs as ACLs, and not again as extended attributes")
  func aclsOnce() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/file")
    #expect(try run("setfacl", "-m", "u:1001:r", local + "/file").status == 0)
    var options = MiniJob.Options()
    for acls in [true, false] {
      options.acls = acls
      let backup = MemoryBackup()
      _ = try withJob(options) { try $0.backup(Scratch.line("plain", path), to: backup) }
      let entry = try #require(backup.item(path + "/file")).entry
      #expect(entry.acls.isEmpty == !acls)
      let names = entry.extendedAttributes.map { String(decoding: $0.name, as: UTF8.self) }
      #expect(names.contains("system.posix_acl_access") == !acls)
    }
  }

  @Test("a backup reports extended attributes beyond the daemon's limit, and saves the others")
  func tooManyAttributes() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/file")
    let value = [UInt8](repeating: 7, count: 60_000)
    // Use `trusted.` attributes: bricks in memory have a lower limit for `user.` ones.
    let script = "import os\nfor n in range(20): os.setxattr('\(local)/file', f'trusted.number-{n}', b'\\7' * 60000)"
    #expect(try run("python3", "-c", script).status == 0)
    let backup = MemoryBackup()
    try withJob { job throws in
      _ = try job.backup(Scratch.line("plain", path), to: backup)
      #expect(job.messages.contains { $0.severity == .error && $0.text.contains("was not saved") && $0.text.contains(path) })
    }
    let saved = try #require(backup.item(path + "/file")).entry.extendedAttributes
    #expect(saved.count == 17)
    #expect(saved.allSatisfy { $0.value == value })
  }

  @Test("a backup of the volume's root has paths that begin with /")
  func root() throws {
    var options = MiniJob.Options()
    options.recurses = false
    let backup = MemoryBackup()
    _ = try withJob(options) { try $0.backup(Scratch.line("dispersed"), to: backup) }
    #expect(backup.paths.last == "/")
    #expect(backup.paths.dropLast().allSatisfy { $0.hasPrefix("/") && !$0.hasPrefix("//") })
  }

  @Test("a backup prefers plugin options to the definition")
  func options() throws {
    let (_, path) = try Scratch.folder(on: "replicated")
    var options = MiniJob.Options()
    options.pluginOptions = Scratch.line("replicated", path)
    let backup = MemoryBackup()
    _ = try withJob(options) { try $0.backup(#"gfapi:volume=gluster\://nowhere/at-all:timeout=30"#, to: backup) }
    #expect(backup.paths == [path])
  }

  @Test("a backup saves the latest time that the bricks of a distributed volume have for a directory")
  func timesOfDistributedDirectories() throws {
    let (local, path) = try Scratch.folder(on: "distributed")
    #expect(
      try run("sh", "-c", "cd '\(local)' && for d in $(seq 20); do mkdir $d; for n in $(seq 10); do : > $d/$n; done; done").status == 0)
    let saved = MemoryBackup()
    let counts = try withJob { try $0.backup(Scratch.line("distributed", path), to: saved) }
    #expect(counts?.failed == 0)
    for number in 1...20 {
      var status = stat()
      #expect(lstat("\(local)/\(number)", &status) == 0)
      let told = try #require(saved.item("\(path)/\(number)")).entry.status
      #expect(told.st_mtim.tv_sec == status.st_mtim.tv_sec && told.st_mtim.tv_nsec == status.st_mtim.tv_nsec, "\(number)")
    }
  }
}
