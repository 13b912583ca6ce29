import ArgumentParser
import Encodings
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import MiniDaemon

let pluginLineHelp: ArgumentHelp = "The plugin line, as in a FileSet, or the URI of the volume."

/// Returns the plugin line for an argument. An argument that is only a URI, `gluster://server/volume/directory`, stands for the plugin line
/// of that volume.
func pluginLine(_ argument: String) -> String {
  guard argument.hasPrefix("gluster"), argument.contains("://") else { return argument }
  return String(decoding: PluginDefinition.Arguments(volume: Array(argument.utf8)).line, as: UTF8.self)
}

/// The option that names the module.
struct ModuleArgument: ParsableArguments {
  @Option(
    name: .customLong("module"),
    help: ArgumentHelp(
      "The plugin's module. Default: gfapi-fd.so beside the tool, or in the plugin directory of a daemon.", valueName: "path"))
  var given: String?

  var path: String { given ?? Self.defaultModule }

  /// The path of `gfapi-fd.so` beside the tool, or else where a package installs it.
  private static var defaultModule: String {
    var buffer = [CChar](repeating: 0, count: 4096)
    let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    let tool = String(decoding: buffer[..<max(length, 0)].map(UInt8.init(bitPattern:)), as: UTF8.self)
    let folder = tool.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    let places = [folder] + ["lib", "lib64"].flatMap { ["/usr/\($0)/bareos/plugins", "/usr/\($0)/bacula"] }
    let modules = places.map { $0 + "/gfapi-fd.so" }
    return modules.first { access($0, R_OK) == 0 } ?? modules[0]
  }
}

/// The options of each command that runs a job.
struct DaemonArguments: ParsableArguments {
  @Option(help: "The release of the daemon as which to call the module.")
  var abi: ABI = .newest

  @OptionGroup var module: ModuleArgument

  @Option(
    name: .customLong("options"),
    help: ArgumentHelp("Plugin options, as in a job. They override the plugin line.", valueName: "line"))
  var pluginOptions: String?

  /// Runs a job. Its messages go to standard error, and an interrupt cancels it.
  func run(_ options: MiniJob.Options, _ body: (MiniJob) throws -> JobCounts?) throws {
    var options = options
    options.pluginOptions = pluginOptions
    var counts: JobCounts?
    var failed = 0
    do {
      let job = try MiniJob(try PluginModule(module.path, abi), options)
      let show = { (message: MiniJob.Message) in Progress.line("\(Self.label(message.severity))\(message.text)") }
      // The plugin has checked the plugin options already, and may have sent messages.
      job.messages.forEach(show)
      job.onMessage = show
      guard !job.hasFailed else { throw GfapiFDTool.Status.nothingDone }
      Self.cancelOnSignal(job)
      counts = try body(job)
      job.end()
      failed = max(
        counts?.failed ?? 0, job.messages.filter { $0.severity == .error || $0.severity == .notSaved }.count)
      if job.isCancelled { Progress.line("cancelled") }
      if job.isCancelled || job.hasFailed { failed = max(failed, 1) }
    } catch let status as ExitCode {
      throw status
    } catch {
      Progress.line("gfapi-fd: \(error)")
      throw GfapiFDTool.Status.nothingDone
    }
    guard let counts, counts.entries > 0 || failed == 0 else { throw GfapiFDTool.Status.nothingDone }
    if failed > 0 { throw GfapiFDTool.Status.someFailed }
  }

  /// Makes an interrupt or a termination signal cancel the job from now on. A second one ends the tool as usual.
  private static func cancelOnSignal(_ job: MiniJob) {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    sigaddset(&signals, SIGTERM)
    // Threads that are made from now on inherit the mask, so only the waiting thread gets the signals.
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    let waited = signals
    onOwnThread {
      var (signals, number) = (waited, Int32(0))
      sigwait(&signals, &number)
      signal(number, SIG_DFL)
      pthread_sigmask(SIG_UNBLOCK, &signals, nil)
      job.cancel()
      while true { pause() }
    }
  }

  private static func label(_ severity: MiniJob.Message.Severity) -> String {
    switch severity {
    case .fatal: "fatal: "
    case .error: "error: "
    case .warning: "warning: "
    case .notSaved: "not saved: "
    case .info: ""
    }
  }
}

extension ABI: ExpressibleByArgument {}

/// Shows the progress of a job. On a terminal it updates one line. Elsewhere it prints only the summary. Everything goes to standard error,
/// because an archive may go to standard output.
struct Progress {
  private let began = ContinuousClock.now
  private var shown = ContinuousClock.now
  private let verb: String
  nonisolated(unsafe) private static var isOnLine = false
  private static let isTerminal = isatty(STDERR_FILENO) == 1

  init(_ verb: String) { self.verb = verb }

  mutating func update(_ counts: JobCounts) {
    guard Self.isTerminal, ContinuousClock.now - shown > .milliseconds(200) else { return }
    shown = .now
    Self.write("\r\u{1b}[K" + summary(counts))
    Self.isOnLine = true
  }

  func end(_ counts: JobCounts) { Self.line(summary(counts)) }

  /// The summary as one JSON object, on a line of its own.
  ///
  /// - Parameter notSaved: paths of the entries that were not saved, as messages show them; nil leaves them out, as for a restore.
  func json(_ counts: JobCounts, notSaved: [String]? = nil) -> String {
    let paths = notSaved.map { [(name: "not_saved", value: JSON.array($0.map { .string($0) }))] } ?? []
    let object = JSON.object(
      [
        ("entries", .integer(counts.done ?? counts.entries)), ("bytes", .integer(counts.bytes)), ("failed", .integer(counts.allFailed)),
        ("seconds", .number(Double(Int(seconds * 1000)) / 1000)),
      ] + paths)
    return "\(object)\n"
  }

  private var seconds: Double { max((ContinuousClock.now - began) / .seconds(1), 0.001) }

  private func summary(_ counts: JobCounts) -> String {
    let seconds = seconds
    return
      "\(verb) \(counts.done ?? counts.entries) entries, \(sizeInWords(Double(counts.bytes))), \(counts.allFailed) failed, "
      + "\(Int(Double(counts.entries) / seconds)) entries/s, \(sizeInWords(Double(counts.bytes) / seconds))/s"
  }

  /// Clears the line that is updated.
  func clear() {
    if Self.isOnLine { Self.write("\r\u{1b}[K") }
    Self.isOnLine = false
  }

  static func line(_ text: String) {
    write((isOnLine ? "\r\u{1b}[K" : "") + text + "\n")
    isOnLine = false
  }

  private static func write(_ text: String) {
    _ = text.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
  }
}
