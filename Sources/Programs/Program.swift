import Glibc
import Subprocess
import SystemPackage

/// The output of a program, and how the program ended.
package struct ProgramResult: Sendable {
  package let isWell: Bool
  /// True if the program took too long and was ended.
  package let isTimedOut: Bool
  /// The exit status; nil if a signal ended the program.
  package let status: Int32?
  /// Standard output; empty if a file took it.
  package let output: String
  /// Standard error.
  package let errors: String

  package init(isWell: Bool, isTimedOut: Bool, status: Int32? = nil, output: String, errors: String) {
    (self.isWell, self.isTimedOut, self.status, self.output, self.errors) = (isWell, isTimedOut, status, output, errors)
  }

  /// The lines of standard output and standard error. Byte strings that Python programs print are split into lines as well.
  package var lines: [String] {
    (output + "\n" + errors).replacing("\\n", with: "\n").replacing("\\'", with: "'").split(separator: "\n").map {
      $0.trimming { $0.isWhitespace || $0 == "'" || $0 == "\"" }
    }.filter { !$0.isEmpty }
  }
}

/// A program cannot be run, for example because it is not installed, or it prints more than 64 MiB.
package struct ProgramFailure: Error, CustomStringConvertible {
  package let program: String
  /// The reason, in the words of the library that starts programs.
  package let description: String
}

/// Runs a program on this host without a shell, and waits until it ends. The program has no input, and its locale is C.
///
/// - Parameters:
///   - program: the path of the program, or its name in the folders of PATH.
///   - file: a file that takes standard output instead of the result. It is made so that only this user can read it.
///   - seconds: the time limit. After it the program and everything that it has started are ended. Nil: there is no limit.
/// - Throws: ``ProgramFailure`` if the program cannot be run. A program that fails is no error.
package func runProgram(
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
        executable, arguments: Arguments(arguments), environment: environment, output: .string(limit: outputLimit),
        error: .string(limit: outputLimit))
      return result(ended.terminationStatus, ended.standardOutput, ended.standardError)
    }
    let descriptor = try FileDescriptor.open(
      FilePath(file), .writeOnly, options: [.create, .truncate, .noFollow], permissions: [.ownerRead, .ownerWrite])
    let ended = try await Subprocess.run(
      executable, arguments: Arguments(arguments), environment: environment,
      output: .fileDescriptor(descriptor, closeAfterSpawningProcess: true), error: .string(limit: outputLimit))
    return result(ended.terminationStatus, "", ended.standardError)
  } catch {
    throw ProgramFailure(program: program, description: "\(error)")
  }
}

/// Returns true if a program is in one of the folders of PATH.
package func isInPath(_ program: String) -> Bool {
  let folders = getenv("PATH").map { String(cString: $0) } ?? "/usr/bin:/bin"
  return folders.split(separator: ":").contains { access("\($0)/\(program)", X_OK) == 0 }
}

/// The bytes of each stream that are kept. The limits of a quota can be many lines.
private let outputLimit = 64 << 20

/// Returns the arguments of `timeout` that stand before the program.
package func timeoutArguments(_ seconds: Int) -> [String] { ["--kill-after=10", "\(seconds)"] }

extension StringProtocol {
  /// Returns the text without the characters at its begin and its end for which a function returns true.
  package func trimming(_ isTrimmed: (Character) -> Bool) -> String {
    String(drop(while: isTrimmed).reversed().drop(while: isTrimmed).reversed())
  }
}
