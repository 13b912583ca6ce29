import ArgumentParser
import GfapiDefinition
import Glibc
import MiniDaemon

struct Backup: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Backs up a volume, or a directory of it, into a pax archive.")

  @Argument(help: pluginLineHelp, transform: pluginLine)
  var definition: String

  @Option(name: [.short, .long], help: ArgumentHelp("The archive; - is standard output.", valueName: "file"))
  var output: String

  @Flag(help: "Print the summary as one JSON object on standard output.")
  var json = false

  @Option(
    help: ArgumentHelp(
      "Back up only the paths in this file, one a line, and everything in those that are directories; - is standard input. A path without a slash in front begins in the directory of the definition.",
      valueName: "file"))
  var filesFrom: String?

  @Flag(name: .customLong("null"), help: "In the file of --files-from, a zero byte follows each path instead of a newline.")
  var endsPathsWithZero = false

  @OptionGroup var fileSet: FileSetArguments
  @OptionGroup var daemon: DaemonArguments

  func validate() throws {
    try fileSet.validate(for: daemon.abi)
    guard output != "-" || isatty(STDOUT_FILENO) == 0 else {
      throw ValidationError("standard output is a terminal: give the archive a file, or pipe it to another command")
    }
    guard filesFrom != nil || !endsPathsWithZero else { throw ValidationError("--null needs --files-from") }
    guard output != "-" || !json else { throw ValidationError("--json prints on standard output: give the archive a file") }
  }

  func run() throws {
    let paths = try filesFrom.map { try PathListFile($0, endsWithZero: endsPathsWithZero, below: definition) }
    defer { withExtendedLifetime(paths) {} }
    let line = try fileSet.line(paths?.definition ?? definition)
    try daemon.run(fileSet.options) { job in
      let archive = try ArchiveWriter(output) { Progress.line("warning: \($0)") }
      defer {
        if let file = archive.abandon() { Progress.line("GFD-308 the archive is not whole: \(file) has what was saved before, and no end") }
      }
      var progress = Progress("saved")
      guard let counts = try job.backup(line, to: archive, progress: { progress.update($0) }) else { return nil }
      if !job.isCancelled, !job.hasFailed { try archive.close() }
      progress.end(counts)
      let failures = counts.failures.map { printable($0) }
      if json { print(progress.json(counts, notSaved: failures), terminator: "") }
      let names = failures.joined(separator: ", ")
      let more = counts.failed - counts.failures.count
      if counts.failed > 0 { Progress.line("GFD-309 not in the archive: \(names)" + (more > 0 ? " and \(more) more" : "")) }
      return counts
    }
  }
}
