import Glibc
import Subprocess
import SystemPackage

/// The output of a program, and how the program ended.
struct ProgramResult {
  let isWell: Bool
  /// True if the program took too long and was ended.
  let isTimedOut: Bool
  /// The exit status; nil if a signal ended the program.
  var status: Int32?
  /// Standard output; empty if a file took it.
  let output: String
  /// Standard error.
  let errors: String

  /// The lines of standard output and standard error. Byte strings that Python programs print are split into lines as well.
  var lines: [String] {
    (output + "\n" + errors).replacing("\\n", with: "\n").replacing("\\'", with: "'").split(separator: "\n").map {
      $0.trimming { $0.isWhitespace || $0 == "'" || $0 == "\"" }
    }.filter { !$0.isEmpty }
  }
}

/// Runs a program on this host and waits until it ends.
///
/// - Parameters:
///   - file: a file that takes standard output instead of the result. It is made so that only this user can read it.
///   - seconds: the time limit. After it the program and everything that it has started are ended.
/// - Throws: ``Failure`` if the program cannot be run.
func runProgram(
  _ program: String, _ arguments: [String], into file: String? = nil, within seconds: Int? = nil
) async throws -> ProgramResult {
  // `timeout` of the coreutils ends the program's whole process group. A call that ends one process would not do that.
  if let seconds {
    return try await runProgram("timeout", timeoutArguments(seconds) + [program] + arguments, into: file)
  }
  let executable: Executable = program.contains("/") ? .path(FilePath(program)) : .name(program)
  // With this locale Gluster's own programs print English messages.
  let environment = Environment.inherit.updating(["LC_ALL": "C.UTF-8"])
  func result(_ status: TerminationStatus, _ output: String, _ errors: String?) -> ProgramResult {
    // `timeout` returns 124 if it ended the program, or 137 if it had to kill it.
    var code: Int32?
    if case .exited(let number) = status { code = number }
    return ProgramResult(
      isWell: status.isSuccess, isTimedOut: [124, 137].contains(code), status: code, output: output, errors: errors ?? "")
  }
  do {
    guard let file else {
      let ended = try await Subprocess.run(
        executable, arguments: Arguments(arguments), environment: environment, output: .string(limit: 4 << 20),
        error: .string(limit: 4 << 20))
      return result(ended.terminationStatus, ended.standardOutput, ended.standardError)
    }
    let descriptor = try FileDescriptor.open(
      FilePath(file), .writeOnly, options: [.create, .truncate, .noFollow], permissions: [.ownerRead, .ownerWrite])
    let ended = try await Subprocess.run(
      executable, arguments: Arguments(arguments), environment: environment,
      output: .fileDescriptor(descriptor, closeAfterSpawningProcess: true), error: .string(limit: 4 << 20))
    return result(ended.terminationStatus, "", ended.standardError)
  } catch {
    throw Failure("GFD-109", "cannot run \(program): \(error)")
  }
}

/// Returns the arguments of `timeout` that stand before the program.
func timeoutArguments(_ seconds: Int) -> [String] { ["--kill-after=10", "\(seconds)"] }

/// Makes a call, and repeats it if it timed out or glusterd was busy.
///
/// A call that timed out is made up to three times in all. libgfchangelog waits for ever when it has read a few changes faster than it
/// noted that it had begun (GlusterFS 10: `gf_history_changelog` marks its work as running after it has started it).
///
/// A call that glusterd refuses because it is busy is repeated for up to ``busySeconds`` seconds. glusterd does one thing at a time for all
/// its callers.
func retried(_ call: () async throws -> ProgramResult) async throws -> ProgramResult {
  let deadline = time(nil) + busySeconds
  var timeouts = 0
  while true {
    let result = try await call()
    if result.isTimedOut { timeouts += 1 }
    guard result.isTimedOut ? timeouts < 3 : result.isRefusedForNow && time(nil) < deadline else { return result }
    if !result.isTimedOut { try await Task.sleep(for: .milliseconds(.random(in: 500..<1500))) }
  }
}

/// How long calls are repeated while glusterd is busy, in seconds.
private let busySeconds = 300

extension ProgramResult {
  /// True if glusterd refused the call because it is doing something for another caller.
  var isRefusedForNow: Bool {
    // "Another transaction is in progress for VOLUME. Please try again after some time."
    lines.contains { $0.contains("Another transaction") && $0.contains("in progress") || $0.contains("Locking failed on") }
  }
}

extension StringProtocol {
  func trimming(_ isTrimmed: (Character) -> Bool) -> String {
    String(drop(while: isTrimmed).reversed().drop(while: isTrimmed).reversed())
  }
}
