import Foundation
import Testing
import TestSupport

@Suite("The tool gfapi-fd")
struct ToolTests {
  @Test("gfapi-fd restore leaves nothing to be healed", arguments: ["replicated", "dispersed"])
  func nothingToHeal(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    for number in 0..<20 { _ = FileManager.default.createFile(atPath: "\(local)/\(number)", contents: Data("x".utf8)) }
    let archive = try Scratch.temporaryFile(".pax")
    #expect(try run(Scratch.tool, "backup", Scratch.line(kind, path), "-o", archive).status == 0)
    #expect(try run(Scratch.tool, "restore", archive, Scratch.line(kind), "--where", path + "/restored").status == 0)
    #expect(try Scratch.unhealed(kind, below: path + "/restored") == [])
  }

  @Test(
    "gfapi-fd check accepts a valid definition and describes the volume",
    arguments: [
      ("plain", "plain, 1 brick"), ("distributed", "distributed, 2 bricks"), ("replicated", "replicated, 3 bricks"),
      ("dispersed", "dispersed, 3 bricks"), ("sharded", "sharded, 1 brick"),
    ])
  func check(_ kind: String, _ type: String) throws {
    let result = try run(Scratch.tool, "check", Scratch.line(kind))
    #expect(result.status == 0, "\(result.output)")
    for words in [
      "valid", "tcp scratch (default port), volume \(kind)", "type:        \(type)\n", "libgfapi:    10.", "MiB free",
      "ACLs:        supported", "changes:     by crawl: all; Gluster does not date ", "changelogs:  off: a job can only crawl\n",
    ] {
      #expect(result.output.contains(words), "\(words): \(result.output)")
    }
    #expect(result.output.contains("\nshards:      are listed, ") == (kind == "sharded"))
  }

  @Test("gfapi-fd check reports which changes an incremental job would miss")
  func checkChanges() throws {
    func check(_ more: String) throws -> CommandResult { try run(Scratch.tool, "check", Scratch.line("small", "", more)) }
    let dated = try check(":attributes=dated")
    #expect(dated.status == 1 && dated.output.contains("\nchanges:     warning: by crawl: not all; "), "\(dated.output)")
    try Scratch.withSmall(["features.ctime": "off"]) {
      let result = try check(":attributes=dated")
      #expect(result.status == 0 && result.output.contains("\nchanges:     by crawl: all, because the bricks date every change"))
    }
  }

  @Test("gfapi-fd check --json prints one JSON object, with the cure of each finding")
  func checkJSON() throws {
    struct Report: Decodable {
      struct Finding: Decodable {
        let subject: String
        let verdict: String
        let text: String
        let cure: String?
      }
      let problems: Int
      let warnings: Int
      let findings: [Finding]
    }
    func check(_ line: String, _ options: String...) throws -> (status: Int32, report: Report) {
      let result = try run(Scratch.tool, ["check", line, "--json"] + options)
      return (result.status, try JSONDecoder().decode(Report.self, from: Data(result.output.utf8)))
    }
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    let (status, well) = try check(Scratch.line("plain", path))
    #expect(status == 0 && well.problems == 0 && well.warnings == 0)
    #expect(well.findings.allSatisfy { $0.verdict == "well" && $0.cure == nil })
    for (subject, text) in [
      ("module", "Bareos 26, Bacula 9.6, Bacula 11"), ("server", "scratch:24007 answers in "), ("directory", "may be read"),
      ("latency", "for reading a small file"), ("type", "plain, 1 brick"),
    ] {
      #expect(well.findings.contains { $0.subject == subject && $0.text.contains(text) }, "\(subject): \(well)")
    }

    // One server of two is dead: a backup could begin all the same.
    let (half, second) = try check("gfapi:volume=gluster\\://127.0.0.1\\:9,scratch/plain\(path)")
    #expect(half == 1 && second.warnings == 1)
    #expect(second.findings.contains { $0.verdict == "warning" && $0.text.contains("127.0.0.1:9: Connection refused") && $0.cure != nil })

    // A job from a list needs changelogs, and this volume does not log its changes.
    let (unlogged, third) = try check(Scratch.line("plain", "", ":gffilelist=/nonexistent"))
    #expect(unlogged == 1)
    #expect(
      third.findings.contains {
        $0.text.contains("changelog.changelog is off") && $0.cure == "gluster volume set plain changelog.changelog on"
      }, "\(third)")
    #expect(third.findings.contains { $0.subject == "gffilelist" && $0.text.contains("/nonexistent: No such file") })
    let list = try Scratch.temporaryFile()
    _ = FileManager.default.createFile(atPath: list, contents: nil)
    let (logged, fourth) = try check(Scratch.line("plain-logged", "", ":gffilelist=\(list)"))
    #expect(logged == 0 && fourth.findings.contains { $0.subject == "glusterfind" && $0.text == "all that it needs is here" }, "\(fourth)")

    let (missing, fifth) = try check(Scratch.line(), "--module", "/nonexistent.so")
    #expect(missing == 2 && fifth.findings.contains { $0.subject == "module" && $0.text.contains("/nonexistent.so") && $0.cure != nil })
  }

  @Test("gfapi-fd uses colours only on a terminal, and none if NO_COLOR is set")
  func colours() throws {
    func check(_ setting: String) throws -> String {
      try run("sh", "-c", "env -u NO_COLOR \(setting) script -qec \"'\(Scratch.tool)' check gfapi:nonsense\" /dev/null").output
    }
    #expect(try check("").contains("\u{1b}[31mproblem\u{1b}[0m: "))
    #expect(try check("NO_COLOR=").contains("\u{1b}["))
    #expect(try !check("NO_COLOR=1").contains("\u{1b}"))
    #expect(try !run(Scratch.tool, "check", "gfapi:nonsense").output.contains("\u{1b}"))
  }

  @Test(
    "gfapi-fd check reports each problem of a definition with its cure",
    arguments: [
      (#"gfapi:volume=gluster+udp\://scratch/plain"#, "unknown transport"),
      (#"gfapi:volume=gluster\://scratch/nosuch:timeout=20"#, "cannot connect to tcp scratch (default port), volume nosuch"),
      (#"gfapi:volume=gluster\://scratch/plain/missing"#, "/missing"),
    ])
  func checkProblems(_ line: String, _ words: String) throws {
    let result = try run(Scratch.tool, "check", line)
    #expect(result.status == 2)
    #expect(result.output.contains(words) && result.output.contains("cure: "), "\(result.output)")
  }

  /// Makes a small tree with an entry of each type.
  func makeTree() throws -> String {
    let (local, path) = try Scratch.folder()
    let commands = """
      cd '\(local)' && mkdir d && head -c 3000 /dev/zero > d/file && ln d/file second && ln -s d/file link && mkfifo fifo &&
      mknod device c 1 3 && chmod 1777 d && chown 7:8 d/file && chmod 4750 d/file && touch -d 2020-01-02T03:04:05Z d/file d && echo no > excluded
      """
    #expect(try run("bash", "-c", commands).status == 0)
    return path
  }

  @Test(
    "gfapi-fd keeps any name of an extended attribute, whichever program wrote the archive",
    arguments: [
      #"$tool backup "gfapi:volume=gluster\\://scratch/plain$path" -o $archive"#,
      "tar --xattrs --xattrs-include='user.*' -C $local -cf $archive .",
      "bsdtar --format pax --xattrs -C $local -cf $archive .",
    ])
  func attributeNames(_ writer: String) throws {
    let (local, path) = try Scratch.folder()
    let names = ["user.plain", "user.my attr", "user.a=b", "user.50%25", "user.50%", "user.%zz", "user.ümläut", "user.tab\tand\"quote"]
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    for (number, name) in names.enumerated() {
      #expect(try run("setfattr", "-n", name, "-v", "value \(number)", local + "/file").status == 0)
    }
    let archive = try Scratch.temporaryFile(".pax")
    let written = try run("sh", "-c", writer, environment: ["tool": Scratch.tool, "local": local, "path": path, "archive": archive])
    #expect(written.status == 0, "\(written.output)")
    #expect(try run(Scratch.tool, "restore", archive, Scratch.line("plain"), "--where", path + "/restored").status == 0)
    let restored = writer.hasPrefix("$tool") ? "\(local)/restored\(path)/file" : "\(local)/restored/file"
    for (number, name) in names.enumerated() {
      let value = try run("getfattr", "--only-values", "-n", name, restored)
      #expect(value.output.hasSuffix("value \(number)"), "\(name): \(value.output)")
    }
    let count = try run("sh", "-c", "getfattr --absolute-names -d '\(restored)' | grep -c =")
    #expect(count.output == "\(names.count)\n")
  }

  @Test("gfapi-fd estimate counts entries by type, without reading data", arguments: ["bareos26", "bacula9", "bacula15"])
  func estimate(_ layout: String) throws {
    let line = Scratch.line("plain", try makeTree())
    let table = try run(Scratch.tool, "estimate", line, "--exclude", "*/excluded", "--abi", layout)
    #expect(table.status == 0)
    for (name, count) in [
      ("files", 1), ("additional hard links", 1), ("directories", 2), ("symbolic links", 1), ("FIFOs", 1),
      ("sockets", 0), ("devices", 1), ("all", 7), ("excluded", 1), ("failed", 0),
    ] {
      let row = table.output.split(separator: "\n").first { $0.hasPrefix(name + " ") }
      #expect(row?.dropFirst(name.count).split(separator: " ").first == "\(count)", "\(name): \(table.output)")
    }
    #expect(table.output.contains("2.9 KiB"))
    let json = try run(Scratch.tool, "estimate", line, "--json", "--abi", layout)
    let object = try #require(JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any], "\(json.output)")
    #expect(object["entries"] as? Int == 8 && object["bytes"] as? Int == 3003 && object["excluded"] as? Int == 0)
    #expect((object["types"] as? [String: [String: Int]])?["file"] == ["entries": 2, "bytes": 3003])
  }

  @Test("gfapi-fd list shows the entries that a backup would save", arguments: ["bareos26", "bacula9", "bacula15"])
  func list(_ layout: String) throws {
    let path = try makeTree()
    let all = try run(Scratch.tool, "list", Scratch.line("plain", path), "--abi", layout)
    #expect(all.status == 0 && all.output.split(separator: "\n").count == 8, "\(all.output)")
    // The volume decides which name of a hard linked file comes first.
    for words in [
      "-rwsr-x--- 7 8 3000 2020-01-02T03:04:05Z \(path)/", " => \(path)/", "lrwxrwxrwx 0 0 6 ", "\(path)/link -> d/file\n",
      "crw-r--r-- 0 0 1,3 ",
      "prw-r--r-- 0 0 0 ", "drwxrwxrwt 0 0 ", "\(path)/d\n",
    ] {
      #expect(all.output.contains(words), "\(words): \(all.output)")
    }
    let below = try run(Scratch.tool, "list", Scratch.line("plain", path), path + "/d", "--abi", layout)
    let paths = below.output.split(separator: "\n").map { String($0.split(separator: " ")[5]) }
    #expect(paths == [path + "/d/file", path + "/d"], "\(below.output)")
    let link = try run(Scratch.tool, "list", Scratch.line("plain", path), path + "/link", "--abi", layout)
    #expect(link.status == 0 && link.output.hasSuffix(" \(path)/link -> d/file\n"), "\(link.output)")
    for missing in [path + "/nosuch", "/outside"] {
      let result = try run(Scratch.tool, "list", Scratch.line("plain", path), missing, "--abi", layout)
      #expect(result.status == 2 && result.output.contains("\(missing): a backup would save nothing of this path"), "\(result.output)")
    }
    let none = try run(Scratch.tool, "list", Scratch.line("nosuch", "", ":timeout=3"), "--abi", layout)
    #expect(none.status == 2 && none.output.contains("cannot connect"), "\(none.output)")
  }

  @Test("gfapi-fd list of one path does not read its neighbours")
  func listOne() throws {
    let (local, path) = try Scratch.folder()
    let commands =
      "cd '\(local)'; mkdir many; cd many; touch $(seq 2000); mkdir 'a:b %'; for n in 'c: %25' 'a:b %/d?e'; do echo x > \"$n\"; done"
    #expect(try run("sh", "-ec", commands).status == 0)
    // A listing of the neighbours would need many replies.
    func readsAfter(_ wanted: String) throws -> Int {
      try Scratch.gluster("volume", "profile", "plain", "info", "clear")
      let list = try run(Scratch.tool, "list", Scratch.line("plain", path), "\(path)/many\(wanted)")
      #expect(list.status == 0 && list.output.contains("\(path)/many\(wanted)\n"), "\(list.output.suffix(500))")
      let profile = try run("gluster", "volume", "profile", "plain", "info", "cumulative").output
      // The last two columns of the table are the number of calls and the name of the call.
      let lines: [[Substring]] = profile.split(separator: "\n").map { $0.split(separator: " ") }
      let calls = lines.filter { $0.last?.hasPrefix("READDIR") == true }
      return calls.reduce(0) { sum, line in sum + (Int(line.dropLast().last ?? "") ?? 0) }
    }
    try Scratch.gluster("volume", "profile", "plain", "start")
    defer { _ = try? Scratch.gluster("volume", "profile", "plain", "stop") }
    for wanted in ["/1000", "/c: %25", "/a:b %", "/a:b %/d?e"] { #expect(try readsAfter(wanted) <= 4, "\(wanted)") }
    #expect(try readsAfter("") > 4)
  }

  @Test("gfapi-fd refuses options that the chosen daemon does not have")
  func daemonsOptions() throws {
    let archive = try Scratch.temporaryFile(".pax")
    let line = Scratch.line()
    let flag = try run(Scratch.tool, "backup", line, "-o", archive, "--abi", "bacula15", "--no-acls")
    #expect(flag.status == 64 && flag.output.contains("leave --no-recursion, --no-acls"), "\(flag.output)")
    let options = try run(Scratch.tool, "backup", line, "-o", archive, "--abi", "bacula9", "--options", line)
    #expect(options.status == 2 && options.output.contains("Bacula has no plugin options"), "\(options.output)")
  }

  @Test("gfapi-fd check reports an unreachable subvolume as a problem, and an unreachable copy of three as a warning")
  func bricks() throws {
    func check(_ volume: String) throws -> CommandResult {
      try run(Scratch.tool, "check", Scratch.line(volume, ":timeout=4"), "--module", Scratch.modulePath)
    }
    for (kind, status, verdict) in [("distributed", 2, "problem"), ("replicated", 1, "warning")] {
      _ = try Scratch.mount(kind)
      #expect(try eventually { try check(kind).status == 0 })
      kill(try Scratch.firstBrick(kind), SIGKILL)
      defer { try? Scratch.startBricks(kind) }
      let result = try check(kind)
      #expect(result.status == status, "\(result.output)")
      #expect(result.output.contains("bricks:      \(verdict): not connected: \(kind)-client-0"), "\(result.output)")
    }
  }

  @Test("gfapi-fd check reports a missing directory, with the cure for that alone")
  func missingDirectory() throws {
    let result = try run(Scratch.tool, "check", Scratch.line("plain", "/nosuchdirectory"), "--module", Scratch.modulePath)
    #expect(result.status == 2 && result.output.contains("cure: create the directory, or correct the URI\n"), "\(result.output)")
  }

  @Test("gfapi-fd volume-info saves the settings of a volume for root alone, and keeps an older archive if it fails")
  func volumeInfo() throws {
    _ = try Scratch.mount("replicated")
    let file = try Scratch.temporaryFile(".tar.gz")
    let result = try run(Scratch.tool, "volume-info", "replicated", "-o", file)
    #expect(result.status == 0, "\(result.output)")
    #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
    let names = try run("tar", "-tzf", file).output.split(separator: "\n")
    #expect(Set(names).isSuperset(of: ["info", "options", "status", "servers", "var/lib/glusterd/vols/replicated/info"]), "\(names)")
    let info = try run("tar", "-xzOf", file, "info").output
    #expect(info.contains("Volume Name: replicated") && info.contains("Number of Bricks: 1 x 3 = 3"), "\(info)")
    let missing = try run(Scratch.tool, "volume-info", "nosuch", "-o", file)
    #expect(missing.status == 2 && missing.output.contains("gluster gives no information about volume nosuch"), "\(missing.output)")
    #expect(try run("tar", "-tzf", file).status == 0)
    let unwritable = try run(Scratch.tool, "volume-info", "replicated", "-o", "/nosuch/file")
    #expect(unwritable.status == 2 && unwritable.output.contains("the archive cannot be written: /nosuch/file"), "\(unwritable.output)")
    #expect(try run(Scratch.tool, "volume-info", "a;b", "-o", file).status == 64)
  }

  @Test("gfapi-fd reports wrong plugin options")
  func wrongOptions() throws {
    let archive = try Scratch.temporaryFile(".pax")
    for (options, said) in [
      ("gfapi:foo=bar", "plugin options: "), ("gfapi:timeout=x", "timeout=x"), ("gfapi:volume=gluster://a/b", "//a/b"),
    ] {
      for command in [["list", Scratch.line()], ["backup", Scratch.line(), "-o", archive]] {
        let result = try run(Scratch.tool, command + ["--options", options])
        #expect(result.status == 2 && result.output.contains("fatal: ") && result.output.contains(said), "\(result.output)")
      }
    }
  }

  @Test("gfapi-fd list accepts a name that is not text as it prints it, and leaves out what the options exclude")
  func listOdd() throws {
    let (local, path) = try Scratch.folder()
    #expect(
      try run("python3", "-c", "import os; os.mkdir('\(local)/d'); open(b'\(local)/d/\\xff\\xfe', 'w'); os.mkdir('\(local)/d/e')").status
        == 0)
    let line = Scratch.line("plain", path)
    let all = try run(Scratch.tool, "list", line)
    #expect(all.output.contains("\(path)/d/\\377\\376\n"), "\(all.output)")
    let one = try run(Scratch.tool, "list", line, "\(path)/d/\\377\\376")
    #expect(one.status == 0 && one.output.split(separator: "\n").count == 1, "\(one.output)")
    for options in [["--exclude", path + "/d"], ["--no-recursion"], ["--since", "\(Int(Date().timeIntervalSince1970) + 60)"]] {
      let left = try run(Scratch.tool, ["list", line, path + "/d/e"] + options)
      #expect(
        left.status == 2 && left.output.contains("would save nothing of this path") && !left.output.contains("gfapi-fd-list"),
        "\(left.output)")
    }
  }

  @Test("gfapi-fd prints summaries and lists of entries as JSON")
  func json() throws {
    let path = try makeTree()
    let archive = try Scratch.temporaryFile(".pax")
    func objects(_ arguments: [String]) throws -> [[String: Any]] {
      // Read standard output only.
      let result = try run("sh", ["-c", "exec \"$@\" 2>/dev/null", "sh", Scratch.tool] + arguments)
      #expect(result.status == 0, "\(arguments): \(result.output)")
      return try result.output.split(separator: "\n").map {
        try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any], "\($0)")
      }
    }
    let listed = try objects(["list", Scratch.line("plain", path), "--json"])
    #expect(listed.count == 8 && listed.last?["path"] as? String == path && listed.last?["type"] as? String == "directory", "\(listed)")
    let link = listed.first { $0["type"] as? String == "symlink" || $0["target"] as? String == "d/file" }
    #expect(link?["path"] as? String == path + "/link" && link?["target"] as? String == "d/file", "\(listed)")
    #expect(listed.contains { $0["mode"] as? String == "4750" && $0["uid"] as? Int == 7 && $0["size"] as? Int == 3000 }, "\(listed)")
    let saved = try objects(["backup", Scratch.line("plain", path), "-o", archive, "--json"])
    #expect(saved.count == 1 && saved[0]["entries"] as? Int == 8 && saved[0]["failed"] as? Int == 0, "\(saved)")
    #expect(saved[0]["not_saved"] as? [String] == [] && saved[0]["seconds"] is Double && saved[0]["bytes"] as? Int == 3003, "\(saved)")
    let restored = try objects(["restore", archive, Scratch.line(), "--where", path + "/restored", "--json"])
    #expect(restored.count == 1 && restored[0]["entries"] as? Int == 8 && restored[0]["failed"] as? Int == 0, "\(restored)")
    let refused = try run(Scratch.tool, "backup", Scratch.line("plain", path), "-o", "-", "--json")
    #expect(refused.status == 64 && refused.output.contains("--json prints on standard output"), "\(refused.output)")
  }

  @Test("gfapi-fd accepts the URI of a volume in place of a plugin line")
  func uri() throws {
    let path = try makeTree()
    let archive = try Scratch.temporaryFile(".pax")
    let uri = "gluster://scratch:24007/plain"
    for arguments in [
      ["check", uri + path], ["estimate", uri + path], ["list", uri + path, path + "/d"], ["backup", uri + path, "-o", archive],
      ["restore", archive, uri, "--where", path + "/restored"],
    ] {
      let result = try run(Scratch.tool, arguments)
      #expect(result.status == 0, "\(arguments): \(result.output)")
    }
    let wrong = try run(Scratch.tool, "check", "gluster://scratch:x/plain")
    #expect(wrong.status == 2 && wrong.output.contains("the port is not a number"), "\(wrong.output)")
  }

  @Test("gfapi-fd writes no archive to a terminal")
  func terminal() throws {
    let script = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
    let result = try run("python3", "-c", script, Scratch.tool, "backup", Scratch.line(), "-o", "-")
    #expect(result.status == 64 && result.output.contains("standard output is a terminal"), "\(result.output)")
  }

  @Test("gfapi-fd exits with 2 if nothing was done, and with 1 if entries failed")
  func status() throws {
    let archive = try Scratch.temporaryFile(".pax")
    #expect(try run(Scratch.tool, "backup", "gfapi:nonsense", "-o", archive).status == 2)
    #expect(try run(Scratch.tool, "backup", Scratch.line(), "-o", archive, "--module", "/nonexistent.so").status == 2)
    let missing = try run(Scratch.tool, "restore", "/nonexistent.pax", Scratch.line())
    #expect(missing.status == 2 && missing.output.contains("/nonexistent.pax: No such file or directory"), "\(missing.output)")
    let full = try run(Scratch.tool, "backup", Scratch.line(), "-o", "/dev/full")
    #expect(full.status == 2 && full.output.contains("the archive cannot be written: No space left on device"), "\(full.output)")
    #expect(try run(Scratch.tool, "backup").status == 64)

    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    #expect(try run(Scratch.tool, "backup", Scratch.line("plain", path), "-o", archive).status == 0)
    try FileManager.default.createDirectory(atPath: local + "/where" + path + "/file", withIntermediateDirectories: true)
    let clash = try run(Scratch.tool, "restore", archive, Scratch.line(), "--where", path + "/where")
    #expect(clash.status == 1, "\(clash.output)")
    #expect(clash.output.contains("error: ") && clash.output.contains("restored 1 entries"), "\(clash.output)")
  }

  @Test("gfapi-fd backup --files-from saves the named paths, what is in them and the directories above, and nothing else")
  func filesFrom() throws {
    let (local, path) = try Scratch.folder()
    let tree =
      "mkdir -p a/sub/deep b c; for f in a/1 a/sub/2 a/sub/deep/3 b/4 b/5 c/6 \"$(printf 'c/new\\nline')\"; do echo x > \"$f\"; done"
    #expect(try run("bash", "-ec", "cd '\(local)'; \(tree)").status == 0)
    let archive = try Scratch.temporaryFile(".pax")
    func saved(_ paths: String, _ options: String = "") throws -> (names: Set<String>, result: CommandResult) {
      let script =
        "printf '\(paths)' | '\(Scratch.tool)' backup '\(Scratch.line("plain", path))' -o '\(archive)' --module '\(Scratch.modulePath)' --files-from - \(options)"
      let result = try run("bash", "-ec", script)
      let names = try run("tar", "--quoting-style=escape", "-tf", archive).output.split(separator: "\n").map {
        String($0.trimmingPrefix("/").trimmingPrefix(path.dropFirst()))
      }
      return (Set(names), result)
    }
    let some = try saved("a/sub\\n\(path)/b/4\\n./a/sub/2\\n")
    #expect(some.result.status == 0 && some.result.output.contains("3 paths named"), "\(some.result.output)")
    #expect(some.names == ["/", "/a/", "/a/sub/", "/a/sub/2", "/a/sub/deep/", "/a/sub/deep/3", "/b/", "/b/4"])
    let zero = try saved("c/new\\nline\\0", "--null")
    #expect(zero.result.status == 0 && zero.names == ["/", "/c/", #"/c/new\nline"#], "\(zero)")
    // A path that does not exist is an error, and the others are saved.
    let missing = try saved("nothing\\nb/4\\n")
    #expect(
      missing.result.status == 1 && missing.result.output.contains("not saved: gfapi: GFD-050 \(path)/nothing: "),
      "\(missing.result.output)")
    #expect(missing.names == ["/", "/b/", "/b/4"])
    // The FileSet's options apply.
    let excluded = try saved("a/sub\\nb/4\\n", "--exclude '*/sub'")
    #expect(excluded.names == ["/", "/a/", "/b/", "/b/4"], "\(excluded)")
    for (paths, words) in [("", "names nothing"), ("../x\\n", "which is not below"), ("/elsewhere\\n", "which is not below")] {
      let wrong = try saved(paths)
      #expect(wrong.result.status == 2 && wrong.result.output.contains(words), "\(wrong.result.output)")
    }
    #expect(try run(Scratch.tool, "backup", Scratch.line(), "-o", archive, "--files-from", "/nonexistent").output.contains("GFD-312"))
    // The other commands understand such a line.
    let file = try Scratch.temporaryFile()
    try Data("\(path)/a/sub\0\(path)/b/4\0".utf8).write(to: URL(fileURLWithPath: file))
    let line = Scratch.line("plain", path) + ":pathlist=\(file)"
    let listed = try run(Scratch.tool, "list", line, path + "/a/sub/2", "--module", Scratch.modulePath)
    #expect(listed.status == 0 && listed.output.contains("\(path)/a/sub/2\n") && !listed.output.contains("deep"), "\(listed.output)")
    let check = try run(Scratch.tool, "check", line, "--module", Scratch.modulePath)
    #expect(check.output.contains("pathlist:") && check.output.contains("\(file) may be read"), "\(check.output)")
  }

  /// Reads an archive with tar, bsdtar and the tool, and returns their exit statuses.
  func statuses(_ archive: String) throws -> [Int32] {
    let restored = try Scratch.folder("restored").path
    return [
      try run("tar", "-tf", archive).status, try run("bsdtar", "-tf", archive).status,
      try run(Scratch.tool, "restore", archive, Scratch.line(), "--where", restored).status,
    ]
  }

  @Test("a cancelled gfapi-fd backup leaves no archive that looks whole, and does not change an older one")
  func cancelledArchive() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-ec", "cd '\(local)'; for n in $(seq 400); do head -c 200000 /dev/urandom > $n; done").status == 0)
    let archive = try Scratch.temporaryFile(".pax")
    try Data("older".utf8).write(to: URL(fileURLWithPath: archive))
    let script = """
      '\(Scratch.tool)' backup '\(Scratch.line("plain", path))' -o '\(archive)' > '\(archive).log' 2>&1 & tool=$!
      until [ -s '\(archive).part' ]; do kill -0 $tool || exit 9; sleep 0.01; done; kill -INT $tool; wait $tool; exit $?
      """
    let result = try run("timeout", "60", "bash", "-mc", script)
    let said = try String(contentsOfFile: archive + ".log", encoding: .utf8)
    #expect(result.status == 1 && said.contains("cancelled") && said.contains("the archive is not whole: \(archive).part"), "\(said)")
    #expect(try String(contentsOfFile: archive, encoding: .utf8) == "older")
    let listed = try run("tar", "-tf", archive + ".part").output.split(separator: "\n").filter { $0.hasPrefix(path.dropFirst()) }
    #expect((1..<400).contains(listed.count))
    let statuses = try statuses(archive + ".part")
    #expect(statuses == [2, 1, 1])
  }

  @Test(
    "gfapi-fd backup onto a full disk leaves only complete entries, in an archive that does not look whole",
    arguments: [1_000, 10_000, 700_000])
  func fullDisk(_ size: Int) throws {
    let (local, path) = try Scratch.folder()
    let count = 3_000_000 / size
    #expect(try run("sh", "-ec", "cd '\(local)'; for n in $(seq \(count)); do head -c \(size) /dev/urandom > $n; done").status == 0)
    let folder = try Scratch.temporaryFile()
    #expect(try run("sh", "-ec", "mkdir '\(folder)' '\(folder).out'; mount -t tmpfs -o size=2m small '\(folder)'").status == 0)
    defer { _ = try? run("umount", folder) }
    let archive = folder + "/archive.pax"
    let full = try run(Scratch.tool, "backup", Scratch.line("plain", path), "-o", archive)
    #expect(full.status != 0 && full.output.contains("GFD-304 the archive cannot be written: No space left"), "\(full.output)")
    #expect(!FileManager.default.fileExists(atPath: archive))
    #expect(try statuses(archive + ".part").allSatisfy { $0 != 0 })
    _ = try run("tar", "-C", folder + ".out", "-xf", archive + ".part")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + ".out" + path)) ?? []
    #expect(names.count * size > 500_000 && names.count < count, "\(names.count)")
    for name in names { #expect(try run("cmp", "\(folder).out\(path)/\(name)", "\(local)/\(name)").status == 0) }
  }

  @Test("gfapi-fd backup leaves no archive that looks whole if temporary space runs out, and none if it cannot begin")
  func noRoom() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-ec", "cd '\(local)'; echo x > a; head -c 20000000 /dev/urandom > large").status == 0)
    let archive = try Scratch.temporaryFile(".pax")
    let folder = try Scratch.temporaryFile()
    #expect(try run("sh", "-ec", "mkdir '\(folder)'; mount -t tmpfs -o size=8m small '\(folder)'").status == 0)
    defer { _ = try? run("umount", folder) }
    let full = try run(Scratch.tool, ["backup", Scratch.line("plain", path), "-o", archive], environment: ["TMPDIR": folder])
    #expect(full.status != 0 && full.output.contains("the temporary file cannot be written: No space left"), "\(full.output)")
    #expect(!FileManager.default.fileExists(atPath: archive))
    if FileManager.default.fileExists(atPath: archive + ".part") { #expect(try statuses(archive + ".part")[0] == 2) }
    try Data("older".utf8).write(to: URL(fileURLWithPath: archive))
    for line in [Scratch.line("plain", path + "/none"), Scratch.line("nosuch") + ":timeout=3", "gfapi:vol=x"] {
      #expect(try run(Scratch.tool, "backup", line, "-o", archive).status == 2)
      #expect(try String(contentsOfFile: archive, encoding: .utf8) == "older" && !FileManager.default.fileExists(atPath: archive + ".part"))
    }
    // Devices and symbolic links are written to, not replaced.
    #expect(try run(Scratch.tool, "backup", Scratch.line("plain", path), "-o", "/dev/null").status == 0)
    #expect(try run("ln", "-s", archive, archive + "-link").status == 0)
    #expect(try run(Scratch.tool, "backup", Scratch.line("plain", path), "-o", archive + "-link").status == 0)
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: archive + "-link") == archive)
    #expect(try statuses(archive) == [0, 0, 0])
  }

  @Test("a gfapi-fd backup of a volume that becomes unreachable has no part of a file in its archive")
  func goneArchive() throws {
    try Scratch.withVolume("gone", bricks: 1) {
      let local = try Scratch.mount("gone")
      #expect(try run("sh", "-ec", "cd '\(local)'; for n in 1 2 3 4 5 6; do head -c 60000000 /dev/urandom > f$n; done").status == 0)
      let archive = try Scratch.temporaryFile(".pax")
      let pid = try Scratch.firstBrick("gone")
      let script = """
        '\(Scratch.tool)' backup '\(Scratch.line("gone", ":timeout=3"))' -o '\(archive)' > '\(archive).log' 2>&1 & tool=$!
        until [ -s '\(archive).part' ]; do kill -0 $tool || exit 9; sleep 0.01; done; kill -9 \(pid); wait $tool; exit $?
        """
      let result = try run("timeout", "60", "bash", "-mc", script)
      let said = try String(contentsOfFile: archive + ".log", encoding: .utf8)
      #expect(result.status == 1 && said.contains("the archive is not whole"), "\(result.status) \(said)")
      let listed = try run("tar", "-tvf", archive + ".part")
      #expect(listed.status == 2)
      for line in listed.output.split(separator: "\n") where line.contains("f") && line.hasPrefix("-") {
        #expect(line.contains(" 60000000 "), "\(listed.output)")
      }
    }
  }

  @Test("gfapi-fd prints plain lines without a terminal, and can write an archive to standard output")
  func pipe() throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("piped".utf8))
    let result = try run(
      "sh", "-c", "'\(Scratch.tool)' backup '\(Scratch.line("plain", path))' -o - 2>/dev/null | tar -xO -f - '\(path.dropFirst())/file'")
    #expect(result.output == "piped")
    let told = try run("sh", "-c", "'\(Scratch.tool)' backup '\(Scratch.line("plain", path))' -o - 2>&1 >/dev/null")
    #expect(!told.output.contains("\r") && told.output.contains("saved 2 entries"))
  }

  @Test("gfapi-fd ends at once when it is interrupted")
  func interrupt() throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-c", "cd '\(local)' && for n in $(seq 3000); do : > $n; done").status == 0)
    let archive = try Scratch.temporaryFile(".pax")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Scratch.tool)
    process.arguments = ["backup", Scratch.line("plain", path), "-o", archive]
    let pipe = Pipe()
    process.standardError = pipe
    try process.run()
    #expect(eventually { (try? FileManager.default.attributesOfItem(atPath: archive + ".part")[.size] as? Int) ?? 0 > 0 })
    process.interrupt()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 1, "\(output)")
    #expect(output.contains("cancelled"), "\(output)")
  }
}
