import Subprocess
import SystemPackage

/// What a program said and how it ended.
struct ProgramResult {
  let isWell: Bool
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
/// - Parameter file: takes standard output, in place of the result; it is made, for this user alone.
func runProgram(_ program: String, _ arguments: [String], into file: String? = nil) async throws -> ProgramResult {
  let executable: Executable = program.contains("/") ? .path(FilePath(program)) : .name(program)
  // Gluster's own programs are in English then.
  let environment = Environment.inherit.updating(["LC_ALL": "C.UTF-8"])
  do {
    guard let file else {
      let result = try await Subprocess.run(
        executable, arguments: Arguments(arguments), environment: environment, output: .string(limit: 4 << 20),
        error: .string(limit: 4 << 20))
      return ProgramResult(
        isWell: result.terminationStatus.isSuccess, output: result.standardOutput ?? "", errors: result.standardError ?? "")
    }
    let descriptor = try FileDescriptor.open(
      FilePath(file), .writeOnly, options: [.create, .exclusiveCreate], permissions: [.ownerRead, .ownerWrite])
    let result = try await Subprocess.run(
      executable, arguments: Arguments(arguments), environment: environment,
      output: .fileDescriptor(descriptor, closeAfterSpawningProcess: true), error: .string(limit: 4 << 20))
    return ProgramResult(isWell: result.terminationStatus.isSuccess, output: "", errors: result.standardError ?? "")
  } catch {
    throw Failure("cannot run \(program): \(error)")
  }
}

extension StringProtocol {
  func trimming(_ isTrimmed: (Character) -> Bool) -> String {
    String(drop(while: isTrimmed).reversed().drop(while: isTrimmed).reversed())
  }
}
