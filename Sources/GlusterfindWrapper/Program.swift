import Glibc
import Subprocess
import SystemPackage

/// What a program said and how it ended.
struct ProgramResult {
  let isWell: Bool
  /// It took too long and was ended.
  let isTimedOut: Bool
  /// Its exit status; nil: it was ended by a signal.
  var status: Int32?
  /// Standard output and standard error.
  let output: String
  let errors: String

  /// Everything that it said, in lines; what Python programs print as bytes, as lines as well.
  var lines: [String] {
    (output + "\n" + errors).replacing("\\n", with: "\n").replacing("\\'", with: "'").split(separator: "\n").map {
      $0.trimming { $0.isWhitespace || $0 == "'" || $0 == "\"" }
    }.filter { !$0.isEmpty }
  }
}

/// Runs a program of this host and waits for it.
///
/// - Parameters:
///   - file: takes standard output, in place of the result; it is made, for this user alone.
///   - seconds: after which the program is ended, with all that it has started.
func runProgram(
  _ program: String, _ arguments: [String], into file: String? = nil, within seconds: Int? = nil
) async throws -> ProgramResult {
  // Of the coreutils: it ends the program's whole group of processes, as no call on one process would.
  if let seconds {
    return try await runProgram("timeout", timeoutArguments(seconds) + [program] + arguments, into: file)
  }
  let executable: Executable = program.contains("/") ? .path(FilePath(program)) : .name(program)
  // Gluster's own programs are in English then.
  let environment = Environment.inherit.updating(["LC_ALL": "C.UTF-8"])
  func result(_ status: TerminationStatus, _ output: String, _ errors: String?) -> ProgramResult {
    // 124: of `timeout`, or 137 where it had to kill.
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
    throw Failure("cannot run \(program): \(error)")
  }
}

/// Options of `timeout`, before the program.
func timeoutArguments(_ seconds: Int) -> [String] { ["--kill-after=10", "\(seconds)"] }

/// Makes a call again that did not come back in time: libgfchangelog waits for ever when it has read few changes, faster than
/// it noted that it had begun (GlusterFS 10: `gf_history_changelog` marks its work as running after it has started it).
///
/// And one that glusterd refuses because it is busy, for up to ``patience`` seconds: it does one thing at a time, for all of its callers.
func retried(_ call: () async throws -> ProgramResult) async throws -> ProgramResult {
  let deadline = time(nil) + patience
  var timeouts = 0
  while true {
    let result = try await call()
    if result.isTimedOut { timeouts += 1 }
    guard result.isTimedOut ? timeouts < 3 : result.isRefusedForNow && time(nil) < deadline else { return result }
    if !result.isTimedOut { try await Task.sleep(for: .milliseconds(.random(in: 500..<1500))) }
  }
}

/// Seconds.
private let patience = 300

extension ProgramResult {
  /// glusterd does something for another caller.
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
