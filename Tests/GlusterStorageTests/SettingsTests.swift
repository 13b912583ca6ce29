import Foundation
import Gluster
import PartStore
import Testing
import TestSupport

@testable import GlusterStorage

@Suite("The options of a storage device")
struct SettingsTests {
  func settings(_ values: [String: String]) throws -> Settings { try Settings { values[$0.rawValue] } }

  @Test("A storage device requires only a URI; the other options have defaults")
  func least() throws {
    let settings = try settings(["uri": "gluster://server.example.com/myvol/directory"])
    #expect(settings.uri.volume == "myvol" && settings.uri.directory.bytes == Array("/directory".utf8))
    #expect(settings.timeout == 25)
    #expect(settings.logging == Volume.Logging())
  }

  @Test("All options of a storage device are accepted")
  func all() throws {
    let folder = try TemporaryFolder()
    let file = folder.path + "/log"
    let settings = try settings(["uri": "gluster://server.example.com/myvol", "logfile": file, "loglevel": "Debug", "timeout": "86400"])
    #expect(settings.logging == Volume.Logging(file: file, level: 8))
    #expect(settings.timeout == 86400)
    // The log file is created at once, so that a path that cannot be written is reported before there is anything to log.
    #expect(try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int == 0o600)
  }

  @Test(
    "Wrong options of a storage device are rejected with the option at fault",
    arguments: [
      ("uri", "", "the option uri is missing"), ("uri", "server:/vol", "uri=server:/vol: "),
      ("uri", "gluster://server/", "the form is gluster["),
      ("logfile", "relative.log", "logfile=relative.log: the path of the log is absolute"),
      ("logfile", "/nonexistent/log", "logfile=/nonexistent/log: cannot be written: No such file"), ("logfile", "/tmp", "Is a directory"),
      ("loglevel", "loud", "loglevel=loud: "), ("timeout", "0", "timeout=0: not a number of seconds from 1 to 86400"),
      ("timeout", "86401", "timeout=86401"), ("timeout", "-1", "timeout=-1"), ("timeout", "5s", "timeout=5s"),
      ("timeout", " 5", "timeout= 5"),
      ("timeout", "99999999999999999999", "from 1 to 86400"),
    ])
  func wrong(_ option: String, _ value: String, _ reason: String) {
    var values = ["uri": "gluster://server.example.com/myvol"]
    values[option] = value.isEmpty ? nil : value
    let wrong = #expect(throws: Settings.Wrong.self) { try settings(values) }
    #expect(wrong?.description.contains(reason) == true, "\(wrong?.description ?? "")")
    #expect(wrong.map { Ending($0) } == .wrong)
  }

  @Test("The options of a storage device are listed in the order of the documentation")
  func names() { #expect(Settings.Key.allCases.map(\.rawValue) == ["uri", "logfile", "loglevel", "timeout"]) }
}

@Suite("The exit status of the storage program")
struct EndingTests {
  @Test(
    "The exit status of the storage program states the kind of error",
    arguments: [
      (.missing, 1), (.badName, 2), (.unreachable, 3), (.full, 4), (.failed, 5), (.cutOff, 6),
    ] as [(StoreError.Kind, Int32)])
  func errors(_ kind: StoreError.Kind, _ status: Int32) {
    #expect(Ending(StoreError(kind, "words")).rawValue == status)
  }

  @Test("The exit status of the storage program is 5 for an unknown error and 0 for success")
  func others() {
    struct Unknown: Error {}
    #expect(Ending(Unknown()).rawValue == 5)
    #expect(Ending.well.rawValue == 0)
  }
}

@Suite("The arguments of the storage program")
struct CallTests {
  @Test(
    "The storage program accepts names that begin with a dash",
    arguments: [
      (["stat", "-v", "--help"], ["stat", "--", "-v", "--help"]), (["list", "v"], ["list", "--", "v"]), (["options"], ["options"]),
      ([], []),
      (["stat", "--help"], ["stat", "--help"]), (["help", "stat"], ["help", "stat"]),
    ])
  func marked(_ arguments: [String], _ marked: [String]) { #expect(Storage.marked(arguments) == marked) }

  @Test("The storage program takes a volume name and a part name as arguments")
  func part() throws {
    let stat = try #require(try Storage.parseAsRoot(["stat", "--", "-v", "--version"]) as? Stat)
    #expect(stat.part.volumeName.name == Array("-v".utf8) && stat.part.name.name == Array("--version".utf8))
  }

  @Test(
    "The storage program rejects bad usage", arguments: [["stat", "--", "v"], ["list"], ["upload", "--", "v", "1", "2"], ["nonsense"]])
  func wrong(_ arguments: [String]) {
    let error = #expect(throws: (any Error).self) { try Storage.parseAsRoot(arguments) }
    #expect(error.map { Storage.exitCode(for: $0).rawValue } == 64)
  }
}

@Suite("The process that sends a part to the storage program")
struct SenderTests {
  @Test(
    "A sending process counts as ending if its flags in /proc/PID/stat say so",
    arguments: [
      ("1 (bareos-sd) S 1 1 1 0 -1 4194560 0 0", false), ("1 (bareos-sd) S 1 1 1 0 -1 4194564 0 0", true),
      // The name of a process may contain any characters.
      ("1 (a) b 4) 4) S 1 1 1 0 -1 256 0 0", false), ("1 (a) b (c) S 1 1 1 0 -1 4 0 0", true), ("1 () S 1 1 1 0 -1 4", true),
      // A line that cannot be parsed does not count as ending.
      ("", false), ("1 bareos-sd S 1 1 1 0 -1 4 0", false), ("1 (a) S 1 1 1 0 -1", false), ("1 (a) S 1 1 1 0 -1 x 0", false),
    ])
  func exiting(_ status: String, _ isExiting: Bool) { #expect(Sender.isExiting(Array(status.utf8)[...]) == isExiting) }

  @Test("The sending process counts as alive while the parent of this process is alive")
  func alive() { #expect(Sender().isAlive) }
}

@Suite("The log of the storage program")
struct LogFileTests {
  @Test("The storage program appends one line for each error to its log")
  func append() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(lines: ["of libgfapi"])
    LogFile(path).append("one")
    LogFile(path).append("two")
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 3 && lines[0] == "of libgfapi")
    for (line, text) in zip(lines.dropFirst(), ["one", "two"]) {
      #expect(try /\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000\] E bareos-gluster-storage\[\d+\]: (.*)/.wholeMatch(in: line)?.1 == text[...])
    }
  }
}
