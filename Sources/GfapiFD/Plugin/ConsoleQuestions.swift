import GfapiDefinition
import GfapiJob

/// Questions about a plugin line that Bacula's console asks, without a job.
package enum ConsoleQuestions {
  /// The values of `parameter` that the console can ask for.
  private static let parameters = ["volume"]

  /// Answers a question from the console about a plugin line.
  ///
  /// - Returns: at least one line of the form `key=value`.
  package static func answers(to parameter: [UInt8], _ line: [UInt8]) -> [String] {
    guard parameters.contains(String(decoding: parameter, as: UTF8.self)) else {
      return ["error=unknown parameter \"\(printable(parameter))\"; known: \(parameters.joined(separator: ", "))"]
    }
    do {
      let definition = try definition(fromConsole: line)
      let volume = JobVolume(definition)
      defer { volume.close() }
      let report = try volume.connectAndReport().report
      return [
        "volume=\(definition.volume)", "type=\(report.type)", "libgfapi=\(report.clientVersion)", "size=\(report.size)",
        "free=\(report.free)", "acls=\(report.acls ?? "supported")",
        "xattrs=\(report.extendedAttributes ?? "supported")",
      ]
    } catch {
      return ["error=" + "\(error)".split(separator: "\n").joined(separator: " ")]
    }
  }

  /// Parses a plugin line from Bacula's console, which removes every backslash. If the line is invalid because of this, everything after
  /// `volume=` is taken as the URI.
  private static func definition(fromConsole line: [UInt8]) throws -> PluginDefinition {
    do {
      return try PluginDefinition(PluginDefinition.Arguments(line))
    } catch {
      let start = Array("\(PluginDefinition.name):volume=".utf8)
      guard line.starts(with: start) else { throw error }
      let colon = UInt8(ascii: ":")
      let uri = Array(line.dropFirst(start.count).reversed().drop { $0 == colon }.reversed())
      guard let definition = try? PluginDefinition(PluginDefinition.Arguments(volume: uri)) else { throw error }
      return definition
    }
  }
}
