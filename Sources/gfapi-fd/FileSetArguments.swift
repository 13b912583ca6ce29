import ArgumentParser
import GfapiDefinition
import MiniDaemon

/// The options that stand for a job's FileSet and level.
struct FileSetArguments: ParsableArguments {
  @Option(help: ArgumentHelp("Exclude entries whose path matches this shell pattern.", valueName: "pattern"))
  var exclude: [String] = []

  @Option(help: ArgumentHelp("Back up only entries that changed after this time, in seconds since 1970.", valueName: "seconds"))
  var since: Int?

  @Flag(help: "Do not back up the content of subdirectories.")
  var noRecursion = false

  @Flag(help: "Do not save ACLs.")
  var noAcls = false

  @Flag(help: "Do not save extended attributes.")
  var noXattrs = false

  @Option(help: ArgumentHelp("Read this snapshot of the volume.", valueName: "name"))
  var snapshot: String?

  /// Returns a plugin line that reads the snapshot of the options.
  func line(_ definition: String) throws -> String {
    guard let snapshot else { return definition }
    let arguments = try PluginDefinition.Arguments(definition.utf8).setting(.snapshot, Array(snapshot.utf8))
    return String(decoding: arguments.line, as: UTF8.self)
  }

  /// The same options, as ``MiniJob`` takes them.
  var options: MiniJob.Options {
    var options = MiniJob.Options()
    options.acls = !noAcls
    options.extendedAttributes = !noXattrs
    options.recurses = !noRecursion
    options.excludes = exclude
    if let since {
      options.level = UInt8(ascii: "I")
      options.since = since
    }
    return options
  }

  /// Throws an error if the daemon cannot report these options to its plugins.
  func validate(for abi: ABI) throws {
    if let snapshot, snapshot.hasPrefix("job") {
      throw ValidationError("--snapshot takes a name: there is no job whose snapshot could be read")
    }
    guard abi.isBacula, noRecursion || noAcls || noXattrs else { return }
    throw ValidationError(
      "Bacula does not tell its plugins the options of a FileSet: leave --no-recursion, --no-acls and --no-xattrs out with --abi \(abi.rawValue)"
    )
  }
}
