import ArgumentParser
import GfapiDefinition
import MiniDaemon

struct Restore: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Restores a pax archive onto a volume.")

  @Argument(help: "The archive; - is standard input.")
  var archive: String

  @Argument(help: "The plugin line, or the URI of the volume. The archive has the paths.", transform: pluginLine)
  var definition: String

  @Option(name: .customLong("where"), help: ArgumentHelp("Restore below this absolute path on the volume.", valueName: "path"))
  var prefix: String = ""

  @Option(help: "When to replace an existing entry: always, never, if-newer, if-older.")
  var replace: RestoreOptions.Replace = .always

  @Flag(help: "Print the summary as one JSON object on standard output.")
  var json = false

  @OptionGroup var daemon: DaemonArguments

  func validate() throws {
    guard prefix.isEmpty || prefix.hasPrefix("/") else { throw ValidationError("--where must begin with /") }
  }

  func run() throws {
    let arguments = try? PluginDefinition.Arguments(definition.utf8)
    if arguments?.values[.snapshot] != nil {
      throw DaemonError(
        "GFD-018",
        "a restore never writes to a snapshot: leave snapshot= out, and the restore goes to the volume; --where keeps what is there")
    }
    try daemon.run(MiniJob.Options()) { job in
      let archive = try ArchiveReader(archive)
      var options = RestoreOptions()
      options.prefix = Array((prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix).utf8)
      options.replace = replace
      var progress = Progress("restored")
      var restore = MiniDaemon.Restore(job, definition, options)
      var last: String?
      var isInside = false
      var problem: DaemonError?
      do {
        while let (entry, length) = try archive.next() {
          (last, isInside) = (printable(entry.path), true)
          guard try restore.restore(entry, length: length, { try archive.data($0) }) else { break }
          isInside = false
          progress.update(restore.counts)
        }
      } catch let error as DaemonError { problem = error }
      // The entries before the problem are restored all the same.
      var counts = restore.end()
      if let problem {
        guard let last else { throw problem }
        Progress.line("error: \(problem.code) \(last): \(isInside ? "incomplete" : "nothing after it is restored"): \(problem.text)")
        counts.failed += 1
      }
      progress.end(counts)
      if json { print(progress.json(counts), terminator: "") }
      return counts
    }
  }
}

extension RestoreOptions.Replace: ExpressibleByArgument {}
