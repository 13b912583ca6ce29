import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Backup from a list")
struct ListTests {
  /// A folder with a tree, and a full backup of it.
  struct Base {
    let local: String
    let path: String
    var chain: Chain
    let list: String

    init(on kind: String = "plain", abi: ABI = .bareos26, _ script: String) throws {
      (local, path) = try Scratch.folder(on: kind, "list")
      list = try Scratch.temporaryFile(".list")
      chain = Chain(Scratch.line(kind, path), abi: abi)
      try change(script)
      try Scratch.setBack(local)
      try chain.backUp()
    }

    /// Runs a shell script in the folder.
    func change(_ script: String) throws {
      let result = try run("sh", "-ec", "cd '\(local)'\n\(script)")
      try #require(result.status == 0, "\(result.output)")
    }

    /// Writes lines into the list; `@` stands for the folder, as glusterfind names it.
    func write(_ lines: [String]) throws {
      let text = lines.map { $0.replacingOccurrences(of: "@", with: path.dropFirst()) + "\n" }.joined()
      try Data(text.utf8).write(to: URL(fileURLWithPath: list))
    }

    /// Runs a job with these lines as its list.
    mutating func backUp(
      _ lines: [String], _ more: String = "", accurate: Bool = true, _ change: (inout MiniJob.Options) -> Void = { _ in }
    ) throws {
      try write(lines)
      try chain.backUp(":gffilelist=\(list)\(more)", accurate: accurate, change)
    }

    /// The paths that the last job saved and those that it reported as deleted, without the folder.
    var backedUp: Set<String> { Set(chain.backedUp.map { String($0.dropFirst(path.count)) }) }
    var deleted: Set<String> { Set(chain.deleted.map { String($0.dropFirst(path.count)) }) }

    func expectNoDifference(_ kind: String = "plain") throws {
      let folder = try Scratch.folder(on: kind, "restored")
      let difference = try chain.difference(kind, from: local, path, in: folder)
      #expect(difference.isEmpty, "\(difference)")
    }

    func says(_ severity: MiniJob.Message.Severity, _ text: String) -> Bool {
      chain.messages.contains { $0.severity == severity && $0.text.contains(text) }
    }
  }

  static let abis: [ABI] = [.bareos21, .bareos26, .bacula9, .bacula13]

  @Test("a backup from a list saves the listed entries and the directories around them, and nothing else", arguments: abis)
  func changes(_ abi: ABI) throws {
    var base = try Base(abi: abi, "mkdir a b c; echo 1 > a/one; echo 2 > a/two; echo 3 > b/three; echo 4 > c/four; ln -s four c/link")
    try base.change("echo more >> a/one; rm a/two; echo new > b/new; chmod 600 c/four; echo 5 > c/unlisted")
    try base.backUp(["MODIFY @/a/one", "DELETE @/a/two", "NEW @/b/new", "MODIFY @/c/four"])
    #expect(base.backedUp == ["/a/one", "/a", "/b/new", "/b", "/c/four", "/c"])
    #expect(base.deleted == ["/a/two"])
    #expect(base.says(.info, "list: 4 changes, 0 deleted since"))
  }

  @Test(
    "an accurate incremental backup of named paths keeps all other entries, and saves of the named ones only what has changed",
    arguments: abis)
  func namedPaths(_ abi: ABI) throws {
    var base = try Base(abi: abi, "mkdir -p a/sub b; echo 1 > a/one; echo 2 > a/sub/two; echo 3 > b/three; echo 4 > b/four")
    try base.change("echo more >> a/sub/two; rm a/one; echo more >> b/three; rm b/four; echo new > a/sub/new")
    let file = try Scratch.temporaryFile()
    try Data("\(base.path)/a/sub\0".utf8).write(to: URL(fileURLWithPath: file))
    try base.chain.backUp(":pathlist=\(file)", accurate: true)
    #expect(base.backedUp.isSuperset(of: ["/a/sub/two", "/a/sub/new", "/a/sub"]) && base.backedUp.isDisjoint(with: ["/b/three", "/b"]))
    #expect(base.deleted == [], "\(base.deleted)")
    #expect(base.says(.info, "1 paths named"))
  }

  @Test("a backup from a list saves the subtree of a renamed directory and reports the old one as deleted", arguments: abis, Scratch.kinds)
  func renamedDirectory(_ abi: ABI, _ kind: String) throws {
    guard abi == .bareos26 || kind == "plain" else { return }
    var base = try Base(
      on: kind, abi: abi,
      "mkdir -p old/deep/er stays; echo 1 > old/one; echo 2 > old/deep/two; ln -s x old/deep/er/link; mkfifo old/fifo; echo s > stays/same")
    try base.change("mv old new; rm new/one; mv new/deep/two stays/two; find . -type d -exec touch -d @1700000000 {} +")
    // glusterfind lists entries with their present names.
    try base.backUp(["RENAME @/old @/new", "DELETE @/new/one", "RENAME @/new/deep/two @/stays/two"])
    #expect(base.backedUp.isSuperset(of: ["/new", "/new/deep", "/new/deep/er", "/new/deep/er/link", "/new/fifo", "/stays/two"]))
    #expect(!base.backedUp.contains("/stays/same"))
    #expect(base.deleted == ["/old/", "/old/one", "/old/deep/", "/old/deep/two", "/old/deep/er/", "/old/deep/er/link", "/old/fifo"])
    try base.expectNoDifference(kind)
  }

  /// The name, tree, changes and list of each history.
  static let histories: [(String, String, String, [String])] = [
    (
      "nested renames", "mkdir -p a/b/c; echo 1 > a/b/c/f; echo 2 > a/g",
      "mv a/b a/x; mv a/x/c a/x/y; mv a z", ["RENAME @/z/b @/z/x", "RENAME @/z/x/c @/z/x/y", "RENAME @/a @/z"]
    ),
    (
      "a rename over an existing name", "echo 1 > from; echo 2 > to; mkdir d e; echo 3 > d/f",
      "mv from to; mv -T d e", ["RENAME @/from @/to", "RENAME @/d @/e"]
    ),
    (
      "a rename and a deletion", "mkdir d; echo 1 > d/f; echo 2 > g",
      "mv d e; rm -r e; mv g h; rm h", ["RENAME @/d @/e", "DELETE @/e/f", "DELETE @/e", "RENAME @/g @/h", "DELETE @/h"]
    ),
    (
      "a deletion and a new entry under its name", "echo 1 > f; mkdir d; echo 2 > d/x; echo 3 > d/y; ln -s f l",
      "rm f; echo 4 > f; rm -r d; echo 5 > d; rm l; mkfifo l",
      ["DELETE @/f", "NEW @/f", "DELETE @/d/x", "DELETE @/d/y", "DELETE @/d", "NEW @/d", "DELETE @/l", "NEW @/l"]
    ),
    (
      "a directory deleted and made anew", "mkdir d; echo 1 > d/old; echo 2 > d/kept",
      "mv d/kept .; rm -r d; mkdir d; echo 3 > d/new", ["DELETE @/d", "NEW @/d", "NEW @/d/new", "NEW @/kept"]
    ),
    (
      "a directory deleted with its content", "mkdir -p d/e; echo 1 > d/e/f; echo 2 > d/g; echo 3 > dd",
      "rm -r d", ["DELETE @/d/e/f", "DELETE @/d/e", "DELETE @/d/g", "DELETE @/d"]
    ),
    (
      "two directories that swap their names", "mkdir a b; echo 1 > a/one; echo 2 > b/two",
      "mv a t; mv b a; mv t b", ["RENAME @/a @/b", "RENAME @/b @/a"]
    ),
    (
      "a directory moved into a new one", "mkdir a; echo 1 > a/f",
      "mkdir n; mv a n/b", ["NEW @/n", "RENAME @/a @/n/b"]
    ),
    (
      "a name taken over by another directory", "mkdir a b; echo 1 > a/f; echo 2 > b/g",
      "mv a c; mv b a", ["RENAME @/a @/c", "RENAME @/b @/a"]
    ),
    (
      "a directory that became a link to another", "mkdir a; echo 1 > a/f; mkdir b; echo 2 > b/f",
      "rm -r a; ln -s b a", ["DELETE @/a/f", "DELETE @/a", "NEW @/a"]
    ),
    (
      "a new name of a file", "echo 1 > f; mkdir d",
      "ln f d/g", ["NEW @/d/g", "MODIFY @/f"]
    ),
    (
      "nothing but the order of the lines", "mkdir d; echo 1 > d/f",
      "echo 2 > d/g; mv d e; rm e/f", ["DELETE @/e/f", "NEW @/e/g", "RENAME @/d @/e"]
    ),
  ]

  @Test("a full backup and one from a list together restore the content of the volume", arguments: histories.map(\.0))
  func history(_ name: String) throws {
    let (_, tree, changes, lines) = try #require(Self.histories.first { $0.0 == name })
    var base = try Base(tree)
    try base.change(changes)
    try base.backUp(lines)
    #expect(base.chain.messages.allSatisfy { $0.severity == .info }, "\(base.chain.messages)")
    try base.expectNoDifference()
  }

  @Test("a backup from a list saves only what is below the base directory, compared by whole components")
  func baseDirectory() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-ec", "cd '\(local)'; mkdir dir dir2; echo 1 > dir/in; echo 2 > dir2/out; echo 3 > dirx").status == 0)
    let list = try Scratch.temporaryFile(".list")
    let here = path.dropFirst()
    try "NEW \(here)/dir/in\nNEW \(here)/dir2\nNEW \(here)/dir2/out\nNEW \(here)/dirx\nRENAME \(here)/x \(here)/dir2/y\n".write(
      toFile: list, atomically: true, encoding: .utf8)
    let backup = MemoryBackup()
    try withJob { job throws in
      _ = try job.backup(Scratch.line("plain", path + "/dir", ":gffilelist=\(list)"), to: backup)
      #expect(job.messages.map(\.text).contains { $0.contains("5 names outside the base directory") })
    }
    #expect(backup.paths == [path + "/dir/in", path + "/dir"])
    // The base directory itself has a new path, and so has every entry in it.
    try "RENAME \(here)/former \(here)\n".write(toFile: list, atomically: true, encoding: .utf8)
    let whole = MemoryBackup()
    _ = try withJob { try $0.backup(Scratch.line("plain", path + "/dir", ":gffilelist=\(list)"), to: whole) }
    #expect(whole.paths == [path + "/dir/in", path + "/dir"])
  }

  @Test("a backup from a list leaves out what the FileSet excludes, and everything below it")
  func exclusions() throws {
    var base = try Base("mkdir -p no/deep yes; echo 1 > no/deep/f; echo 2 > yes/g; echo 3 > yes/h.tmp")
    try base.backUp(["MODIFY @/no/deep/f", "MODIFY @/yes/g", "MODIFY @/yes/h.tmp", "NEW @/no/deep"]) {
      $0.excludes = ["*/no", "*.tmp"]
      $0.accurate = nil
    }
    #expect(base.backedUp.subtracting(["/yes", ""]) == ["/yes/g"])
  }

  @Test("a backup from a list without recursion saves only the entries of the base directory")
  func noRecursion() throws {
    var base = try Base("mkdir -p d/e; echo 1 > d/f; echo 2 > g")
    try base.backUp(["NEW @/d", "NEW @/d/e", "NEW @/d/f", "NEW @/g"]) {
      $0.recurses = false
      $0.accurate = nil
      $0.level = UInt8(ascii: "F")
    }
    #expect(base.backedUp == ["/d", "/g", ""])
  }

  @Test("a backup from a list follows no symbolic link, neither in a parent nor at the end of a path")
  func links() throws {
    var base = try Base("mkdir real; echo 1 > real/f; ln -s real link; ln -s real/f file; ln -s nowhere dangling")
    try base.backUp(["NEW @/link/f", "MODIFY @/file", "MODIFY @/dangling", "MODIFY @/link"])
    #expect(base.backedUp.subtracting(["", "/real"]) == ["/link", "/file", "/dangling"])
    #expect(base.says(.notSaved, "/link/f: in the list, but deleted since"))
    try base.expectNoDifference()
  }

  @Test("a backup from a list reports a listed entry that is gone, counts it, and goes on")
  func vanished() throws {
    var base = try Base("echo 1 > a")
    try base.backUp(["NEW @/gone", "MODIFY @/nowhere/deep", "RENAME @/a @/b", "MODIFY @/a", "NEW @/a/below"])
    #expect(base.says(.notSaved, "/gone: in the list"))
    #expect(base.says(.notSaved, "/nowhere/deep: in the list"))
    #expect(base.says(.info, "4 deleted since"))
    #expect(!base.chain.messages.contains { [.error, .warning, .fatal].contains($0.severity) })
    #expect(base.deleted == [])
    try base.expectNoDifference()
  }

  @Test("a backup from a list reports an invalid line with its number, and ends with a warning")
  func unreadable() throws {
    var base = try Base("echo 1 > a; echo 2 > b")
    try base.backUp(["MODIFY @/a", "CHANGED @/b", "RENAME @/a", "NEW", "", "MODIFY @/b%2"] + (0..<30).map { "bad \($0)" })
    for number in 2...6 {
      let isTold = base.says(.warning, "line \(number) of the list is left out")
      #expect(isTold)
    }
    #expect(base.chain.messages.count { $0.text.contains("of the list is left out") } == 20)
    #expect(base.says(.info, "35 lines left out"))
    #expect(base.backedUp.contains("/a"))
  }

  @Test("a backup from a list fails if the list cannot be trusted", arguments: try Fixtures.rows("lists-bad.txt"))
  func untrusted(_ row: [String]) throws {
    var base = try Base("echo 1 > a")
    let list = Fixtures.package.appendingPathComponent("fixtures/lists/bad/\(row[0])").path
    try base.chain.backUp(":gffilelist=\(list)") {
      $0.level = UInt8(ascii: row[1] == "F" ? "F" : "I")
      // A fresh clone may give files any time, so the since time of the job is earlier than all of them.
      if row[0] == "cut-off.list" { $0.since = 1 }
    }
    #expect(base.says(.fatal, row[2]), "\(base.chain.messages)")
    #expect(base.backedUp.isEmpty)
  }

  @Test("a backup from a list fails if the list is missing or not a regular file")
  func missing() throws {
    for (list, reason) in [("/nonexistent/list", "No such file"), ("/tmp", "Is a directory"), ("/dev/null", "no regular file")] {
      var base = try Base("echo 1 > a")
      try base.chain.backUp(":gffilelist=\(list)")
      #expect(base.says(.fatal, reason) && base.says(.fatal, "bareos-glusterfind-wrapper"), "\(base.chain.messages)")
    }
  }

  @Test("a backup from a list fails if the list was written before the job's since time")
  func stale() throws {
    var base = try Base("echo 1 > a")
    try base.write(["MODIFY @/a"])
    try base.chain.backUp(":gffilelist=\(base.list)") { $0.since = Int(Date().timeIntervalSince1970) + 100 }
    #expect(base.says(.fatal, "was written at"), "\(base.chain.messages)")
  }

  @Test("a full backup accepts a list of everything")
  func full() throws {
    var base = try Base("echo 1 > a")
    try base.backUp(["#begin 1 level=full since=0 until=9", "NEW @/a", "#end 1"]) { $0.level = UInt8(ascii: "F") }
    #expect(base.backedUp.contains("/a"))
  }

  @Test("a backup from a list fails with the reason if there is no room to store the names")
  func noRoom() throws {
    let (_, path) = try Scratch.folder()
    let list = try Scratch.temporaryFile(".list")
    try Data((0..<200_000).map { "DELETE \(path.dropFirst())/some-name-\($0)\n" }.joined().utf8).write(to: URL(fileURLWithPath: list))
    let room = try Scratch.temporaryFile()
    try FileManager.default.createDirectory(atPath: room, withIntermediateDirectories: true)
    #expect(try run("mount", "-t", "tmpfs", "-o", "size=1m", "scratch", room).status == 0)
    defer { _ = try? run("umount", "-l", room) }
    let backup = try run(
      Scratch.tool, "backup", Scratch.line("plain", path, ":gffilelist=\(list)"), "-o", "/dev/null", environment: ["SQLITE_TMPDIR": room])
    #expect(backup.status == 2 && backup.output.contains("the list cannot be kept") && backup.output.contains("full"), "\(backup.output)")
  }

  @Test("a backup from an empty list warns, unless the list itself says that nothing changed")
  func empty() throws {
    var base = try Base("echo 1 > a")
    try base.backUp([])
    #expect(base.says(.warning, "is empty"))
    #expect(base.backedUp == [] && base.deleted == [])
    try base.backUp(["#begin 1 level=changes since=0 until=99999999999", "#end 0"])
    #expect(base.chain.messages.allSatisfy { $0.severity == .info }, "\(base.chain.messages)")
    #expect(base.backedUp == [] && base.deleted == [])
  }

  @Test("a backup from a list crawls if the list says so, and warns")
  func crawl() throws {
    var base = try Base("echo 1 > a; echo 2 > b")
    try base.change("echo more >> a; rm b; echo 3 > c")
    try base.backUp(["#begin 1 level=changes since=0 until=99999999999", "#crawl a node has failed", "#end 0"])
    #expect(base.says(.warning, "a node has failed"))
    #expect(base.backedUp.subtracting([""]) == ["/a", "/c"] && base.deleted == ["/b"])
    try base.expectNoDifference()
  }

  @Test(
    "an accurate backup from a list with Strip Path loses nothing: Bareos's job fails, Bacula's deletes nothing",
    arguments: [ABI.bareos21, .bareos26, .bacula9, .bacula13])
  func stripped(_ abi: ABI) throws {
    var base = try Base(abi: abi, "for n in 1 2 3; do echo $n > $n; mkdir d$n; echo x > d$n/f; done")
    try base.change("echo more >> 1; rm 2")
    try base.backUp(["MODIFY @/1", "DELETE @/2"]) { $0.stripsPaths = true }
    #expect(base.deleted == [])
    switch abi {
    case .bareos21, .bareos26:
      #expect(base.backedUp == [] && base.says(.fatal, "Strip Path"), "\(base.chain.messages)")
    default:
      #expect(base.backedUp.isSuperset(of: ["/1"]) && base.says(.warning, "Strip Path"), "\(base.chain.messages)")
    }
    // Strip Path does not matter in a job by crawl.
    try base.chain.backUp { $0.stripsPaths = true }
    #expect(!base.says(.warning, "Strip Path") && base.deleted == ["/2"], "\(base.chain.messages)")
  }

  @Test("a backup from a list saves entries and attributes that only look like Gluster's own")
  func lookalikes() throws {
    let plain = try Scratch.mount("plain")
    let folders = [".glusterfs-notes", ".shard", ".gfid"]
    defer { for folder in folders { _ = try? FileManager.default.removeItem(atPath: "\(plain)/\(folder)") } }
    let gfid = "01234567-89ab-cdef-0123-456789abcdef"
    let files = [".glusterfs-notes/f", ".shard/\(gfid).1", ".gfid/\(gfid)"]
    for folder in folders { try FileManager.default.createDirectory(atPath: "\(plain)/\(folder)", withIntermediateDirectories: false) }
    for file in files {
      try Data(file.utf8).write(to: URL(fileURLWithPath: "\(plain)/\(file)"))
      #expect(try run("setfattr", "-n", "user.glusterfs.note", "-v", "mine", "\(plain)/\(file)").status == 0)
    }
    let list = try Scratch.temporaryFile(".list")
    try Data((folders + files).map { "NEW \($0)\n" }.joined().utf8).write(to: URL(fileURLWithPath: list))
    let backup = MemoryBackup()
    var options = MiniJob.Options()
    (options.level, options.since) = (UInt8(ascii: "I"), time(nil))
    _ = try withJob(options) { try $0.backup(Scratch.line("plain") + ":gffilelist=\(list)", to: backup) }
    #expect(Set(backup.paths).isSuperset(of: (folders + files).map { "/\($0)" }), "\(backup.paths)")
    for file in files {
      let entry = backup.items.first { $0.entry.path == Array("/\(file)".utf8) }?.entry
      #expect(entry?.extendedAttributes.contains { $0.name == Array("user.glusterfs.note".utf8) && $0.value == Array("mine".utf8) } == true)
    }
  }

  @Test("a backup from a list without accurate mode says once that it cannot report deletions")
  func notAccurate() throws {
    var base = try Base("echo 1 > a; echo 2 > b")
    try base.change("rm a; mv b c")
    try base.backUp(["DELETE @/a", "RENAME @/b @/c"], accurate: false)
    #expect(base.chain.messages.count { $0.text.contains("without accurate mode") } == 1)
    #expect(base.backedUp.contains("/c"))
  }

  @Test("a backup from a list saves an entry once that is listed many times")
  func duplicates() throws {
    var base = try Base("mkdir d; echo 1 > d/a")
    try base.backUp((0..<100).flatMap { _ in ["MODIFY @/d/a", "NEW @/d/a", "RENAME @/d/b @/d/a"] })
    #expect(base.chain.backedUp.count { $0.hasSuffix("/d/a") } == 1)
  }

  @Test("a backup reads lists with other encodings and field separators")
  func formats() throws {
    var base = try Base("echo 1 > 'a b+c'; echo 2 > 'x y'; mkdir 'd e'; echo 3 > 'd e/f'")
    try base.backUp(["MODIFY @/a+b%2Bc"], ":gfencoding=plus")
    #expect(base.backedUp.contains("/a b+c"))
    try base.backUp(["MODIFY @/a b+c"], ":gfencoding=none")
    #expect(base.backedUp.contains("/a b+c"))
    try base.backUp(["RENAME\t@/old\t@/a b+c"], ":gfencoding=none:gfseparator=%09")
    #expect(base.backedUp.contains("/a b+c"))
    // If blanks separate names with blanks, each way to read the line counts that gives an existing entry.
    try base.change("mv 'x y' 'x z'; mv 'd e' 'd g'")
    try base.backUp(["RENAME @/x y @/x z", "RENAME @/d e @/d g"], ":gfencoding=none")
    #expect(base.backedUp.isSuperset(of: ["/x z", "/d g", "/d g/f"]))
    #expect(base.deleted.isSuperset(of: ["/x y", "/d e/", "/d e/f"]))
    #expect(base.chain.messages.allSatisfy { $0.severity == .info }, "\(base.chain.messages)")
    try base.expectNoDifference()
  }

  @Test("a backup from a list finds the file of a shard that is listed alone")
  func shards() throws {
    // Use the tool: Foundation in this process has a `uuid_unparse` of its own, with which Gluster's client would ask for shards in
    // capital letters.
    let (local, path) = try Scratch.folder(on: "sharded")
    #expect(try run("sh", "-ec", "cd '\(local)'; echo 1 > small; dd if=/dev/urandom of=big bs=1M count=13 status=none").status == 0)
    let gfid = try run("getfattr", "--absolute-names", "-n", "glusterfs.gfid.string", "--only-values", local + "/big").output
    let list = try Scratch.temporaryFile(".list")
    try "MODIFY .shard/\(gfid).2\nNEW .shard\nNEW .glusterfs-anonymous-inode-1\n".write(toFile: list, atomically: true, encoding: .utf8)
    let archive = try Scratch.temporaryFile(".pax")
    let backup = try run(Scratch.tool, "backup", Scratch.line("sharded", path, ":gffilelist=\(list)"), "-o", archive)
    #expect(backup.status == 0 && backup.output.contains("list: 3 changes, 0 deleted since"), "\(backup.output)")
    #expect(try run("tar", "-tf", archive).output == "\(path.dropFirst())/big\n")
    #expect(try run(Scratch.tool, "restore", archive, Scratch.line("sharded"), "--where", path + "/restored").status == 0)
    try Scratch.remount("sharded")
    #expect(try run("cmp", local + "/big", "\(local)/restored\(path)/big").status == 0)
  }

  @Test("a backup from a list finds names that glusterfind cuts at commas and at blanks at the end")
  func cutNames() throws {
    var base = try Base("mkdir d; echo 1 > d/a; mkdir 'd/q,r'; echo 2 > 'd/q,r/s'")
    try base.change(
      "echo 3 > 'd/x,y'; printf 4 > \"$(printf 'd/tab\\tx')\"; mkdir 'd/c,d'; echo 5 > 'd/c,d/f'; echo 6 > 'd/trail\r'; echo 7 >> 'd/q,r/s'"
    )
    try base.backUp([
      "NEW @/d/x", "NEW y", "NEW @/d/c", "NEW d", "NEW @/d/c", "NEW d/f", "NEW @/d/trail", "NEW @/d/tab\tx", "MODIFY @/d/q", "MODIFY r/s",
    ])
    #expect(base.backedUp.isSuperset(of: ["/d/x,y", "/d/c,d", "/d/c,d/f", "/d/trail\r", "/d/tab\tx", "/d/q,r/s"]), "\(base.backedUp)")
    try base.expectNoDifference()
  }

  @Test("a backup needs no more memory for a long list than for a short one", .enabled(if: !Soak.isSanitized))
  func memory() throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let list = try Scratch.temporaryFile(".list")
    /// Returns the peak memory of the tool with a list of so many changes, in KiB.
    func peak(_ lines: Int) throws -> Int {
      // The names are long and in many directories, none of which exists.
      let script = """
        with open('\(list)', 'w') as file:
          for i in range(\(lines)):
            for _ in range(2): file.write('DELETE \(path.dropFirst())/directory-%06d/file-with-a-longer-name-%09d\\n' % (i * 7919 % 1000, i))
          file.write('MODIFY \(path.dropFirst())/file\\n')
        """
      #expect(try run("python3", "-c", script).status == 0)
      return try peakMemory(Scratch.tool, "backup", Scratch.line("plain", path, ":gffilelist=\(list)"), "-o", "/dev/null")
    }
    let (short, long) = (try peak(10), try peak(Soak.rounds(50_000, 200_000)))
    // Allow for SQLite's cache of 8 MiB, and its overhead.
    #expect(long - short < 16 << 10, "\(short) KiB, \(long) KiB")
  }

  @Test("an estimate from a list has the listed entries and the directories around them")
  func estimate() throws {
    var base = try Base("echo 1 > a; echo 2 > b")
    try base.write(["MODIFY @/a"])
    try withJob { job throws in
      var names: [String] = []
      _ = job.estimate(base.chain.line + ":gffilelist=\(base.list)") { names.append(String(decoding: $0.path, as: UTF8.self)) }
      #expect(names == [base.path + "/a", base.path])
    }
    try base.backUp(["MODIFY @/a"])
  }
}
