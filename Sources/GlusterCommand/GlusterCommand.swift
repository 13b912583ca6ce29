import Programs

/// Asks the command `gluster`, which answers on a node of the volume.
package enum GlusterCommand {
  /// `gluster` has refused a command, or its answer cannot be read. The description names the command.
  package struct Failure: Error, CustomStringConvertible {
    package let description: String

    package init(_ command: String, _ reason: String) { description = "\(command): \(reason)" }
  }

  /// How long a command is repeated while glusterd is busy, in seconds.
  package static let busySeconds = 300

  /// Runs `gluster`, again if glusterd is busy.
  ///
  /// - Parameter seconds: how long the command is repeated. 0: it is run once.
  /// - Throws: ``ProgramFailure`` if `gluster` cannot be run. A command that is refused is no error.
  package static func ask(_ arguments: String..., whileBusyFor seconds: Int = busySeconds) async throws -> ProgramResult {
    try await retried(whileBusyFor: seconds) { try await runProgram("gluster", arguments) }
  }

  /// Returns the value of an option of a volume, without the remark that it is the default.
  ///
  /// - Parameter seconds: how long the command is repeated while glusterd is busy. 0: it is run once.
  /// - Throws: ``Failure`` if `gluster` does not tell the value, ``ProgramFailure`` if it cannot be run.
  package static func value(
    of option: String, ofVolume volume: String, whileBusyFor seconds: Int = busySeconds
  ) async throws -> String {
    let result = try await ask("volume", "get", volume, option, "--xml", whileBusyFor: seconds)
    let command = "gluster volume get \(volume) \(option)"
    guard result.isWell, let value = value(try answer(result.output, of: command)) else {
      throw Failure(command, result.lines.joined(separator: " "))
    }
    return value
  }

  /// Returns the value of an option, without the remark that it is the default.
  ///
  /// - Parameter answer: the answer of `gluster volume get --xml`.
  static func value(_ answer: XMLDocument) -> String? {
    answer.elements("Value").first.map { String($0.text.prefix { $0 != " " }) }
  }

  /// Returns an answer of `gluster --xml`.
  ///
  /// - Parameters:
  ///   - output: what the command has printed.
  ///   - command: the command, for the message.
  /// - Throws: ``Failure`` if the output is not XML.
  package static func answer(_ output: String, of command: String) throws(Failure) -> XMLDocument {
    do { return try XMLDocument(output) } catch { throw Failure(command, "the answer is not XML: \(error)") }
  }
}
