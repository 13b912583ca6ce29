import Foundation
import Testing
import TestSupport

/// The transcripts of the documents, run against the real daemons. Names and numbers differ; every other character must be the same.
@Suite("Transcripts in the documents", .serialized)
struct TranscriptTests {
  /// The names of the documents, and the names of the scratch volumes and of the resources that the scripts make.
  static let names = [
    ("server.example.com…", "scratch…"), ("server.example.com", "scratch"), ("othervol", "small"), ("myvol", "plain"),
    ("bareos-fd", "client"),
    ("bacula-fd", "client"), ("restorejob=RestoreFiles", "restorejob=restore"), ("job=Gluster", "job=accurate"),
    // Bacula's catalog on SQLite loses options of some lengths.
    ("from-backup", "from-the-backup"),
  ]

  static func transcripts(of document: String, _ others: [String: String]) throws -> [Transcript] {
    let text = try String(contentsOfFile: Scratch.script("../" + document), encoding: .utf8)
    let found = Transcript.all(in: text, replacing: others.map { ($0.key, $0.value) } + names)
    try #require(!found.isEmpty, "\(document) has no transcript")
    return found
  }

  /// The directory that the documents back up.
  private struct Home {
    let mount: String

    /// Creates the directory `/home` of a volume.
    init(on kind: String = "plain") throws {
      mount = try Scratch.mount(kind)
      _ = try Scratch.mount("small")
      try change(
        """
        rm -rf home restored moved && mkdir -p home/alice home/bob home/cache && cd home && echo 'Dear Bob,' > alice/letter.txt &&
        head -c 3000000 /dev/urandom > alice/data.bin && echo tmp > alice/notes.tmp && ln alice/letter.txt bob/letter.txt &&
        echo b > bob/b.txt && ln -s ../alice/data.bin bob/data && mkfifo bob/fifo && truncate -s 10M bob/image.raw &&
        printf boot | dd conv=notrunc of=bob/image.raw status=none && for n in 1 2 3; do echo $n > cache/$n; done
        """)
    }

    func change(_ script: String) throws {
      let result = try run("sh", "-c", "cd '\(mount)' && \(script)")
      try #require(result.status == 0, "\(result.output)")
    }

    /// Changes what the documents change between their first and their second job.
    func changeAfterFullBackup() throws { try change("rm home/bob/b.txt && echo 'Dear Bob, thanks' > home/alice/letter.txt") }

    func remove() throws {
      try change("rm -rf home restored moved")
      _ = try run("sh", "-c", "rm -rf '\(try Scratch.mount("small"))/from-backup'")
    }
  }

  /// Runs the transcripts of a document that use bconsole, one after another.
  ///
  /// - Parameter others: names of the document, and the names of the test, beside ``names``.
  private func runAll(
    _ document: String, _ home: Home, _ others: [String: String] = [:], console: ([String]) throws -> String
  ) throws {
    for transcript in try Self.transcripts(of: document, others) where transcript.kind == .console {
      // The documents leave out the level where the default of the job is incremental.
      var inputs = transcript.inputs.map { $0 == "run job=accurate yes" ? "run job=accurate level=Incremental yes" : $0 }
      guard !inputs[0].hasPrefix("configure ") else { continue }
      if inputs[0].contains("level=Incremental") {
        try home.changeAfterFullBackup()
        nextSecond()
      }
      if !inputs.contains("wait"),
        let job = inputs.firstIndex(where: { $0.hasPrefix("run ") || $0.hasPrefix("restore ") && $0.hasSuffix(" yes") })
      {
        inputs.insert(contentsOf: ["wait", "messages"], at: job + 1)
      }
      let output = try console(inputs)
      let missing = transcript.missingLine(in: output)
      #expect(missing == nil, "\(document), \(transcript.heading): \(missing ?? "") is not in: \(output)")
    }
    try home.remove()
  }

  /// Commands, as `printf` takes them between single quotes.
  private static func escaped(_ commands: [String]) -> [String] {
    commands.map { $0.replacing("\\", with: "\\\\").replacing("%", with: "%%").replacing("'", with: #"'\''"#) }
  }

  @Test("Every transcript of docs/bacula.md is what the real Bacula prints")
  func bacula() throws {
    let home = try Home()
    let bacula = try Bacula(Bacula.line("plain", "/home:"))
    try runAll("docs/bacula.md", home, ["fileset=Gluster": "fileset=Volume"]) { try bacula.console(Self.escaped($0)) }
    try bacula.end()
  }

  @Test(
    "Every transcript of README.md and docs/bareos.md is what the real Bareos prints",
    .enabled(if: !Bareos.trees.isEmpty, "BAREOS_BUILD names no build tree"), arguments: Bareos.trees, ["README.md", "docs/bareos.md"])
  func bareos(_ tree: String, _ document: String) throws {
    let home = try Home()
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain/home:"#)
    try runAll(document, home) { try bareos.console(Self.escaped($0)) }
  }

  @Test(
    "Every transcript of gfapi-fd check in the documents is what the tool prints",
    arguments: ["README.md", "docs/bareos.md", "docs/bacula.md", "docs/glusterfind.md", "docs/snapshots.md"])
  func check(_ document: String) throws {
    let text = try String(contentsOfFile: Scratch.script("../" + document), encoding: .utf8)
    let kind =
      document == "docs/snapshots.md"
      ? "plain-thin"
      : text.contains("gfapi-fd check 'gfapi:") ? "plain-logged" : text.contains("type:        replicated") ? "replicated" : "plain"
    try FileManager.default.createDirectory(atPath: try Scratch.mount(kind) + "/home", withIntermediateDirectories: true)
    let names = [
      ("server.example.com:/bricks/myvol", "…"), ("server.example.com", "scratch"), ("myvol.list", "missing.list"), ("myvol", kind),
    ]
    let transcripts = Transcript.all(in: text, replacing: names).filter { $0.kind == .shell && $0.inputs[0].contains("gfapi-fd check") }
    try #require(transcripts.count == 1)
    for transcript in transcripts {
      let command = transcript.inputs[0].replacing("gfapi-fd check", with: "'\(Scratch.tool)' check --module '\(Scratch.modulePath)'")
      let output = try run("sh", "-c", command).output
      let missing = transcript.missingLine(in: output)
      #expect(missing == nil, "\(document): \(missing ?? "") is not in: \(output)")
    }
  }

  @Test(
    "Every transcript of docs/recovery.md is what the real Bareos prints",
    .enabled(if: !Bareos.trees.isEmpty, "BAREOS_BUILD names no build tree"), arguments: Bareos.trees)
  func recovery(_ tree: String) throws {
    let home = try Home(on: "distributed")
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/distributed:"#)
    let log = try bareos.console("run job=accurate level=Full yes", "wait", "messages")
    try #require(log.contains("Backup OK"), "\(log)")
    let failed = try Scratch.temporaryFile(".txt")
    try Data("/home/alice/data.bin\n".utf8).write(to: URL(fileURLWithPath: failed))
    try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: failed)
    let names = ["other.example.com": "scratch", "myvol": "distributed", "/tmp/failed.txt": failed]
    try runAll("docs/recovery.md", home, names) { try bareos.console(Self.escaped($0)) }
  }

  @Test(
    "The lines of a job's log in docs/glusterfind.md are those of the real Bareos",
    .enabled(if: !Bareos.trees.isEmpty, "BAREOS_BUILD names no build tree"), arguments: Bareos.trees)
  func listed(_ tree: String) throws {
    let (local, path) = try Scratch.folder(on: "plain-logged")
    func change(_ script: String) throws {
      #expect(try run("sh", "-c", "cd '\(local)' && \(script)").status == 0)
      nextSecond()
      #expect(try Glusterfind.waitForChangelogs("plain-logged"))
    }
    let bareos = try Bareos(tree, line: #"gfapi:volume=gluster\\://scratch/plain-logged"# + path + ":", listed: "plain-logged")
    let names = [
      "/var/lib/bareos/myvol.list": "…", "volume myvol": "volume …", "server.example.com (default port)": "scratch (default port)",
    ]
    let logs = try Self.transcripts(of: "docs/glusterfind.md", names).filter { $0.kind == .log }
    try #require(logs.count == 2)
    for (transcript, (level, script)) in zip(
      logs, [("Full", "mkdir a b; for n in 1 2 3; do echo $n > a/$n; done"), ("Incremental", "echo more >> a/1; mv a/2 b/2; rm a/3")])
    {
      try change(script)
      let log = try bareos.console("run job=listed level=\(level) yes", "wait", "messages")
      let missing = transcript.missingLine(in: log)
      #expect(missing == nil, "\(level): \(missing ?? "") is not in: \(log)")
    }
  }

  @Test("The commands of docs/storage.md print what it shows")
  func storage() throws {
    try FileManager.default.createDirectory(atPath: try Scratch.mount("plain") + "/bareos", withIntermediateDirectories: true)
    let text = try String(contentsOfFile: Scratch.script("../docs/storage.md"), encoding: .utf8)
    // The test is root, who may write the directory as well.
    let names = [
      ("server.example.com", "scratch"), ("myvol", "plain"), ("sudo -u bareos env", "env"),
      ("/usr/lib/bareos/scripts/bareos-gluster-storage", "'\(StorageProgram.path)'"),
    ]
    let transcripts = Transcript.all(in: text, replacing: names).filter { $0.kind == .shell }
    try #require(transcripts.count == 3)
    let storage = StorageProgram("plain", "/bareos")
    #expect(try storage.run("upload", "Test-0001", "0000", input: Data(count: 13391)).status == 0)
    let uri = "export uri=gluster://scratch/plain/bareos; "
    for transcript in transcripts {
      let result = try run("sh", "-c", uri + transcript.inputs.joined(separator: "\n"))
      let missing = transcript.missingLine(in: result.output)
      #expect(result.status == 0 && missing == nil, "\(transcript.inputs): \(missing ?? "") is not in: \(result.output)")
    }
  }
}
