import FDPluginABI
import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Restore")
struct RestoreTests {
  func write(_ path: String, _ text: String = "data") { _ = FileManager.default.createFile(atPath: path, contents: Data(text.utf8)) }
  func read(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
  func makeFolder(_ path: String) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  func status(_ path: String) throws -> stat {
    var status = stat()
    try #require(lstat(path, &status) == 0, "\(path)")
    return status
  }
  func setTime(_ path: String, _ seconds: Int) {
    let time = timespec(tv_sec: seconds, tv_nsec: 0)
    utimensat(AT_FDCWD, path, [time, time], AT_SYMLINK_NOFOLLOW)
  }
  func backup(_ line: String) throws -> MemoryBackup {
    let backup = MemoryBackup()
    _ = try withJob { try $0.backup(line, to: backup) }
    return backup
  }

  /// Restores, and mounts the volume again, because a FUSE mount shows its cached state for a second.
  @discardableResult
  func restore(
    _ backup: MemoryBackup, _ job: MiniJob, _ line: String = Scratch.line("plain"),
    _ options: RestoreOptions = RestoreOptions(), on kind: String = "plain"
  ) throws -> JobCounts {
    let counts = try backup.restore(job, line, options)
    try Scratch.remount(kind)
    return counts
  }

  /// An entry made by hand.
  func entry(_ type: Int, _ path: String, mode: mode_t, link: String = "", time: Int = 1_500_000_000, data: String = "")
    -> MemoryBackup.Item
  {
    var status = stat()
    status.st_mode = mode
    status.st_nlink = 1
    status.st_mtim.tv_sec = time
    status.st_atim.tv_sec = time
    status.st_size = off_t(data.utf8.count)
    return .init(entry: SavedEntry(type: type, path: Array(path.utf8), link: Array(link.utf8), status: status), data: Array(data.utf8))
  }

  @Test("a restore follows the replace rule for every type of entry", arguments: RestoreOptions.Replace.allCases)
  func replace(_ rule: RestoreOptions.Replace) throws {
    let (local, path) = try Scratch.folder()
    let kinds: [(name: String, type: Int, mode: mode_t)] = [
      ("file", FD_FT_REG, S_IFREG | 0o600), ("empty", FD_FT_REGE, S_IFREG | 0o600),
      ("link", FD_FT_LNK, S_IFLNK | 0o777), ("fifo", FD_FT_SPEC, S_IFIFO | 0o600),
      ("socket", FD_FT_FIFO, S_IFSOCK | 0o600), ("device", FD_FT_SPEC, S_IFCHR | 0o600),
      ("directory", FD_FT_DIREND, S_IFDIR | 0o700),
    ]
    for (age, there) in [("older", 1_400_000_000), ("same", 1_500_000_000), ("newer", 1_600_000_000)] {
      for kind in kinds {
        let name = "\(local)/\(age)-\(kind.name)"
        if kind.mode & S_IFMT == S_IFDIR { try makeFolder(name) } else { write(name, "there") }
        setTime(name, there)
      }
    }
    var options = RestoreOptions()
    options.replace = rule
    try withJob { job throws in
      let backup = MemoryBackup(
        ["older", "same", "newer", "missing"].flatMap { age in
          kinds.map { kind in
            entry(kind.type, "\(path)/\(age)-\(kind.name)", mode: kind.mode, link: "target", data: kind.name == "file" ? "new" : "")
          }
        })
      let counts = try restore(backup, job, Scratch.line("plain"), options)
      #expect(counts.failed == 0)
      let expected: Set<String> =
        switch rule {
        case .always: ["older", "same", "newer", "missing"]
        case .never: ["missing"]
        case .ifNewer: ["older", "missing"]
        case .ifOlder: ["newer", "missing"]
        }
      for age in ["older", "same", "newer", "missing"] {
        for kind in kinds {
          let now = try status("\(local)/\(age)-\(kind.name)")
          let there = ["older": 1_400_000_000, "same": 1_500_000_000, "newer": 1_600_000_000][age]
          #expect(now.st_mtim.tv_sec == (expected.contains(age) ? 1_500_000_000 : there), "\(rule) \(age) \(kind.name)")
          if expected.contains(age) { #expect(now.st_mode == kind.mode) }
        }
        #expect(read("\(local)/\(age)-file") == (expected.contains(age) ? "new" : "there"))
      }
      #expect(job.messages.count { $0.text.contains("skipped: ") } == (4 - expected.count) * kinds.count)
    }
  }

  @Test("a restore never replaces a directory by a file, or a file by a directory")
  func clashes() throws {
    let (local, path) = try Scratch.folder()
    try makeFolder(local + "/directory")
    write(local + "/directory/keep", "kept")
    write(local + "/file", "kept")
    try withJob { job throws in
      let backup = MemoryBackup([
        entry(FD_FT_REG, path + "/directory", mode: S_IFREG | 0o600, data: "x"),
        entry(FD_FT_DIREND, path + "/file", mode: S_IFDIR | 0o700),
        entry(FD_FT_REG, path + "/file/below", mode: S_IFREG | 0o600, data: "x"),
      ])
      #expect(try restore(backup, job).failed == 3)
      #expect(job.messages.count { $0.severity == .error } == 3)
      for name in ["/directory", "/file", "/file/below"] {
        #expect(job.messages.contains { $0.severity == .error && $0.text.contains(path + name + ":") })
      }
    }
    #expect(read(local + "/directory/keep") == "kept")
    #expect(read(local + "/file") == "kept")
  }

  @Test("a restore follows no symbolic link: not in a parent, not at the entry, not for its attributes")
  func links() throws {
    let (local, path) = try Scratch.folder()
    try makeFolder(local + "/outside")
    write(local + "/outside/victim", "untouched")
    chmod(local + "/outside/victim", 0o640)
    symlink("outside", local + "/parent")
    symlink("outside/victim", local + "/file")
    let before = try status(local + "/outside/victim")
    try withJob { job throws in
      var link = entry(FD_FT_LNK, path + "/link", mode: S_IFLNK | 0o777, link: "outside/victim")
      link.entry.status.st_uid = 4711
      link.entry.extendedAttributes = [(Array("trusted.mark".utf8), [1])]
      let backup = MemoryBackup([
        entry(FD_FT_REG, path + "/parent/new", mode: S_IFREG | 0o600, data: "x"),
        entry(FD_FT_REG, path + "/file", mode: S_IFREG | 0o604, data: "x"), link,
      ])
      #expect(try restore(backup, job).failed == 1)
      #expect(job.messages.contains { $0.severity == .error && $0.text.contains(path + "/parent is a symbolic link") })
    }
    let after = try status(local + "/outside/victim")
    #expect(after.st_mode == before.st_mode && after.st_uid == before.st_uid && after.st_mtim.tv_sec == before.st_mtim.tv_sec)
    #expect(read(local + "/outside/victim") == "untouched")
    #expect(!FileManager.default.fileExists(atPath: local + "/outside/new"))
    #expect(try status(local + "/file").st_mode == S_IFREG | 0o604)
    #expect(try status(local + "/link").st_uid == 4711)
    #expect(try run("getfattr", "-n", "trusted.mark", local + "/outside/victim").status != 0)
  }

  @Test("a restore over a file does not change the data of its other hard links")
  func otherNames() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/file", "old data")
    link(local + "/file", local + "/elsewhere")
    _ = try withJob { job throws in
      try restore(MemoryBackup([entry(FD_FT_REG, path + "/file", mode: S_IFREG | 0o600, data: "new")]), job)
    }
    #expect(read(local + "/file") == "new")
    #expect(read(local + "/elsewhere") == "old data")
  }

  @Test("a restore in place makes hard links again, all to the same file", arguments: ["plain", "distributed", "replicated"])
  func linksInPlace(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    try makeFolder(local + "/below")
    write(local + "/first")
    let names = (0..<10).flatMap { ["/link-\($0)", "/below/link-\($0)"] }
    for name in names { link(local + "/first", local + name) }
    let saved = try backup(Scratch.line(kind, path))
    // The second restore goes over the result of the first.
    for _ in 0..<2 {
      write(local + "/other", "other")
      _ = try run("ln", "-f", local + "/other", local + "/below/link-3")
      try withJob { job throws in
        #expect(try restore(saved, job, Scratch.line(kind), on: kind).failed == 0)
        #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
      }
      for name in names {
        #expect(try status(local + name).st_ino == status(local + "/first").st_ino, "\(name)")
        #expect(read(local + name) == "data")
      }
    }
  }

  @Test(
    "a restore makes missing parents, which get their attributes from their own record, whatever the replace rule",
    arguments: RestoreOptions.Replace.allCases)
  func parents(_ rule: RestoreOptions.Replace) throws {
    let (local, path) = try Scratch.folder()
    var options = RestoreOptions()
    options.replace = rule
    try withJob { job throws in
      let backup = MemoryBackup([
        entry(FD_FT_REG, path + "/a/b/file", mode: S_IFREG | 0o600, data: "x"),
        entry(FD_FT_DIREND, path + "/a/b", mode: S_IFDIR | 0o2751),
        entry(FD_FT_DIREND, path + "/a", mode: S_IFDIR | 0o1700),
      ])
      #expect(try restore(backup, job, Scratch.line("plain"), options).failed == 0)
    }
    #expect(try status(local + "/a/b").st_mode == S_IFDIR | 0o2751)
    #expect(try status(local + "/a").st_mode == S_IFDIR | 0o1700)
    #expect(try status(local + "/a").st_mtim.tv_sec == 1_500_000_000)
    #expect(try status(local + "/a/b").st_mtim.tv_sec == 1_500_000_000)
  }

  @Test("a new directory is open only to root until its own record comes, or until the restore leaves it without one")
  func closedDirectories() throws {
    let (local, path) = try Scratch.folder()
    let backup = MemoryBackup([
      entry(FD_FT_REG, path + "/a/b/file", mode: S_IFREG | 0o644, data: "x"),
      entry(FD_FT_REG, path + "/c/d/file", mode: S_IFREG | 0o644, data: "x"),
      entry(FD_FT_DIREND, path + "/c/d", mode: S_IFDIR | 0o2751),
      entry(FD_FT_DIREND, path + "/c", mode: S_IFDIR | 0o750),
    ])
    try withJob { job throws in
      let counts = try backup.restore(job, Scratch.line("plain")) { (number) throws in
        // The file in `d` is restored, the record of `d` is not.
        guard number == 2 else { return }
        #expect(eventually { FileManager.default.fileExists(atPath: local + "/c/d/file") })
        for name in ["/c", "/c/d"] { #expect(try status(local + name).st_mode == S_IFDIR | 0o700, "\(name)") }
      }
      #expect(counts.failed == 0)
    }
    // The mount has seen the directories during the restore.
    try Scratch.remount("plain")
    for (name, mode) in [("/a", 0o755), ("/a/b", 0o755), ("/c", 0o750), ("/c/d", 0o2751)] as [(String, mode_t)] {
      #expect(try status(local + name).st_mode == S_IFDIR | mode, "\(name)")
    }
  }

  @Test("a new directory inherits a default ACL, as one that is made on a mount does")
  func inheritedByParents() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("setfacl", "-d", "-m", "u:1000:rwx,g::r-x,o::---", local).status == 0)
    let backup = MemoryBackup([entry(FD_FT_REG, path + "/restored/file", mode: S_IFREG | 0o600, data: "x")])
    _ = try withJob { try restore(backup, $0) }
    #expect(try run("sh", "-c", "umask 022; mkdir '\(local)/made'").status == 0)
    let acls = try ["restored", "made"].map { try run("getfacl", "-cpn", "\(local)/\($0)").output }
    #expect(acls[0] == acls[1] && acls[0].contains("user:1000:rwx"), "\(acls)")
  }

  @Test("a restore of several backups gives a directory the times of its last record, whatever came into it later")
  func timesOfDirectories() throws {
    let (local, path) = try Scratch.folder()
    func directory(_ name: String, _ time: Int) -> MemoryBackup.Item {
      entry(FD_FT_DIREND, path + name, mode: S_IFDIR | 0o755, time: time)
    }
    func file(_ name: String) -> MemoryBackup.Item {
      entry(FD_FT_REG, path + name, mode: S_IFREG | 0o644, data: "data")
    }
    let items = [
      // The full backup.
      file("/a/one"), file("/a/below/one"), directory("/a/below", 1001), directory("/a", 1000),
      file("/b/one"), directory("/b", 2000), directory("", 3000),
      // The later backups: a file in `below` without a record of `below`, a file in `b` with one of `b`, a new directory, and links.
      file("/a/below/two"), file("/b/two"), directory("/b", 2222), file("/c/one"), directory("/c", 4000),
      entry(FD_FT_LNK, path + "/a/link", mode: S_IFLNK | 0o777, link: "target"),
      entry(FD_FT_LNKSAVED, path + "/a/hard", mode: S_IFREG | 0o644, link: path + "/a/one"),
    ]
    _ = try withJob { try restore(MemoryBackup(items), $0) }
    for (name, time) in [("", 3000), ("/a", 1000), ("/a/below", 1001), ("/b", 2222), ("/c", 4000)] {
      #expect(try status(local + name).st_mtim.tv_sec == time, "\(name)")
    }
    #expect(read(local + "/a/below/two") == "data" && read(local + "/a/hard") == "data")
  }

  @Test("a restore with an override goes to another volume, and to another directory there")
  func elsewhere() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/file", "moved")
    link(local + "/file", local + "/second")
    let (other, otherPath) = try Scratch.folder(on: "distributed")
    let saved = try backup(Scratch.line("plain", path))
    for (override, place, expected) in [
      (Scratch.line("distributed"), "", try Scratch.mount("distributed") + path),
      (Scratch.line("distributed", otherPath + "/new"), "", other + "/new"),
      (Scratch.line("distributed", otherPath + "/new"), otherPath + "/where", other + "/where" + otherPath + "/new"),
    ] {
      var options = MiniJob.Options()
      options.pluginOptions = override
      var restoreOptions = RestoreOptions()
      restoreOptions.prefix = Array(place.utf8)
      try withJob(options) { job throws in
        #expect(try restore(saved, job, Scratch.line("plain", path), restoreOptions, on: "distributed").failed == 0)
        #expect(!job.messages.contains { $0.severity != .info }, "\(job.messages)")
      }
      #expect(read(expected + "/file") == "moved")
      #expect(try status(expected + "/file").st_ino == status(expected + "/second").st_ino)
    }
  }

  @Test("a restore onto a read-only volume ends with one message that says so", arguments: [ABI.bareos26, .bacula15])
  func readOnly(_ abi: ABI) throws {
    try Scratch.withVolume("unwritable", bricks: 1) {
      let files = (1...50).map { entry(FD_FT_REG, "/d/\($0)", mode: S_IFREG | 0o600, data: "x") }
      let backup = MemoryBackup(files + [entry(FD_FT_DIREND, "/d", mode: S_IFDIR | 0o755)])
      try Scratch.withReadOnly("unwritable") {
        try withJob(abi: abi) { job throws in
          #expect(try backup.restore(job, Scratch.line("unwritable")).failed > 0)
          let told = job.messages.filter { $0.severity != .info }
          #expect(told.count == 2 && told[0].severity == .fatal && told[0].text.contains("the volume is read-only"), "\(told)")
          #expect(told.last?.text.contains("gluster volume set unwritable features.read-only off") == true, "\(told)")
        }
      }
    }
  }

  @Test("a restore of more hard links than the volume allows names the option once")
  func manyLinks() throws {
    try Scratch.withVolume("links", bricks: 1) {
      try Scratch.gluster("volume", "set", "links", "storage.max-hardlinks", "2")
      let links = (1...4).map { entry(FD_FT_LNKSAVED, "/\($0)", mode: S_IFREG | 0o600, link: "/first") }
      let local = try Scratch.mount("links")
      // Bricks apply the option a moment later.
      var probes = 0
      #expect(
        eventually {
          probes += 1
          let probe = "\(local)/probe-\(probes)"
          write(probe)
          return (1...2).contains { link(probe, "\(probe)-\($0)") != 0 && errno == EMLINK }
        })
      try withJob { job throws in
        let backup = MemoryBackup([entry(FD_FT_REG, "/first", mode: S_IFREG | 0o600, data: "x")] + links)
        // Make the links one after another: a brick counts the links before it makes one.
        #expect(try backup.restore(job, Scratch.line("links", ":workers=0")).failed == 3)
        #expect(job.messages.count { $0.severity == .error && $0.text.contains("Too many links") } == 3, "\(job.messages)")
        let told = job.messages.filter { $0.text.contains("storage.max-hardlinks NUMBER") }
        #expect(told.count == 1 && told[0].severity == .warning, "\(job.messages)")
      }
    }
  }

  @Test("a restore of a hard link without the file that has its data fails with a message that names the file")
  func linkAlone() throws {
    let (_, path) = try Scratch.folder()
    try expectLinkAlone(
      path, failed: 1, .error, "it is a hard link to \(path)/first, which has its data and is not there: restore that file as well")
  }

  @Test("a restore of a hard link alone to an existing file warns that its data are not from the backup")
  func linkToAnother() throws {
    let (local, path) = try Scratch.folder()
    write(local + "/first", "of now")
    try expectLinkAlone(
      path, failed: 0, .warning,
      "it is a hard link to \(path)/first, which this restore did not restore: it has the data of the file that is on the volume now")
    #expect(read(local + "/second") == "of now")
  }

  /// Restores only the hard link `second` to `first`, and expects one message of this severity about `second`.
  func expectLinkAlone(_ path: String, failed: Int, _ severity: MiniJob.Message.Severity, _ said: String) throws {
    let link = entry(FD_FT_LNKSAVED, path + "/second", mode: S_IFREG | 0o600, link: path + "/first")
    try withJob { job throws in
      #expect(try restore(MemoryBackup([link]), job).failed == failed)
      let told = job.messages.filter { $0.severity == severity }.map(\.text)
      #expect(told.count == 1 && told[0].contains("\(path)/second: ") && told[0].contains(said), "\(told)")
    }
  }

  @Test("a restore onto a volume with features.worm leaves at most one file under a temporary name, and reports it")
  func worm() throws {
    try Scratch.withVolume("worm", bricks: 1) {
      let local = try Scratch.mount("worm")
      for number in 1...100 { write("\(local)/\(number)", "old") }
      try Scratch.gluster("volume", "set", "worm", "features.worm", "on")
      #expect(eventually { !Scratch.mayRename(local) })
      let backup = MemoryBackup((1...100).map { entry(FD_FT_REG, "/\($0)", mode: S_IFREG | 0o600, data: "new") })
      try withJob { job throws in
        #expect(try backup.restore(job, Scratch.line("worm", ":workers=0")).failed == 100)
        let left = try FileManager.default.contentsOfDirectory(atPath: local).filter { $0.contains(".gfapi-fd-") }
        #expect(left.count == 1, "\(left)")
        #expect(job.messages.contains { $0.text.contains("the new file stays as \(left[0]), and cannot be removed") }, "\(job.messages)")
        #expect(job.messages.count { $0.text.contains("features.worm") } == 1, "\(job.messages)")
      }
      for number in 1...100 { #expect(read("\(local)/\(number)") == "old") }
    }
  }

  @Test("a restore warns once that the directory of an override is not used for paths that RegexWhere has made")
  func rewritten() throws {
    let (local, path) = try Scratch.folder()
    let names = ["/elsewhere/1", "/elsewhere/2"].map { path + $0 }
    var options = MiniJob.Options()
    options.pluginOptions = Scratch.line("plain", path + "/new")
    try withJob(options) { job throws in
      let backup = MemoryBackup(names.map { entry(FD_FT_REG, $0, mode: S_IFREG | 0o600, data: "x") })
      #expect(try restore(backup, job, Scratch.line("plain", path + "/old")).failed == 0)
      let told = job.messages.filter { $0.severity == .warning }.map(\.text)
      #expect(told.count == 1 && told[0].contains("\(names[0]): the directory of the override is not used"), "\(told)")
    }
    #expect(read(local + "/elsewhere/1") == "x" && read(local + "/elsewhere/2") == "x")
  }

  @Test("a restore reports a file that does not fit onto the volume with path and offset, and goes on")
  func full() throws {
    let (local, path) = try Scratch.folder(on: "small")
    let large = [UInt8](repeating: 0x55, count: 40 << 20)
    var item = entry(FD_FT_REG, path + "/large", mode: S_IFREG | 0o600)
    item.data = large
    item.entry.status.st_size = large.count
    let tail = entry(FD_FT_LNK, path + "/after", mode: S_IFLNK | 0o777, link: "x")
    defer { try? FileManager.default.removeItem(atPath: local) }
    try withJob { job throws in
      _ = try MemoryBackup([item, tail]).restore(job, Scratch.line("small"))
      let told = job.messages.filter { $0.severity == .error }
      #expect(told.contains { $0.text.contains(path + "/large") && $0.text.contains("No space left") && $0.text.contains("at offset ") })
      #expect(told.count { $0.text.contains("/large") } == 1, "\(told)")
      let fatal = job.messages.filter { $0.severity == .fatal }
      #expect(fatal.allSatisfy { $0.text.contains("the restore of 1 entries failed") }, "\(fatal)")
    }
  }

  @Test("a restore reports each file that a quota refuses, and restores the others")
  func quota() throws {
    let (local, path) = try Scratch.folder(on: "small")
    defer { try? FileManager.default.removeItem(atPath: local) }
    try makeFolder(local + "/limited")
    let data = [UInt8](repeating: 0x55, count: 1 << 20)
    let files = (0..<12).map { number in
      var item = entry(FD_FT_REG, "\(path)/limited/\(number)", mode: S_IFREG | 0o600)
      item.data = data
      item.entry.status.st_size = data.count
      return item
    }
    let saved = MemoryBackup(files + [entry(FD_FT_LNK, path + "/after", mode: S_IFLNK | 0o777, link: "x")])
    try Scratch.withQuota(path + "/limited", "3MB") {
      // Gluster updates the used space of a quota some moments later.
      let isRefused = try eventually {
        try withJob { job throws in
          _ = try saved.restore(job, Scratch.line("small"))
          try Scratch.remount("small")
          let told = job.messages.filter { $0.severity == .error }
          for number in 0..<12 {
            let isTold = told.contains { $0.text.contains("\(path)/limited/\(number):") && $0.text.contains("Disk quota exceeded") }
            #expect(isTold || FileManager.default.contents(atPath: "\(local)/limited/\(number)") == Data(data), "\(number) \(job.messages)")
          }
          #expect((try? FileManager.default.destinationOfSymbolicLink(atPath: local + "/after")) == "x", "\(job.messages)")
          return !told.isEmpty
        }
      }
      #expect(isRefused)
    }
  }

  @Test("a restore makes holes of zeros, and keeps every length")
  func holes() throws {
    let (local, path) = try Scratch.folder()
    var shapes: [(name: String, data: [UInt8])] = [
      ("zeros", [UInt8](repeating: 0, count: 10 << 20)), ("odd", [UInt8](repeating: 0, count: (1 << 20) + 17)),
      ("one-zero", [0]),
    ]
    var mixed = [UInt8](repeating: 0, count: 8 << 20)
    for offset in [0, 4095, 1 << 20, (3 << 20) + 5, mixed.count - 1] { mixed[offset] = 0xff }
    shapes.append(("mixed", mixed))
    try withJob { job throws in
      let backup = MemoryBackup(
        shapes.map { shape in
          var item = entry(FD_FT_REG, "\(path)/\(shape.name)", mode: S_IFREG | 0o600)
          item.data = shape.data
          item.entry.status.st_size = shape.data.count
          return item
        })
      #expect(try restore(backup, job).failed == 0)
    }
    for shape in shapes {
      #expect(FileManager.default.contents(atPath: "\(local)/\(shape.name)") == Data(shape.data))
    }
    #expect(try status(local + "/zeros").st_blocks == 0)
    #expect(try status(local + "/mixed").st_blocks * 512 < 200_000)
  }

  @Test("a restore reports a malformed or refused attribute, and restores the others")
  func attributes() throws {
    let (local, path) = try Scratch.folder()
    let good: [UInt8] = Array("value".utf8)
    func item(_ name: String, acls: [UInt8]) -> MemoryBackup.Item {
      var item = entry(FD_FT_REG, "\(path)/\(name)", mode: S_IFREG | 0o751, data: "x")
      item.entry.acls = acls
      item.entry.extendedAttributes = [
        (Array("user.first".utf8), good), (Array("nonsense.name".utf8), good), (Array("user.last".utf8), good),
        (Array("trusted.gfid".utf8), good), (Array("trusted.glusterfs.dht".utf8), good),
      ]
      return item
    }
    let name = Array("system.posix_acl_access".utf8) + [0]
    let wrong: [(String, [UInt8])] = [
      ("cut", [0, 0, 0, 24] + name.prefix(10)), ("long", [0, 0, 0, 24] + name + [0xff, 0xff, 0xff, 0xff, 1, 2, 3]),
      ("refused", [0, 0, 0, 24] + name + [0, 0, 0, 12, 2, 0, 0, 0, 99, 0, 7, 0, 1, 0, 0, 0]),
      ("garbage", (0..<300).map { UInt8($0 % 251) }),
    ]
    try withJob { job throws in
      let backup = MemoryBackup(wrong.map { item($0.0, acls: $0.1) })
      #expect(try restore(backup, job).entries == wrong.count)
      for (name, _) in wrong {
        let told = job.messages.filter { $0.severity == .error && $0.text.contains("\(path)/\(name):") }
        #expect(told.contains { $0.text.contains("ACL") }, "\(name)")
        #expect(told.contains { $0.text.contains("nonsense.name") }, "\(name)")
        #expect(told.count == 2, "\(told)")
        #expect(try run("getfattr", "-n", "user.last", "--only-values", "\(local)/\(name)").output.hasSuffix("value"))
        #expect(try status("\(local)/\(name)").st_mode == S_IFREG | 0o751)
        #expect(read("\(local)/\(name)") == "x")
      }
    }
  }

  @Test("a restore gives an entry no ACL from the default ACL of its directory")
  func inheritance() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("setfacl", "-d", "-m", "u:1001:rwx", local).status == 0)
    try withJob { job throws in
      let backup = MemoryBackup([
        entry(FD_FT_REG, path + "/file", mode: S_IFREG | 0o640, data: "x"),
        entry(FD_FT_DIREND, path + "/directory", mode: S_IFDIR | 0o750),
      ])
      #expect(try restore(backup, job).failed == 0)
    }
    for name in ["file", "directory"] {
      let text = try run("getfacl", "-p", "--omit-header", local + "/" + name).output
      #expect(!text.contains("1001") && !text.contains("mask"), "\(text)")
    }
    #expect(try status(local + "/file").st_mode == S_IFREG | 0o640)
  }

  @Test("a restore reports a hard link whose first name is missing")
  func missingFirstName() throws {
    let (_, path) = try Scratch.folder()
    try withJob { job throws in
      let backup = MemoryBackup([entry(FD_FT_LNKSAVED, path + "/second", mode: S_IFREG | 0o600, link: path + "/first")])
      #expect(try restore(backup, job).failed == 1)
      #expect(job.messages.contains { $0.severity == .error && $0.text.contains(path + "/first") })
    }
  }

  @Test("a restore refuses paths that climb, and record types that hold no entry")
  func strange() throws {
    let (local, path) = try Scratch.folder()
    try withJob { job throws in
      let backup = MemoryBackup([
        entry(FD_FT_REG, path + "/../escaped", mode: S_IFREG | 0o600, data: "x"),
        entry(FD_FT_REG, path + "/" + String(repeating: "n", count: 256), mode: S_IFREG | 0o600, data: "x"),
        entry(FD_FT_NOSTAT, path + "/nothing", mode: S_IFREG),
        entry(FD_FT_SPEC, path + "/untyped", mode: 0o600),
      ])
      #expect(try restore(backup, job).failed == 4)
      #expect(job.messages.count { $0.severity == .error } == 4)
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: local) == [])
  }

  @Test("a restore accepts the streams of backups that the old plugin made")
  func oldBackups() throws {
    // fixtures/old-acl-stream.hex: big-endian lengths, names with NUL, values as the extended attributes hold them.
    let hex = try Fixtures.rows("old-acl-stream.hex").joined().joined().filter { !$0.isWhitespace }
    let stream = stride(from: 0, to: hex.count, by: 2).map { index in
      UInt8(hex.dropFirst(index).prefix(2), radix: 16)!
    }
    let (local, path) = try Scratch.folder()
    try withJob { job throws in
      var directory = entry(FD_FT_DIREND, path + "/directory", mode: S_IFDIR | 0o750)
      directory.entry.acls = stream
      directory.entry.extendedAttributes = [(Array("user.old".utf8), Array("kept".utf8))]
      let backup = MemoryBackup([
        entry(FD_FT_REG, path + "/directory/file", mode: S_IFREG | 0o644, data: "old data"),
        // The old plugin did not set no_read for FIFOs: the backup has their records, without data.
        entry(FD_FT_SPEC, path + "/directory/fifo", mode: S_IFIFO | 0o640), directory,
      ])
      #expect(try restore(backup, job, #"gfapi:volume=gluster\://scratch/plain:"#).failed == 0)
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
    }
    #expect(read(local + "/directory/file") == "old data")
    #expect(try status(local + "/directory/fifo").st_mode == S_IFIFO | 0o640)
    let acls = try run("getfacl", "-p", "-n", "--omit-header", local + "/directory").output
    for line in ["user:1001:r-x", "mask::r-x", "default:user:1002:rwx", "default:mask::rwx", "default:other::---"] {
      #expect(acls.contains(line), "\(acls)")
    }
    #expect(try run("getfattr", "-n", "user.old", "--only-values", local + "/directory").output.hasSuffix("kept"))
  }
}
