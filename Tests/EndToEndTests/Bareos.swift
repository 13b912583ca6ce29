import Foundation
import Testing
import TestSupport

/// Bareos's daemons, started from a build tree. They are stopped when this object is released.
final class Bareos {
  /// The paths of the Bareos build trees, from the environment variable BAREOS_BUILD, where colons separate them.
  static let trees = (ProcessInfo.processInfo.environment["BAREOS_BUILD"] ?? "").split(separator: ":").map(String.init)

  let tree: String

  /// - Parameters:
  ///   - listed: the volume for which the job `listed` gets a list from glusterfind; empty: no such job.
  ///   - option: an additional option for the FileSet of the job `listed`.
  ///   - snapshot: the volume of which the job `snapshot` takes a snapshot; empty: no such job.
  ///   - storage: the URI of the folder in which the storage daemon keeps its volumes; empty: no such device.
  ///   - machines: the jobs of images; nil: no such jobs.
  init(
    _ tree: String, line: String, listed: String = "", option: String = "", snapshot: String = "", storage: String = "",
    machines: Machines? = nil
  ) throws {
    self.tree = tree
    try call(
      "up",
      "PLUGIN='\(line)' LISTED='\(listed)' LISTED_OPTION='\(option)' SNAPSHOT='\(snapshot)' STORAGE='\(storage)' \(machines?.environment ?? "")"
    )
  }

  /// Runs a command of scripts/bareos through a shell: otherwise the daemons would inherit the pipe on which the test waits.
  func call(_ command: String, _ environment: String = "") throws {
    let status = system(
      "BAREOS_BUILD='\(tree)' \(environment) '\(Scratch.script("bareos"))' \(command) > /dev/null 2>&1 < /dev/null")
    try #require(status == 0, "scripts/bareos \(command)")
  }

  deinit { _ = try? run(Scratch.script("bareos"), ["down"], environment: ["BAREOS_BUILD": tree]) }

  /// Runs commands of bconsole and returns its output.
  func console(_ commands: String...) throws -> String { try console(commands) }

  func console(_ commands: [String]) throws -> String {
    let input = commands.map { $0 + "\\n" }.joined() + "quit\\n"
    return try run(
      "/bin/sh", ["-c", "printf '\(input)' | timeout 120 '\(Scratch.script("bareos"))' console"],
      environment: ["BAREOS_BUILD": tree]
    ).output
  }

  func fileDaemonIsAlive() throws -> Bool {
    let pid = try run(Scratch.script("bareos"), ["pid"], environment: ["BAREOS_BUILD": tree]).output
    return kill(pid_t(pid.trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1, 0) == 0
  }
}
