import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Wrapper with the real glusterfind", .serialized)
struct GlusterfindTests {
  /// A folder of a volume that logs its changes, with a full backup from a list.
  struct Watched {
    let volume: String
    let local: String
    let path: String
    let list: String
    var chain: Chain
    let session: String?
    /// The time at which the next list begins, in seconds since 1970.
    private(set) var since = 0
    /// The content of the last list, and the output of the wrapper.
    private(set) var listed = ""
    private(set) var said = ""

    private var sessionOption: [String] { session.map { ["--session", $0] } ?? [] }

    init(
      on volume: String = "plain-logged", _ script: String, session: String? = nil, abi: ABI = .bareos26, waits: Bool = true
    ) throws {
      self.volume = volume
      self.session = session
      (local, path) = try Scratch.folder(on: volume, "watched")
      list = try Scratch.temporaryFile(".list")
      chain = Chain(Scratch.line(volume, path), abi: abi)
      try change(script)
      try backUp("Full", waits: waits)
    }

    /// Runs a Python script in the folder.
    func change(_ script: String) throws {
      let result = try run("python3", "-c", "import os, shutil\nos.chdir('\(local)')\n\(Self.helpers)\n\(script)")
      try #require(result.status == 0, "\(result.output)")
    }

    private static let helpers = """
      def write(name, text, mode='w'):
        with open(name, mode) as file: file.write(text)
      # The bricks of a distributed volume do not agree on the times of a directory by themselves.
      def settle():
        for name, _, _ in os.walk('.', topdown=False): os.utime(name, (1700000000, 1700000000))
      def acl(name, default=False):
        assert os.spawnlp(os.P_WAIT, 'setfacl', 'setfacl', *(['-d'] if default else []), '-m', 'u:7:rx', name) == 0
      """

    /// Lets the wrapper write the list, runs the job, and then the wrapper's `postbackup`. All of them are expected to succeed.
    ///
    /// - Parameters:
    ///   - waits: true to wait until glusterfind itself can know all changes.
    ///   - options: more options of the wrapper.
    ///   - afterList: called between the wrapper and the start of the job.
    mutating func backUp(
      _ level: String, exit: String = "OK", waits: Bool = true, _ options: String..., afterList: () throws -> Void = {}
    ) throws {
      if waits { #expect(try Glusterfind.waitForChangelogs(volume)) }
      let written = try Glusterfind.wrap(
        ["-l", level, "-s", "\(since)", "-t", "Backup"] + options + sessionOption + ["prebackup", volume, list])
      #expect(written.status == 0, "\(written.output)")
      said = written.output
      listed = try String(contentsOfFile: list, encoding: .utf8)
      try afterList()
      // Both daemons set the start of a job after the command before it.
      let began = Int(Date().timeIntervalSince1970)
      try chain.backUp(":gffilelist=\(list)") { $0.since = since }
      let after = try Glusterfind.wrap(sessionOption + ["--exit", exit, "postbackup", volume, list])
      #expect(after.status == 0 && !FileManager.default.fileExists(atPath: list), "\(after.output)")
      // A session that does not reach back to the job's time is not used, and stays where it was as well.
      if session != nil, level == "Full" || exit != "OK" {
        #expect(after.output.contains(exit.hasPrefix("OK") ? "has moved on" : "stays where it was"), "\(after.output)")
      }
      since = began
      // Later changes have to be in a later second than the backup.
      nextSecond()
    }

    func expectNoDifference(_ comment: String = "") throws {
      let folder = try Scratch.folder(on: volume, "restored")
      let difference = try chain.difference(volume, from: local, path, in: folder)
      #expect(difference.isEmpty, "\(comment) \(difference)\n\(listed)")
    }

    /// The messages that are more than information.
    var complaints: [String] { chain.messages.filter { $0.severity != .info }.map(\.text) }
  }

  /// The tree for `changes`. All files are smaller than a shard.
  static let tree = """
    for name in ['modified', 'deleted', 'renamed', 'touched', 'mode', 'owner', 'xattr', 'acl', 'modified and deleted',
                 'modified and renamed', 'over', 'overwritten', 'linked', 'link 1', 'truncated', 'plus+and%20 %', 'stays']:
      write(name, name)
    os.link('link 1', 'link 2')
    for name in ['directory', 'modes', 'xattrs', 'acls', 'moved', 'moved and mode', 'emptied', 'gone', 'gone/deep', 'anew', 'q,r', 'up', 'up/down']:
      os.mkdir(name)
    for name in ['directory/f', 'moved/f', 'moved and mode/f', 'emptied/to save', 'gone/f', 'gone/deep/g', 'anew/old', 'q,r/s', 'up/down/f']:
      write(name, name)
    os.mkdir('emptied/tree'); write('emptied/tree/f', 'x')
    os.symlink('nowhere', 'link'); os.mkfifo('fifo'); settle()
    """

  static let changes = """
    write('modified', 'more', 'a'); os.unlink('deleted'); os.rename('renamed', 'renamed to'); os.utime('touched', (1, 2))
    os.chmod('mode', 0o640); os.chown('owner', 12, 34); os.setxattr('xattr', 'user.x', b'1'); acl('acl')
    write('modified and deleted', 'x', 'a'); os.unlink('modified and deleted')
    write('modified and renamed', 'x', 'a'); os.rename('modified and renamed', 'renamed and modified')
    os.rename('over', 'overwritten'); os.link('linked', 'directory/linked'); os.unlink('link 1'); os.truncate('truncated', 2)
    os.rename('plus+and%20 %', 'plus+ and %25'); os.chmod('modes', 0o711); os.setxattr('xattrs', 'user.y', b'2'); acl('acls', True)
    os.rename('moved', 'directory/moved'); os.chmod('moved and mode', 0o700); os.rename('moved and mode', 'mode and moved')
    os.rename('emptied/to save', 'saved'); os.rename('emptied/tree', 'saved tree'); os.rmdir('emptied'); shutil.rmtree('gone')
    shutil.rmtree('anew'); os.mkdir('anew'); write('anew/new', 'n'); write('q,r/s', 'more', 'a')
    os.rename('up', 'upper'); os.rename('upper/down', 'upper/downer'); write('upper/downer/f', 'more', 'a')
    os.unlink('link'); os.symlink('elsewhere', 'link'); os.unlink('fifo'); os.mkfifo('fifo', 0o600)
    for name in ['a+b', 'per%cent', 'b l a n k', 'new\\nline', '\\u00fcml\\u00e4ut', 'com,ma', 'tab\\t', 'return\\r', ' lead', '100%', '%41', '#begin']:
      write(name, name)
    os.mkdir('new,dir'); write('new,dir/f', 'f'); os.mkdir('n'); write('n/f', '1'); os.rename('n', 'n2'); write('n2/g', '2'); settle()
    """

  @Test(
    "backups from the wrapper's lists, a full one and the ones after it, restore the content of the volume",
    arguments: [
      "plain-logged", "distributed-logged", "sharded-logged",
    ])
  func changes(_ volume: String) throws {
    // One volume is listed by time, the others by a session.
    let session = volume == "plain-logged" ? nil : "nightly-\(UUID().uuidString.prefix(8))"
    var watched = try Watched(on: volume, Self.tree, session: session)
    #expect(watched.complaints == [])
    try watched.expectNoDifference("full")
    try watched.change(Self.changes)
    try watched.backUp("Incremental")
    #expect(!watched.chain.messages.contains { [.fatal, .error, .warning].contains($0.severity) }, "\(watched.chain.messages)")
    try watched.expectNoDifference("incremental")
    // A change that was in one list is not in the next.
    try watched.change("os.rename('directory', 'directory 2'); os.unlink('stays'); settle()")
    try watched.backUp("Incremental")
    try watched.expectNoDifference("second incremental")
  }

  @Test(
    "the wrapper lists changes that Gluster does not date, and a crawl after it finds nothing more",
    arguments: Soak.cases([("plain-logged", .bareos26)], of: Soak.pairs(Scratch.kinds.map { $0 + "-logged" }, [ABI.bareos26, .bacula15])))
  func undated(_ volume: String, _ abi: ABI) throws {
    let changes = UndatedChange.all
    func python(_ script: String) -> String { "import subprocess; subprocess.run(['sh', '-ec', r\"\"\"\(script)\"\"\"], check=True)" }
    var watched = try Watched(on: volume, python(UndatedTree.script(changes, in: ["changed", "same"], \.make)) + "; settle()", abi: abi)
    try watched.change(python(UndatedTree.script(changes, in: ["changed"], \.change)))
    try watched.backUp("Incremental")
    #expect(watched.complaints == [])
    #expect(Set(watched.chain.backedUp).isSuperset(of: UndatedTree.paths(changes, in: watched.path + "/changed")), "\(watched.listed)")
    try watched.expectNoDifference()
    try watched.chain.backUp(accurate: false)
    #expect(watched.chain.backedUp == [], "\(watched.chain.messages)")
  }

  @Test("a session of the wrapper moves on when the job ended well, and needs no time", .soak)
  func session() throws {
    let name = "nightly-\(UUID().uuidString.prefix(8))"
    var watched = try Watched("write('a', '1'); os.mkdir('d'); write('d/f', '2')", session: name)
    try watched.change("write('a', 'more', 'a'); os.rename('d', 'e')")
    try watched.backUp("Incremental", exit: "Error")
    try watched.expectNoDifference("incremental")
    try watched.change("write('b', '3')")
    try watched.backUp("Incremental")
    // The changes that were listed for the failed job are listed again.
    #expect(watched.listed.contains("RENAME \(String(watched.path.dropFirst()))/d "))
    // Bacula passes no time to the wrapper.
    try watched.change("write('c', '4'); os.unlink('b')")
    #expect(try Glusterfind.waitForChangelogs(watched.volume))
    let untimed = try Glusterfind.wrap("--session", name, "-l", "Incremental", "-s", "*none*", "prebackup", watched.volume, watched.list)
    #expect(untimed.status == 0 && untimed.output.contains("changes since"), "\(untimed.output)")
    #expect(try String(contentsOfFile: watched.list, encoding: .utf8).contains("DELETE \(String(watched.path.dropFirst()))/b\n"))
    let moved = try Glusterfind.wrap("--session", name, "--exit", "OK -- with warnings", "postbackup", watched.volume, watched.list)
    #expect(moved.status == 0 && moved.output.contains("has moved on"), "\(moved.output)")
    try watched.backUp("Differential")
    try watched.expectNoDifference("differential")
  }

  @Test("if a name is not UTF-8, the wrapper has the volume crawled, or fails with --strict")
  func notUTF8() throws {
    let volume = "plain-logged-hostile"
    var watched = try Watched(on: volume, "write('a', '1'); write('b', '2'); os.mkdir('d'); write('d/f', '3')")
    try watched.change(#"write(b'bad\xff', 'bad'); write('a', 'more', 'a'); os.unlink('b'); os.rename('d', 'e')"#)
    #expect(try Glusterfind.waitForChangelogs(volume))
    for level in ["Full", "Incremental"] {
      let strict = try Glusterfind.wrap("--strict", "-l", level, "-s", "\(watched.since)", "prebackup", volume, watched.list)
      #expect(strict.status == 1 && strict.output.contains("is not UTF-8"), "\(strict.output)")
      #expect(!FileManager.default.fileExists(atPath: watched.list))
    }
    try watched.backUp("Incremental")
    #expect(watched.complaints.count == 1 && watched.complaints[0].contains("not UTF-8"), "\(watched.complaints)")
    #expect(watched.chain.backedUp.contains(watched.path + "/e/f"))
    try watched.expectNoDifference()
  }

  @Test("without the Python module that glusterfind needs, the wrapper has the volume crawled, or fails with --strict")
  func missingModule() throws {
    var watched = try Watched("write('a', '1')")
    try watched.change("write('b', '2')")
    // Python finds this module before the real one.
    let folder = try Scratch.temporaryFile()
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try #"raise ModuleNotFoundError("No module named 'xattr'")"#.write(toFile: folder + "/xattr.py", atomically: true, encoding: .utf8)
    let arguments = ["-l", "Incremental", "-s", "\(watched.since)", "prebackup", watched.volume, watched.list]
    let strict = try Glusterfind.wrap(["--strict"] + arguments, environment: ["PYTHONPATH": folder])
    #expect(strict.status == 1 && strict.output.contains("install python3-pyxattr"), "\(strict.output)")
    #expect(!FileManager.default.fileExists(atPath: watched.list))
    let crawl = try Glusterfind.wrap(arguments, environment: ["PYTHONPATH": folder])
    #expect(crawl.status == 0 && crawl.output.contains("WARNING") && crawl.output.contains("python3-pyxattr"), "\(crawl.output)")
    try watched.chain.backUp(":gffilelist=\(watched.list)")
    #expect(watched.chain.backedUp.contains(watched.path + "/b"))
    #expect(watched.complaints.count == 1 && watched.complaints[0].contains("python3-pyxattr"))
    try watched.expectNoDifference()
  }

  @Test("the wrapper reports what is missing: the folder of keys, ssh-keygen, or gluster")
  func missingNeeds() throws {
    let list = try Scratch.temporaryFile(".list")
    let sessions = "/var/lib/glusterd/glusterfind"
    let manager = FileManager.default
    try manager.moveItem(atPath: sessions + "/.keys", toPath: sessions + "-keys")
    let noFolder = try Glusterfind.wrap("--strict", "prebackup", "plain-logged", list)
    try manager.moveItem(atPath: sessions + "-keys", toPath: sessions + "/.keys")
    #expect(noFolder.status == 1 && noFolder.output.contains("mkdir -p /var/lib/glusterd/glusterfind/.keys"), "\(noFolder.output)")

    // PATH has everything except ssh-keygen, which is only run if there is no key yet.
    let folder = try Scratch.temporaryFile()
    try manager.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for tool in ["gluster", "glusterfind", "ls", "sort", "timeout"] {
      let path = try run("sh", "-c", "command -v \(tool)").output.trimmingCharacters(in: .newlines)
      try manager.createSymbolicLink(atPath: folder + "/" + tool, withDestinationPath: path)
    }
    if manager.fileExists(atPath: sessions + "/default/plain-logged") { try manager.removeItem(atPath: sessions + "/default/plain-logged") }
    let noKeygen = try Glusterfind.wrap("--strict", "prebackup", "plain-logged", list, environment: ["PATH": folder])
    #expect(noKeygen.status == 1 && noKeygen.output.contains("install openssh-client"), "\(noKeygen.output)")
    let nothing = try Glusterfind.wrap("prebackup", "plain-logged", list, environment: ["PATH": "/nonexistent"])
    #expect(nothing.status == 1 && nothing.output.contains("cannot run gluster"), "\(nothing.output)")
    #expect(!manager.fileExists(atPath: list))
  }

  @Test("the wrapper lists everything and says so for time 0, a time before the changelogs, or if logging was off")
  func fallsBack() throws {
    let (local, path) = try Scratch.folder(on: "plain-logged")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let list = try Scratch.temporaryFile(".list")
    for (since, reason) in [
      ("*none*", "is not known"), ("1000000000", "logs its changes only since"), ("0", "is 0"),
      ("2001-09-09 01:46:40", "logs its changes only since"),
    ] {
      let result = try Glusterfind.wrap("-l", "Differential", "-s", since, "prebackup", "plain-logged", list)
      #expect(result.status == 0 && result.output.contains(reason) && result.output.contains("everything is listed"), "\(result.output)")
      let content = try String(contentsOfFile: list, encoding: .utf8)
      #expect(content.hasPrefix("#begin 1 level=full since=0 ") && content.contains("NEW \(String(path.dropFirst()))/file\n"))
    }
    // Another volume logs nothing until glusterfind is called for the first time.
    let volume = "plain-unlogged"
    _ = try Scratch.folder(on: volume)
    let now = Int(Date().timeIntervalSince1970)
    let result = try Glusterfind.wrap("-l", "Incremental", "-s", "\(now)", "prebackup", volume, list)
    #expect(result.status == 0 && result.output.contains("changelog.changelog") && result.output.contains("was off"), "\(result.output)")
    #expect(try String(contentsOfFile: list, encoding: .utf8).hasPrefix("#begin 1 level=full "))
  }

  @Test("on a cluster of two nodes, the wrapper lists changes of the other node with the wrapper there", .soak)
  func twoNodes() throws {
    // The files are on both bricks. glusterfind itself leaves out files that were moved out of `d` before `d` was removed.
    let script = """
      cd /run/two; mkdir d e meta; for i in 1 2 3 4 5 6 7 8; do echo $i > d/f$i; done
      settle() {
        mkdir mark-$1; rmdir mark-$1
        for brick in /mnt/brick?/brick; do
          timeout 30 sh -c "until grep -rqs mark-$1 $brick/.glusterfs/changelogs/20*; do sleep 0.2; done" || exit 3
        done
      }
      settle 1; \(Glusterfind.wrapper) --timeout 60 --strict -l Full prebackup two /run/list || exit 4
      began=$(date +%s); sleep 1
      mv d/* e/; rmdir d; chmod 700 meta; settle 2; fallocate -l 900000 e/f1
      \(Glusterfind.wrapper) --timeout 60 --strict -l Incremental -s $began prebackup two /run/list && cat /run/list
      # Not there on the second node.
      cp \(Glusterfind.wrapper) /run/wrapper
      /run/wrapper --timeout 60 --strict -l Incremental -s $began prebackup two /run/list; echo strict $?
      /run/wrapper --timeout 60 -l Incremental -s $began prebackup two /run/list; echo crawl $? $(grep -c '^#crawl' /run/list)
      /run/wrapper --timeout 60 --trust-glusterfind -l Incremental -s $began prebackup two /run/list; echo trust $? $(grep -c '^#crawl' /run/list)
      """
    let result = try run(Scratch.script("two-nodes"), "bash", "-c", script)
    #expect(result.status == 0)
    let lines = Set(result.output.split(separator: "\n").map(String.init))
    for line in (1...8).map({ "NEW e/f\($0)" }) + ["DELETE d", "MODIFY meta", "strict 1", "crawl 0 1", "trust 0 0"] {
      #expect(lines.contains(line), "\(line) is missing: \(result.output)")
    }
    #expect(result.output.contains("/run/wrapper is needed on each node"))
  }

  @Test("the wrapper calls glusterfind again if it hangs, three times at most")
  func hangs() throws {
    // PATH has this script before the real glusterfind. The script hangs the first `times` times it is called.
    let folder = try Scratch.temporaryFile()
    let marks = try Scratch.temporaryFile()
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let (local, _) = try Scratch.folder(on: "plain-logged")
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let real = try run("sh", "-c", "command -v glusterfind").output.trimmingCharacters(in: .newlines)
    let list = try Scratch.temporaryFile(".list")
    func ask(hanging times: Int) throws -> CommandResult {
      try? FileManager.default.removeItem(atPath: marks)
      let script = "#!/bin/sh\necho >> \(marks)\n[ $(wc -l < \(marks)) -gt \(times) ] || sleep 1000 & wait $!\nexec \(real) \"$@\"\n"
      try script.write(toFile: folder + "/glusterfind", atomically: true, encoding: .utf8)
      chmod(folder + "/glusterfind", 0o755)
      let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
      return try run(
        Glusterfind.wrapper, ["--timeout", times > 2 ? "1" : "20", "--strict", "prebackup", "plain-logged", list],
        environment: ["PATH": folder + ":" + path])
    }
    let once = try ask(hanging: 1)
    #expect(once.status == 0 && once.output.contains("names listed"), "\(once.output)")
    let always = try ask(hanging: 1000)
    #expect(always.status == 1 && always.output.contains("has not answered within 1 s, three times"), "\(always.output)")
    #expect(try run("pgrep", "-f", "sleep 1000").status != 0)
  }

  @Test("the wrapper writes its list in one go and for its own user alone, and removes it after the job")
  func file() throws {
    let list = try Scratch.temporaryFile(".list")
    let precious = try Scratch.temporaryFile()
    try "precious".write(toFile: precious, atomically: true, encoding: .utf8)
    try FileManager.default.createSymbolicLink(atPath: list, withDestinationPath: precious)
    #expect(try Glusterfind.wrap("prebackup", "plain-logged", list).status == 0)
    var status = stat()
    #expect(lstat(list, &status) == 0 && status.st_mode == S_IFREG | 0o600)
    #expect(try String(contentsOfFile: precious, encoding: .utf8) == "precious")
    // A failed call leaves neither the list of an earlier job nor any other file.
    let failed = try Glusterfind.wrap("prebackup", "no-such-volume", list)
    #expect(failed.status == 1 && failed.output.contains("there is no volume no-such-volume"), "\(failed.output)")
    let folder = URL(fileURLWithPath: list).deletingLastPathComponent().path
    let left = try FileManager.default.contentsOfDirectory(atPath: folder).filter {
      $0.hasPrefix(URL(fileURLWithPath: list).lastPathComponent)
    }
    #expect(left == [])
    #expect(try Glusterfind.wrap("prebackup", "plain-logged", list).status == 0)
    for _ in 0..<2 { #expect(try Glusterfind.wrap("postbackup", "plain-logged", list).status == 0) }
    #expect(lstat(list, &status) != 0)
    #expect(try Glusterfind.wrap("prebackup", "plain-logged", "/nonexistent/list").status == 1)
  }

  @Test("the wrapper prints help, refuses wrong arguments, and does nothing for jobs that are no backups")
  func arguments() throws {
    let help = try Glusterfind.wrap("-h")
    #expect(help.status == 0)
    for word in ["--level", "--since", "--session", "--strict", "prebackup", "FailJobOnError"] { #expect(help.output.contains(word)) }
    for wrong in [
      ["-l", "Sometimes", "prebackup", "v", "/l"], ["-s", "yesterday", "prebackup", "v", "/l"], ["prebackup", "v", "list"],
      ["during", "v", "/l"], ["--session", "a b", "prebackup", "v", "/l"], ["prebackup", "v"],
    ] {
      let result = try Glusterfind.wrap(wrong)
      #expect(result.status == 64, "\(wrong) \(result.output)")
    }
    let restore = try Glusterfind.wrap("-t", "Restore", "prebackup", "no-such-volume", "/nonexistent/list")
    #expect(restore.status == 0 && restore.output.contains("nothing to do"))
  }
}
