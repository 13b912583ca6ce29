import ArgumentParser
import MiniDaemon

struct Backup: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Backs up a volume, or a directory of it, into a pax archive.")

  @Argument(help: "The plugin line, as in a FileSet.")
  var definition: String

  @Option(name: [.short, .long], help: ArgumentHelp("The archive; - is standard output.", valueName: "file"))
  var output: String

  @Option(help: ArgumentHelp("Leave out entries whose path matches this shell pattern.", valueName: "pattern"))
  var exclude: [String] = []

  @Option(help: ArgumentHelp("Only what changed since this time, in seconds since 1970.", valueName: "seconds"))
  var since: Int?

  @Flag(help: "Do not go into directories below the first.")
  var noRecursion = false

  @Flag(help: "Leave out ACLs.")
  var noAcls = false

  @Flag(help: "Leave out extended attributes.")
  var noXattrs = false

  @OptionGroup var daemon: DaemonArguments

  func validate() throws {
    guard daemon.abi.isBacula, noRecursion || noAcls || noXattrs else { return }
    throw ValidationError(
      "Bacula does not tell its plugins the options of a FileSet: leave --no-recursion, --no-acls and --no-xattrs out with --abi \(daemon.abi.rawValue)")
  }

  func run() throws {
    var options = MiniJob.Options()
    options.acls = !noAcls
    options.extendedAttributes = !noXattrs
    options.recurses = !noRecursion
    options.excludes = exclude
    if let since {
      options.level = UInt8(ascii: "I")
      options.since = since
    }
    try daemon.run(options) { job in
      let archive = try ArchiveWriter(output) { Progress.line("warning: \($0)") }
      var progress = Progress("saved")
      guard let counts = try job.backup(definition, to: archive, progress: { progress.update($0) }) else { return nil }
      try archive.close()
      progress.end(counts)
      return counts
    }
  }
}
