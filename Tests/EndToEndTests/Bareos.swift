import Foundation
import TestSupport
import Testing

/// Bareos's daemons, started from a build tree, stopped with this object.
final class Bareos {
  /// The build trees of Bareos that BAREOS_BUILD names, separated by colons.
  static let trees = (ProcessInfo.processInfo.environment["BAREOS_BUILD"] ?? "").split(separator: ":").map(String.init)

  let tree: String

  /// - Parameters:
  ///   - listed: a volume whose changes glusterfind shall list.
  ///   - option: of the FileSet that is listed.
  ///   - storage: URI of the folder where the storage daemon shall keep its volumes.
  init(_ tree: String, line: String, listed: String = "", option: String = "", storage: String = "") throws {
    self.tree = tree
    try call("up", "PLUGIN='\(line)' LISTED='\(listed)' LISTED_OPTION='\(option)' STORAGE='\(storage)'")
  }

  /// Runs a command of the script: a shell does it, for the daemons must not hold what the test waits for.
  func call(_ command: String, _ environment: String = "") throws {
    let status = system(
      "BAREOS_BUILD='\(tree)' \(environment) '\(Scratch.script("bareos"))' \(command) > /dev/null 2>&1 < /dev/null")
    try #require(status == 0, "scripts/bareos \(command)")
  }

  deinit { _ = try? run(Scratch.script("bareos"), ["down"], environment: ["BAREOS_BUILD": tree]) }

  /// Runs commands of bconsole and returns what it printed.
  func console(_ commands: String...) throws -> String {
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
