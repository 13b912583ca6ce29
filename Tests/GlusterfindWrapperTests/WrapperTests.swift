import Foundation
import GlusterCommand
import GlusterfindList
import Programs
import Testing
import TestSupport

@testable import GlusterfindWrapper

@Suite("The arguments of the wrapper")
struct WrapperTests {
  func parse(_ options: [String], phase: String = "prebackup") throws -> Wrapper {
    try Wrapper.parse(options + [phase, "myvol", "/var/lib/bareos/myvol.list"])
  }

  func refusal(_ arguments: [String]) -> String {
    let error = #expect(throws: (any Error).self) { _ = try Wrapper.parse(arguments) }
    guard let error else { return "" }
    #expect(Wrapper.exitCode(for: error).rawValue == 64)
    return Wrapper.message(for: error)
  }

  @Test(
    "The wrapper accepts the level of a job as a word or a letter",
    arguments: [
      ("Full", .full), ("full", .full), ("F", .full), ("Incremental", .incremental), ("i", .incremental), ("DIFFERENTIAL", .differential),
      ("D", .differential),
    ] as [(String, Wrapper.Level)])
  func level(_ text: String, _ level: Wrapper.Level) throws { #expect(try parse(["-l", text]).jobLevel() == level) }

  @Test("Without options the wrapper lists everything, for a full backup")
  func defaults() throws {
    let wrapper = try parse([])
    #expect(try wrapper.jobLevel() == .full)
    #expect(try wrapper.sinceTime() == nil)
    #expect(!wrapper.isOtherJob && !wrapper.strict && !wrapper.trustGlusterfind && !wrapper.trustChangelogs && wrapper.timeout == 14_400)
  }

  @Test(
    "The wrapper accepts a time in seconds, or an empty time",
    arguments: [("", nil), ("*None*", nil), ("0", 0), ("1700000000", 1_700_000_000)] as [(String, Int?)])
  func seconds(_ text: String, _ seconds: Int?) throws { #expect(try parse(["--since", text]).sinceTime() == seconds) }

  @Test("The wrapper accepts a local time, in summer and in winter", arguments: [1_700_000_000, 1_720_000_000, 951_782_400, 4_000_000_000])
  func local(_ seconds: Int) throws {
    var (time, fields) = (seconds, tm())
    localtime_r(&time, &fields)
    var text = [CChar](repeating: 0, count: 64)
    let length = strftime(&text, text.count, "%Y-%m-%d %H:%M:%S", &fields)
    let since = String(decoding: text[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
    #expect(try parse(["-s", since]).sinceTime() == seconds)
  }

  @Test("The wrapper takes a time before 1970 as the beginning of time")
  func old() throws { #expect(try parse(["-s", "1950-01-01 00:00:00"]).sinceTime() == 0) }

  @Test(
    "Wrong arguments of the wrapper are rejected with the argument at fault",
    arguments: [
      (["-l", "Weekly", "prebackup", "v", "/l"], "--level: Weekly: known are"),
      (["-l", "", "prebackup", "v", "/l"], "--level: :"),
      (["--since", "yesterday", "prebackup", "v", "/l"], "--since: yesterday: neither"),
      (["--since=-5", "prebackup", "v", "/l"], "--since: -5: neither"),
      (["--since", "2026-01-01", "prebackup", "v", "/l"], "--since: 2026-01-01: neither"),
      (["--since", "2026-01-01 00:00:0x", "prebackup", "v", "/l"], "neither seconds since 1970 nor YYYY-MM-DD HH:MM:SS"),
      (["prebackup", "v", "relative"], "OUTFILE: relative"), (["prebackup", "v", "/folder/"], "OUTFILE: /folder/"),
      (["prebackup", "", "/l"], "VOLUME: : not a volume"), (["prebackup", "--", "-v", "/l"], "VOLUME: -v: not a volume"),
      (["--timeout", "0", "prebackup", "v", "/l"], "--timeout: 0"), (["--timeout", "x", "prebackup", "v", "/l"], "timeout"),
      (["--session", "default", "prebackup", "v", "/l"], "--session: default"),
      (["--session", "a", "prebackup", "v", "/l"], "--session: a:"),
      (["--session", "../up", "prebackup", "v", "/l"], "--session: ../up"),
      (["--session", "ää", "postbackup", "v", "/l"], "--session: ää"),
      (["--session", String(repeating: "a", count: 257), "prebackup", "v", "/l"], "2 to 256"),
      (["midbackup", "v", "/l"], "midbackup"), (["prebackup", "v"], "OUTFILE is missing"),
      (["--snapshot", "%j", "prebackup", "v"], "--snapshot: \"%j\": the daemon has not put the job's name"),
      (["--snapshot", "", "postbackup", "v"], "--snapshot: \"\": the daemon"),
      (["--or-live", "prebackup", "v", "/l"], "--node and --or-live need --snapshot"),
      (["--node", "n", "prebackup", "v", "/l"], "--node and --or-live need --snapshot"),
      (["--snapshot", "j", "--node", "n", "prebackup", "v", "/l"], "--node: not together with OUTFILE"),
      (["--snapshot", "j", "--node=-oProxyCommand=x", "prebackup", "v"], "--node: -oProxyCommand=x: not a host"),
      (["--snapshot", "j", "--session", "ab", "prebackup", "v"], "--session needs OUTFILE"),
    ])
  func wrong(_ arguments: [String], _ words: String) {
    let refusal = refusal(arguments)
    #expect(refusal.contains(words), "\(refusal)")
  }

  @Test("After a job the wrapper requires neither a level nor a time")
  func after() throws { #expect(throws: Never.self) { try parse(["-l", "Weekly", "-s", "yesterday"], phase: "postbackup") } }

  @Test("The wrapper accepts the session names of glusterfind", arguments: ["ab", "Nightly_2-x", String(repeating: "a", count: 256)])
  func session(_ name: String) throws { #expect(try parse(["--session", name]).session == name) }

  @Test(
    "The wrapper does nothing for a job that is not a backup",
    arguments: [
      ("Backup", false), ("Restore", true), ("VERIFY", true), ("admin", true), ("Copy", true), ("migrate", true), ("Consolidate", true),
      ("B", false),
    ])
  func type(_ type: String, _ isOther: Bool) throws { #expect(try parse(["-t", type]).isOtherJob == isOther) }

  @Test(
    "The wrapper accepts the three words that Bareos substitutes for %t",
    arguments: [
      (["-l", "Full", "-t", "System", "or", "Console", "prebackup"], ["-l", "Full", "prebackup"]),
      (["-t", "System", "or"], ["-t", "System", "or"]),
      (["-t", "Backup", "prebackup"], ["-t", "Backup", "prebackup"]), ([], []),
    ])
  func console(_ arguments: [String], _ rest: [String]) { #expect(Wrapper.withoutConsole(arguments) == rest) }

  @Test(
    "The wrapper recognizes from a job's exit status if it succeeded",
    arguments: [
      ("OK", true), ("ok", true), ("OK -- with warnings", true), ("Terminated", true), ("T", true), ("W", true), ("0", true), ("", false),
      ("Error", false), ("Fatal Error", false), ("Canceled", false), ("f", false), ("OKAY", false), ("Not OK", false), ("1", false),
      ("00", false),
    ])
  func ended(_ exit: String, _ isWell: Bool) throws { #expect(try parse(["-e", exit], phase: "postbackup").endedWell == isWell) }
}

@Suite("The list that is written before a job")
struct PrebackupTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  func prebackup(_ level: Wrapper.Level = .incremental, since: Int? = 100, session: String? = nil) throws -> Prebackup {
    Prebackup(
      volume: "myvol", level: level, since: since, session: session, isStrict: false, trustsGlusterfind: false, trustsChangelogs: false,
      timeout: 1,
      list: try ListFile(folder.path + "/out.list"))
  }

  @Test("The wrapper lists everything for a full backup, and if the time of the previous job is not known")
  func wanted() throws {
    #expect(try prebackup(.full).wanted(sessionTime: nil, now: 200) == .everything(nil))
    #expect(try prebackup(.full, session: "s").wanted(sessionTime: 50, now: 200) == .everything(nil))
    #expect(try prebackup(.incremental, since: 100).wanted(sessionTime: nil, now: 200) == .changes(since: 100))
    #expect(try prebackup(.differential, since: 100).wanted(sessionTime: nil, now: 200) == .changes(since: 100))
    for (since, words) in [(nil, "is not known"), (0, "is 0"), (206, "206, is later than now, 200")] as [(Int?, String)] {
      guard case .everything(let reason?) = try prebackup(.incremental, since: since).wanted(sessionTime: nil, now: 200) else {
        Issue.record("\(since as Any)")
        continue
      }
      #expect(reason.contains(words))
    }
  }

  @Test(
    "The wrapper uses the session of glusterfind if it begins early enough",
    arguments: [
      (.incremental, 100, 100, .changes(since: 100, session: "s")), (.incremental, 100, 50, .changes(since: 50, session: "s")),
      (.incremental, nil, 50, .changes(since: 50, session: "s")), (.incremental, 100, 101, .changes(since: 100)),
      (.incremental, 100, nil, .changes(since: 100)),
      // A session advances with each job, but a differential backup needs the changes of several jobs.
      (.differential, 100, 50, .changes(since: 100)),
      (.incremental, 0, 50, .everything("the start time of the list is 0")),
    ] as [(Wrapper.Level, Int?, Int?, Prebackup.Wanted)])
  func session(_ level: Wrapper.Level, _ since: Int?, _ sessionTime: Int?, _ wanted: Prebackup.Wanted) throws {
    #expect(try prebackup(level, since: since, session: "s").wanted(sessionTime: sessionTime, now: 200) == wanted)
  }

  @Test("The header of a list states its content")
  func header() {
    #expect(Prebackup.Wanted.everything("why").header(7) == ListHeader(isFull: true, since: 0, until: 7))
    #expect(Prebackup.Wanted.changes(since: 5, session: "s").header(7) == ListHeader(isFull: false, since: 5, until: 7))
  }

  /// Writes the list from its parts. Returns the number of changes and the text of the list.
  func write(_ parts: [[String]], isFull: Bool = false) throws -> (count: Int, list: String) {
    let files = try parts.enumerated().map { try folder.write(lines: $1, to: "part\($0)") }
    let count = try prebackup().write(files, ListHeader(isFull: isFull, since: 1, until: 2), in: folder.path)
    return (count, try String(contentsOfFile: folder.path + "/out.list", encoding: .utf8))
  }

  @Test("A list contains everything that glusterfind and the changelogs report")
  func parts() throws {
    let (count, list) = try write([["NEW a", "DELETE b"], [], ["#begin 1 level=changes since=0 until=9", "MODIFY c%20d", "#end 1"]])
    #expect(count == 3)
    #expect(list == "#begin 1 level=changes since=1 until=2\nNEW a\nDELETE b\nMODIFY c%20d\n#end 3\n")
    #expect(try write([]).list == "#begin 1 level=changes since=1 until=2\n#end 0\n")
  }

  @Test(
    "A list with an incomplete part is not trusted",
    arguments: [
      (["NEW a", "#begin 1 level=changes since=0 until=9", "MODIFY b"], "not been read to their end"),
      (["#end 0"], "not been read to their end"),
      (["#begin 2 level=changes since=0 until=9"], "another version"), (["#crawl why"], "another version"),
      (["# remark"], "another version"),
      (["NEW " + String(repeating: "a", count: LineReader.longestLine)], "cut off in line 1"),
    ])
  func untrusted(_ lines: [String], _ reason: String) {
    let error = #expect(throws: Glusterfind.Untrusted.self) { try write([["NEW x"], lines]) }
    #expect(error?.reason.contains(reason) == true, "\(error?.reason ?? "")")
    #expect(!FileManager.default.fileExists(atPath: folder.path + "/out.list"))
  }

  @Test("A list is not trusted if a part ends within a line or is missing")
  func cutOff() throws {
    let header = ListHeader(isFull: false, since: 1, until: 2)
    let part = try folder.write("NEW a\nNEW b".utf8)
    for (part, reason) in [(part, "cut off in line 2"), (folder.path + "/none", "cannot be read: No such file")] {
      let error = #expect(throws: Glusterfind.Untrusted.self) { try prebackup().write([part], header, in: folder.path) }
      #expect(error?.reason.contains(reason) == true)
      try FileManager.default.removeItem(atPath: folder.path + "/list")
    }
  }

  @Test("A list of everything that names nothing is not trusted")
  func full() throws {
    #expect(throws: Glusterfind.Untrusted.self) { try write([[]], isFull: true) }
    try FileManager.default.removeItem(atPath: folder.path + "/list")
    #expect(try write([["NEW a"]], isFull: true).count == 1)
  }
}

@Suite("The file of a list")
struct ListFileTests {
  let folder: TemporaryFolder
  let file: ListFile

  init() throws {
    folder = try TemporaryFolder()
    file = try ListFile(folder.path + "/out.list")
  }

  let header = ListHeader(isFull: true, since: 0, until: 2)

  @Test("A list appears only when it is complete, and only its owner can read it")
  func write() throws {
    let work = try ListFile.makeFolder(file.path)
    #expect(work.hasPrefix(file.path + "."))
    try file.write(in: work, header) { writer in
      #expect(!FileManager.default.fileExists(atPath: file.path))
      // More than one write buffer.
      for number in 0..<10_000 { try writer.add(line: "NEW file-\(number)".utf8) }
      try writer.directive("#crawl why\n")
    }
    let lines = try String(contentsOfFile: file.path, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 10_003 && lines[5000] == "NEW file-4999" && lines.suffix(2) == ["#crawl why", "#end 10000"])
    #expect(try FileManager.default.attributesOfItem(atPath: file.path)[.posixPermissions] as? Int == 0o600)
    ListFile.removeFolder(work)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["out.list"])
  }

  @Test("The previous list stays unchanged if writing the new one fails")
  func failing() throws {
    try folder.write(lines: ["former"], to: "out.list")
    struct Failed: Error {}
    #expect(throws: Failed.self) {
      try file.write(in: folder.path, header) {
        try $0.add(line: "NEW a".utf8)
        throw Failed()
      }
    }
    #expect(try String(contentsOfFile: file.path, encoding: .utf8) == "former\n")
  }

  @Test("A list is not written through a symbolic link of somebody else")
  func taken() throws {
    let other = try folder.write(lines: ["other"], to: "other")
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/list", withDestinationPath: other)
    #expect(throws: Failure.self) { try file.write(in: folder.path, header) { _ in } }
    #expect(try String(contentsOfFile: other, encoding: .utf8) == "other\n")
  }

  @Test("Removing a list succeeds if it exists or not; a folder is rejected as a list")
  func remove() throws {
    try folder.write(lines: ["former"], to: "out.list")
    try file.remove()
    #expect(!FileManager.default.fileExists(atPath: file.path))
    try file.remove()
    #expect(throws: Failure.self) { try ListFile(folder.path) }
    #expect(throws: Failure.self) { try ListFile.makeFolder(folder.path + "/none/out.list") }
  }

  @Test("The working folder of a list is removed with everything in it, and nothing outside")
  func removeFolder() throws {
    let kept = try folder.write(lines: ["kept"], to: "kept")
    let work = try ListFile.makeFolder(file.path)
    try FileManager.default.createDirectory(atPath: work + "/a/b", withIntermediateDirectories: true)
    #expect(FileManager.default.createFile(atPath: work + "/a/b/.c", contents: nil))
    try FileManager.default.createSymbolicLink(atPath: work + "/a/link", withDestinationPath: folder.path)
    ListFile.removeFolder(work)
    #expect(!FileManager.default.fileExists(atPath: work) && FileManager.default.fileExists(atPath: kept))
  }
}

@Suite("The snapshot of a job")
struct JobSnapshotTests {
  @Test(
    "All runs of a job give their snapshots the same description",
    arguments: [
      ("nightly.2026-11-27_21.05.00_03", "nightly"), ("nightly.2026-11-28_21.05.00_12345", "nightly"),
      ("a.b-2026.2026-11-27_21.05.00_03", "a.b-2026"), ("nightly", "nightly"), ("nightly.2026-11-27", "nightly.2026-11-27"),
    ])
  func description(_ run: String, _ job: String) {
    let snapshot = JobSnapshot(volume: "myvol", job: run, node: nil)
    #expect(snapshot.description.hasPrefix("taken by gfapi-fd for the job \(job) of the client "))
  }

  @Test("The snapshots of two volumes in one job have different names")
  func names() {
    let names = ["one", "two"].map { JobSnapshot(volume: $0, job: "nightly.2026-11-27_21.05.00_03", node: nil).name }
    #expect(Set(names).count == 2 && names.allSatisfy { $0.hasPrefix("gfapi-fd-nightly_2026-11-27_21_05_00_03-") }, "\(names)")
  }

  @Test("The wrapper goes on without a snapshot for each reason why there may be none")
  func failures() {
    #expect(Failure(GlusterCommand.Failure("gluster snapshot list", "no"))?.code == "GFD-102")
    #expect(Failure(Failure("GFD-112", "no"))?.code == "GFD-112")
    #expect(Failure(CancellationError()) == nil)
  }

  @Test(
    "A refused snapshot is reported with Gluster's reason and the cure",
    arguments: [
      (
        "snapshot create: failed: Snapshot is supported only for thin provisioned LV. Ensure that all bricks of v are thinly provisioned LV.\nSnapshot command failed\n",
        "Snapshot is supported only for thin provisioned LV. Ensure that all bricks of v are thinly provisioned LV", "thin logical volume"
      ),
      (
        "snapshot create: failed: Commit failed on n1. Please check log file for details.\nSnapshot command failed\n",
        "Commit failed on n1. Please check log file for details", "glusterd.log"
      ),
      ("Snapshot create: failed: an unknown reason\n", "an unknown reason", nil),
    ])
  func reason(_ output: String, _ reason: String, _ cure: String?) {
    let result = ProgramResult(isWell: false, isTimedOut: false, status: 1, output: "", errors: output)
    #expect(JobSnapshot.reason(result) == reason)
    #expect(JobSnapshot.cure(reason)?.contains(cure ?? "") ?? (cure == nil))
  }
}
