import Foundation
import Testing
import TestSupport

/// A private Bacula with its own catalog, started by scripts/bacula: director, storage daemon and file daemon.
final class Bacula {
  /// The process ids of the file daemon, the storage daemon and the director, in this order.
  private var processes: [pid_t]
  private let mounts: Set<Substring>

  /// Starts the daemons.
  ///
  /// - Parameters:
  ///   - line: the plugin line of the FileSet, escaped as in the director's configuration.
  ///   - second: the plugin line of the second FileSet; the default is `line`.
  ///   - listed: the volume for which the job `listed` gets a list from glusterfind; empty: no such job.
  ///   - option: an additional option for the FileSet of the job `listed`.
  ///   - snapshot: the volume of which the job `snapshot` takes a snapshot; empty: no such job.
  ///   - machines: the jobs of images; nil: no such jobs.
  init(
    _ line: String, second: String? = nil, listed: String = "", option: String = "", snapshot: String = "", machines: Machines? = nil
  ) throws {
    mounts = try Self.mounts()
    // Run through a shell with redirected output: otherwise the daemons would inherit the pipe on which the test waits.
    let status = system(
      "PLUGIN='\(line)' PLUGIN2='\(second ?? line)' LISTED='\(listed)' LISTED_OPTION='\(option)' SNAPSHOT='\(snapshot)' \(machines?.environment ?? "") '\(Scratch.script("bacula"))' up > /dev/null 2>&1 < /dev/null"
    )
    try #require(status == 0, "scripts/bacula up")
    processes = try Self.running()
  }

  private static func running() throws -> [pid_t] {
    let processes = try run(Scratch.script("bacula"), "pid").output.split(separator: "\n").compactMap { pid_t($0) }
    try #require(processes.count == 3)
    return processes
  }

  /// Kills the file daemon with SIGKILL and starts it again.
  func restartFileDaemon() throws {
    kill(processes[0], SIGKILL)
    #expect(eventually { kill(processes[0], 0) != 0 })
    try #require(system("'\(Scratch.script("bacula"))' start > /dev/null 2>&1 < /dev/null") == 0)
    processes = try Self.running()
  }

  deinit { _ = try? run(Scratch.script("bacula"), "down") }

  /// Returns the plugin line for a directory of a volume, escaped as in the director's configuration.
  static func line(_ kind: String, _ path: String = "") -> String { #"gfapi:volume=gluster\\://scratch/"# + kind + path }

  /// Runs commands of bconsole and returns its output.
  func console(_ commands: String...) throws -> String { try console(commands) }

  func console(_ commands: [String]) throws -> String {
    let input = commands.map { $0 + "\\n" }.joined() + "quit\\n"
    return try run("/bin/sh", "-c", "printf '\(input)' | timeout 120 '\(Scratch.script("bacula"))' console").output
  }

  /// Starts a job and returns its job id.
  func start(_ command: String) throws -> Int {
    let output = try console(command)
    let number = output.split(separator: "\n").last { $0.contains("Job queued. JobId=") }?
      .split(separator: "=").last.flatMap { Int($0) }
    return try #require(number, "\(output)")
  }

  /// Waits for a job and returns its log.
  func finish(_ job: Int) throws -> JobLog {
    _ = try console("wait jobid=\(job) timeout=100")
    var log: JobLog?
    #expect(
      try eventually {
        log = try JobLog(job); return log?.termination != nil
      })
    return try #require(log)
  }

  /// Runs a job to its end and returns its log.
  func job(_ command: String) throws -> JobLog { try finish(start(command)) }

  /// Restores everything that the catalog holds for the client.
  func restore(_ place: String, _ more: String = "") throws -> JobLog {
    try job("restore client=client restorejob=restore where=\(place) \(more) select current all done yes")
  }

  /// The output of `status client`, which shows the progress of running jobs.
  func progress() throws -> String { try console("status client=client") }

  /// The process id of the file daemon.
  var fileDaemon: pid_t { processes[0] }

  /// True if the file daemon, the storage daemon and the director are running.
  var isAlive: Bool { processes.allSatisfy { kill($0, 0) == 0 } }

  /// Stops the daemons. Expects that they were running, that they stop by themselves, and that no process and no mount is left.
  func end(sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(isAlive, sourceLocation: sourceLocation)
    #expect(try run(Scratch.script("bacula"), "down").status == 0, sourceLocation: sourceLocation)
    #expect(processes.allSatisfy { kill($0, 0) != 0 }, sourceLocation: sourceLocation)
    #expect(try Self.mounts() == mounts, sourceLocation: sourceLocation)
  }

  private static func mounts() throws -> Set<Substring> {
    try Set(run("cat", "/proc/mounts").output.split(separator: "\n"))
  }

  /// Checks that Bacula works again after a failure: runs a backup, restores it, compares the trees and stops the daemons.
  ///
  /// - Parameters:
  ///   - local: the folder that the plugin line names, at the mount of the volume.
  ///   - path: the path of the same folder on the volume.
  func backUpAndRestore(_ local: String, _ path: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let backup = try start("run job=backup yes")
    try finish(backup).expect("Backup OK", JobLog.wellBackedUp, sourceLocation: sourceLocation)
    let place = "/restored-" + UUID().uuidString.prefix(8)
    try job("restore jobid=\(backup) client=client restorejob=restore where=\(place) all done yes")
      .expect("Restore OK", JobLog.wellRestored, sourceLocation: sourceLocation)
    let copy = local.dropLast(path.count) + place
    try expectIdentical(local, copy + path, sourceLocation: sourceLocation)
    #expect(try run("rm", "-r", String(copy)).status == 0)
    try end(sourceLocation: sourceLocation)
  }

  /// Cancels a job. Expects that it ends as canceled within 20 s and that the daemons keep running.
  func cancel(_ job: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let began = ContinuousClock.now
    _ = try console("cancel jobid=\(job) yes")
    try finish(job).expectCancelled(sourceLocation: sourceLocation)
    #expect(ContinuousClock.now - began < .seconds(20), sourceLocation: sourceLocation)
    #expect(isAlive, sourceLocation: sourceLocation)
  }
}

/// Expects that two trees are equal in everything that Bacula and Bareos save. Times are compared in whole seconds.
func expectIdentical(_ original: String, _ copy: String, _ options: String..., sourceLocation: SourceLocation = #_sourceLocation) throws {
  let comparison = try run(Scratch.script("compare-trees"), ["--seconds"] + options + [original, copy])
  #expect(comparison.status == 0, "\(comparison.output.suffix(3000))", sourceLocation: sourceLocation)
}

/// The messages that the director logged for one job.
struct JobLog {
  /// Matches the plugin's summary line of a backup without failed or excluded entries.
  static var wellBackedUp: Regex<Substring> { /^gfapi: \d+ entries and \d+ bytes read, 0 unchanged, 0 excluded, 0 failed$/ }
  static var wellRestored: Regex<Substring> { /^gfapi: \d+ entries restored, \d+ bytes written, 0 skipped, 0 failed$/ }

  struct Message {
    /// The name of the daemon: `client`, `test-sd` or `test-dir`.
    let daemon: String
    let text: String
  }

  let messages: [Message]

  /// The director's log of all jobs.
  static func all() throws -> String {
    let path = try Scratch.temporaryFolder() + "/bacula/log/jobs.log"
    return String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
  }

  init(_ job: Int) throws {
    let text = try Self.all()
    var messages: [Message] = []
    var belongs = false
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      // A message begins like this: "23-Nov 01:17 client JobId 1: text". Its continuation lines have no such prefix.
      if let match = line.wholeMatch(of: /\d\d-\w{3} \d\d:\d\d (\S+) JobId (\d+): (.*)/) {
        belongs = Int(match.2) == job
        if belongs { messages.append(Message(daemon: String(match.1), text: String(match.3))) }
      } else if belongs, let last = messages.popLast() {
        messages.append(Message(daemon: last.daemon, text: last.text + "\n" + line))
      }
    }
    self.messages = messages
  }

  /// The termination status of the job, such as `Backup OK -- with warnings`.
  var termination: String? {
    messages.lazy.flatMap { $0.text.split(separator: "\n") }.first { $0.contains("  Termination: ") }
      .map { $0.split(separator: ":", maxSplits: 1)[1].trimmingCharacters(in: .whitespaces) }
  }

  /// Matches the plugin's messages that every job has: what the job backs up or restores, and its speed.
  private static var accounts: [Regex<Substring>] {
    [/gfapi: gfapi-fd [0-9][^:]*: (?:backup|restore)/, /%\ of\ the\ time\ waiting\ for\ the/]
  }

  /// The messages of the file daemon, without those that every job has: the connection message of later Bacula releases, the line
  /// for each file of a verify job, and the plugin's own standard messages.
  var client: [String] {
    let always = ["Connected to Storage", "Veryfying: "]
    return messages.filter { message in message.daemon == "client" && !always.contains { message.text.hasPrefix($0) } }
      .filter { message in !Self.accounts.contains { message.text.contains($0) } }
      .map { $0.text.trimmingCharacters(in: .whitespacesAndNewlines) }
  }

  /// Returns true if the text is a daemon's message that another daemon closed the connection first when a job was ended early.
  private static func tellsHangUp(_ text: String) -> Bool {
    [
      "Network send error to SD.", "Bsock send while terminated", "Write error sending",
      "Director's connection to SD for this Job was lost",
    ].contains { text.contains($0) }
  }

  /// Expects that the job was canceled, and that the file daemon logged only what a cancellation explains: an interrupted read, a
  /// storage daemon that closed the connection first, and sometimes the plugin's summary of the work that it did until then.
  func expectCancelled(sourceLocation: SourceLocation = #_sourceLocation) {
    let said = client.filter {
      !$0.contains("ERR=Interrupted system call") && !Self.tellsHangUp($0)
        && !$0.contains(/^gfapi: \d+ entries and \d+ bytes read, .* 0 failed$/)
    }
    #expect(termination == "Backup Canceled" && said == [], "\(text)", sourceLocation: sourceLocation)
  }

  /// All warnings and errors, of any daemon. Excludes what the daemons add after a job has failed: the director's report, and
  /// messages that another daemon has closed the connection.
  var complaints: [String] {
    let failed = termination.map { $0.hasPrefix("***") } ?? false
    return messages.map(\.text).filter { text in
      guard text.contains("Warning: ") || text.contains("Error: ") || text.contains("Fatal error: ") else { return false }
      return !text.contains("  Termination: ") && !(failed && Self.tellsHangUp(text))
    }
  }

  var text: String { messages.map { "\($0.daemon): \($0.text)" }.joined(separator: "\n") }

  /// Expects a termination status and one message for each pattern. Expects no other message of the file daemon, and no other
  /// warning or error of the other daemons.
  func expect(_ termination: String, _ said: Regex<Substring>..., sourceLocation: SourceLocation = #_sourceLocation) {
    expect(termination, said, sourceLocation: sourceLocation)
  }

  func expect(_ termination: String, _ said: [Regex<Substring>], sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(self.termination == termination, "\(text)", sourceLocation: sourceLocation)
    for pattern in said {
      #expect(
        (client + complaints.filter { !client.contains($0) }).count { $0.contains(pattern) } == 1, "\(text)", sourceLocation: sourceLocation
      )
    }
    if ["Backup OK", "Restore OK"].contains(termination) {
      for pattern in Self.accounts {
        #expect(messages.count { $0.text.contains(pattern) } == 1, "\(text)", sourceLocation: sourceLocation)
      }
    }
    let unexpected = client.filter { line in !said.contains { line.contains($0) } }
    #expect(unexpected == [], "\(text)", sourceLocation: sourceLocation)
    let complaints = complaints.filter { line in !said.contains { line.contains($0) } }
    #expect(complaints == [], "\(text)", sourceLocation: sourceLocation)
  }
}
