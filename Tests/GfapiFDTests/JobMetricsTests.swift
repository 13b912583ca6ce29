import Foundation
import Gluster
import Testing
import TestSupport

@testable import GfapiJob

@Suite("The metrics of a job")
struct JobMetricsTests {
  let folder: TemporaryFolder
  var file: String { folder.path + "/gfapi.prom" }

  init() throws { folder = try TemporaryFolder() }

  func numbers(_ files: Int, succeeded: Bool = true, failed: Int = 0) -> JobMetrics.Numbers {
    var numbers = JobMetrics.Numbers()
    numbers.hasSucceeded = succeeded
    numbers.entries = [("file", files), ("directory", 2)]
    (numbers.bytes, numbers.unchanged, numbers.failed) = (12345, 7, failed)
    return numbers
  }

  func metrics(_ operation: JobMetrics.Operation = .backup, _ uri: String = "gluster://h/myvol/home") throws -> JobMetrics {
    JobMetrics(file, operation, try VolumeURI(uri))
  }

  func lines() throws -> [String] { try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map(String.init) }

  /// The value of a sample; nil if the sample does not exist.
  func value(_ name: String, _ labels: String) throws -> String? {
    let found = try lines().filter { $0.hasPrefix("gfapi_fd_\(name){\(labels)} ") }
    #expect(found.count < 2, "\(found)")
    return found.first.map { String($0.split(separator: " ").last!) }
  }

  let home = #"operation="backup",volume="myvol",directory="/home""#

  @Test("The metrics file is in Prometheus's text format, with a type for each metric, and readable by everybody")
  func format() throws {
    try metrics().write(numbers(3))
    for line in try lines() {
      let isWellFormed =
        line.wholeMatch(of: /# HELP gfapi_fd_[a-z_]+ [^\n]+|# TYPE gfapi_fd_[a-z_]+ gauge|gfapi_fd_[a-z_]+\{([a-z]+="[^"]*",?)+\} [0-9.]+/)
        != nil
      #expect(isWellFormed, "\(line)")
    }
    #expect(try value("entries", home + #",type="file""#) == "3" && value("entries", home + #",type="directory""#) == "2")
    #expect(try value("bytes", home) == "12345" && value("unchanged_entries", home) == "7" && value("failed_entries", home) == "0")
    #expect(try value("last_run_success", home) == "1")
    let time = try #require(Int(try value("last_success_time_seconds", home) ?? ""))
    #expect(abs(time - Int(Date().timeIntervalSince1970)) < 60)
    let attributes = try FileManager.default.attributesOfItem(atPath: file)
    #expect(attributes[.posixPermissions] as? Int == 0o644)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["gfapi.prom"])
  }

  @Test("The metrics of a failed job keep the time of the last success")
  func failure() throws {
    try metrics().write(numbers(3))
    let earlier = try String(contentsOfFile: file, encoding: .utf8).replacing(/(last_success_time_seconds\{.*\}) \d+/) { "\($0.1) 1000" }
    try earlier.write(toFile: file, atomically: true, encoding: .utf8)
    try metrics().write(numbers(1, succeeded: false, failed: 4))
    #expect(try value("last_success_time_seconds", home) == "1000" && value("last_run_success", home) == "0")
    #expect(try value("entries", home + #",type="file""#) == "1" && value("failed_entries", home) == "4")
    try metrics().write(numbers(1))
    #expect(try value("last_success_time_seconds", home) != "1000")
  }

  @Test("The metrics of a restore and of another directory are kept beside those of the backup")
  func others() throws {
    try metrics().write(numbers(3))
    try metrics(.restore).write(numbers(4))
    try metrics(.backup, "gluster://h/myvol").write(numbers(5))
    try metrics(.backup, "gluster://h/myvol/a%22b").write(numbers(6))
    #expect(try value("entries", home + #",type="file""#) == "3")
    #expect(try value("entries", home.replacing("backup", with: "restore") + #",type="file""#) == "4")
    #expect(try value("entries", #"operation="backup",volume="myvol",directory="/",type="file""#) == "5")
    #expect(try lines().count { $0.hasPrefix("# TYPE gfapi_fd_entries ") } == 1)
    #expect(try lines().contains { $0.contains(#"directory="/a\"b""#) })
  }

  @Test("Writing metrics to a path that cannot be written throws an error", arguments: ["/nosuchfolder/x.prom"])
  func unwritable(_ path: String) throws {
    #expect(throws: (any Error).self) { try JobMetrics(path, .backup, VolumeURI("gluster://h/v")).write(numbers(1)) }
  }

  @Test("Writing metrics replaces the file of a killed job, and a symbolic link itself rather than its target")
  func left() throws {
    try "other".write(toFile: folder.path + "/other", atomically: true, encoding: .utf8)
    try FileManager.default.createSymbolicLink(atPath: file + ".part", withDestinationPath: folder.path + "/other")
    try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: folder.path + "/other")
    try metrics().write(numbers(3))
    #expect(try value("bytes", home) == "12345")
    #expect(try String(contentsOfFile: folder.path + "/other", encoding: .utf8) == "other")
  }
}
