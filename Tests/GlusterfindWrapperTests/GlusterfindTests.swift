import Foundation
import GlusterCommand
import Programs
import Testing
import TestSupport

@testable import GlusterfindWrapper

/// TestSupport has a type of the same name.
typealias Glusterfind = GlusterfindWrapper.Glusterfind

@Suite("The results of glusterfind")
struct GlusterfindAnswerTests {
  let glusterfind = Glusterfind(volume: "myvol", timeout: 60)

  func untrusted(_ output: String, errors: String = "", isWell: Bool = false, isTimedOut: Bool = false) -> Glusterfind.Untrusted? {
    #expect(throws: Glusterfind.Untrusted.self) {
      try glusterfind.judge(ProgramResult(isWell: isWell, isTimedOut: isTimedOut, output: output, errors: errors))
    }
  }

  @Test("A result of glusterfind is trusted if it succeeds and reports no failure", arguments: ["", "Generated output file /tmp/list\n"])
  func well(_ output: String) {
    #expect(throws: Never.self) { try glusterfind.judge(ProgramResult(isWell: true, isTimedOut: false, output: output, errors: "")) }
  }

  @Test(
    "A result of glusterfind with a sign of failure is not trusted, whatever its exit status",
    arguments: [
      "Traceback (most recent call last):\n  File \"changelog.py\", line 1\nKeyError: 'x'",
      "node2 - Change detection failed; stdout (including remote stderr):\nwhy", "Command query failed in localhost",
      "Command pre failed in localhost",
    ])
  func signs(_ output: String) {
    for (output, errors) in [(output, ""), ("", output)] {
      let untrusted = untrusted(output, errors: errors, isWell: true)
      #expect(untrusted?.reason.contains("glusterfind said: ") == true && untrusted?.isTooYoung == false)
    }
  }

  @Test(
    "A known failure of glusterfind is reported with its cause",
    arguments: [
      ("ModuleNotFoundError: No module named 'xattr'", "install python3-pyxattr there"),
      ("FileNotFoundError: [Errno 2] No such file or directory: 'ssh-keygen'", "install openssh-client"),
      ("Failed to copy public key to other nodes", "mkdir -p /var/lib/glusterd/glusterfind/.keys"),
      ("UnicodeEncodeError: 'utf-8' codec", "not UTF-8"), ("UnicodeDecodeError: 'utf-8' codec", "not UTF-8"),
      ("root@node2: Permission denied (publickey,password).", "cannot log in to a node by ssh"),
      ("OSError: [Errno 28] No space left on device", "a disk is full"),
    ])
  func causes(_ output: String, _ cause: String) {
    let untrusted = untrusted("something else\n\(output)\n")
    #expect(untrusted?.reason.contains(cause) == true && untrusted?.reason.contains(". glusterfind said: ") == true)
    #expect(untrusted?.isTooYoung == false)
  }

  @Test("All known causes of a failure of glusterfind are reported")
  func several() {
    let reason = untrusted("No module named 'xattr'\nNo space left on device")?.reason
    #expect(
      reason?.hasPrefix("a node lacks Python's xattr module: install python3-pyxattr there; a disk is full. glusterfind said: ") == true)
  }

  @Test("An unknown failure of glusterfind is reported with its last lines, preferably those with errors")
  func words() {
    #expect(untrusted("one\ntwo\nthree\nfour")?.reason == "glusterfind said: two | three | four")
    #expect(untrusted("one failed\ntwo\nValueError: three\nfour")?.reason == "glusterfind said: one failed | ValueError: three")
    #expect(untrusted("")?.reason == "glusterfind said: ")
  }

  @Test("A failure of glusterfind because the changelogs begin too late is recognized")
  func tooYoung() {
    let untrusted = untrusted("node1 - Change detection failed; stdout\nb'[12] Historical Changelogs not available: 2'")
    #expect(untrusted?.isTooYoung == true && untrusted?.reason.contains("do not reach back") == true)
  }

  @Test("A timeout of glusterfind is reported with the option that extends it")
  func timedOut() {
    let untrusted = untrusted("", isTimedOut: true)
    #expect(
      untrusted?.reason.contains("within 60 s") == true && untrusted?.reason.contains("--timeout") == true && untrusted?.isTooYoung == false
    )
  }

  @Test("The arguments of glusterfind follow from the time, the session, or a request for everything")
  func arguments() {
    func arguments(_ question: Glusterfind.Question, _ session: String?) -> String {
      glusterfind.arguments(question, session: session, into: "/f").joined(separator: " ")
    }
    #expect(arguments(.everything, nil) == "query myvol /f --disable-partial --full")
    #expect(arguments(.everything, "s") == "pre s myvol /f --regenerate-outfile --disable-partial --full")
    #expect(arguments(.changes(since: 9, namesOnly: false), nil) == "query myvol /f --disable-partial --since-time 9")
    #expect(
      arguments(.changes(since: 9, namesOnly: true), nil) == "query myvol /f --disable-partial --since-time 9 --only-namespace-changes")
    #expect(
      arguments(.changes(since: 9, namesOnly: true), "s")
        == "pre s myvol /f --regenerate-outfile --disable-partial --only-namespace-changes")
  }
}

@Suite("Sessions of glusterfind")
struct SessionTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try FileManager.default.createDirectory(atPath: folder.path + "/s/myvol", withIntermediateDirectories: true)
  }

  @Test(
    "The time of a glusterfind session is read from its status file",
    arguments: [("1700000000", 1_700_000_000), (" 1700000000 \n", 1_700_000_000), ("", nil), ("\n", nil), ("today\n", nil)]
      as [(String, Int?)])
  func time(_ content: String, _ time: Int?) throws {
    #expect(Glusterfind.time(of: "s", "myvol", in: folder.path) == nil)
    try folder.write(content.utf8, to: "s/myvol/status")
    #expect(Glusterfind.time(of: "s", "myvol", in: folder.path) == time)
    #expect(Glusterfind.time(of: "s", "othervol", in: folder.path) == nil)
  }

  @Test("A glusterfind session is pending if it has written a list that was not yet confirmed")
  func pending() throws {
    try folder.write(lines: ["1"], to: "s/myvol/status")
    #expect(!Glusterfind.hasPending("s", "myvol", in: folder.path))
    try folder.write(lines: ["2"], to: "s/myvol/status.pre")
    #expect(Glusterfind.hasPending("s", "myvol", in: folder.path))
    #expect(!Glusterfind.hasPending("t", "myvol", in: folder.path))
  }
}

@Suite("The output of gluster about a volume")
struct GlusterVolumeTests {
  @Test("The hosts and paths of a volume's bricks are read")
  func bricks() throws {
    let bricks = try GlusterVolume.bricks(
      of: "myvol", XMLDocument(Fixtures.gluster("volume-info.xml")), here: "afbbc95f-5865-45a0-b122-c4c04fa358d1")
    #expect(bricks.map(\.host) == ["server1", "server2.example.com", "2001:db8::2"])
    #expect(bricks.map(\.path) == ["/bricks/myvol", "/bricks/a&b <2>/myvol:2", "/bricks/3"])
    #expect(bricks.map(\.isHere) == [true, false, false])
    #expect(try GlusterVolume.bricks(of: "myvol", XMLDocument(Fixtures.gluster("volume-info.xml")), here: nil).allSatisfy { !$0.isHere })
  }

  @Test("A volume that does not exist or is stopped is reported")
  func status() throws {
    let none = #expect(throws: Failure.self) {
      try GlusterVolume.bricks(of: "none", XMLDocument(Fixtures.gluster("volume-info-none.xml")), here: nil)
    }
    #expect(none?.description == "there is no volume none")
    let stopped = try XMLDocument(Fixtures.gluster("volume-info.xml").replacing("Started", with: "Stopped"))
    let failure = #expect(throws: Failure.self) { try GlusterVolume.bricks(of: "myvol", stopped, here: nil) }
    #expect(failure?.description.contains("gluster volume start myvol") == true)
  }

  @Test(
    "Words of a command for another node are quoted so that its shell takes them as they are",
    arguments: ["plain", "", "a b", "$HOME `x` \"y\" \\", "it's", "''", "a\nb", "*"])
  func quoted(_ word: String) throws {
    #expect(try run("/bin/sh", "-c", "printf %s \(GlusterVolume.quoted(word))").output == word)
  }
}
