import ArgumentParser
import Glibc
import GlusterCommand
import GlusterfindList
import Programs
import Version

/// The program `bareos-glusterfind-wrapper`, which a backup daemon runs before and after a job, on a node of the volume.
///
/// Before the job it takes the snapshot that the plugin's `snapshot=job` reads, and makes the list of changes that `gffilelist=` names. After
/// the job it deletes both.
package struct Wrapper: AsyncParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "bareos-glusterfind-wrapper",
    abstract: "Write the list of changes on a Gluster volume, and take a snapshot of it, for a job of the gfapi plugin.",
    discussion: """
      The job runs it as root on a node of the volume:

        RunScript {
          RunsWhen = Before
          RunsOnClient = Yes
          FailJobOnError = Yes
          Command = "/usr/lib/bareos/scripts/bareos-glusterfind-wrapper -l %l -s %m prebackup VOLUME /var/lib/bareos/VOLUME.list"
        }
        RunScript {
          RunsWhen = After
          RunsOnClient = Yes
          RunsOnSuccess = Yes
          RunsOnFailure = Yes
          Command = "/usr/lib/bareos/scripts/bareos-glusterfind-wrapper postbackup VOLUME /var/lib/bareos/VOLUME.list"
        }

      The list of a full backup has every entry. The list of another job has the entries that changed since the given time. If that time \
      is 0, or if the volume has not logged its changes since then, the list has every entry as well. If glusterfind fails, on one node or \
      for one name, the plugin crawls the volume: nothing is missed, but the job takes longer. With --strict the job fails instead.

      With --snapshot %j the program takes a snapshot of the volume before the job, for snapshot=job in the plugin line, and deletes it after \
      the job. Without OUTFILE it does only that.

      Exit status: 0 the list is complete, 1 there is no list, and standard error says why.
      """,
    version: version)

  enum Phase: String, ExpressibleByArgument {
    case prebackup, postbackup
    /// This program runs itself with this phase once for each brick, on the brick's node. VOLUME is the brick's directory, and the changes
    /// go to standard output.
    case changelogs

    static let allValueStrings = ["prebackup", "postbackup"]
  }

  @Option(name: .shortAndLong, help: "The level of the job: Full, Incremental or Differential (%l).")
  var level = "Full"

  @Option(
    name: .shortAndLong,
    help:
      "List changes since this time: seconds since 1970 (Bareos: %m), or YYYY-MM-DD HH:MM:SS. Bacula does not pass it to clients: use --session."
  )
  var since = ""

  @Option(
    name: [.customShort("t"), .customLong("type")],
    help:
      "The type of the job. For Restore, Verify, Admin, Copy, Migrate, Archive and Consolidate the program does nothing. (Do not use Bareos's %t on a client: it is \"System or Console\" for every job.)"
  )
  var type = "Backup"

  @Option(name: .shortAndLong, help: "With postbackup and --session: how the job ended (%e).")
  var exit = ""

  @Option(
    help:
      "List changes since the last job of this session of glusterfind, not since a time. A missing session is created. postbackup advances it if the job ended well."
  )
  var session: String?

  @Flag(help: "Fail instead of having the plugin crawl the volume.")
  var strict = false

  @Flag(
    help: "For bricks on nodes without this program, use the list of glusterfind alone. Some changes on these bricks are missed.")
  var trustGlusterfind = false

  @Flag(
    help:
      "Do not search the bricks for changes that they do not log (fallocate, holes, zeroed ranges). This is faster on very large bricks, but misses such changes."
  )
  var trustChangelogs = false

  @Option(
    help: ArgumentHelp(
      "Take a snapshot for this run of the job (%j), and with postbackup delete it. The plugin line has snapshot=job.", valueName: "job"))
  var snapshot: String?

  @Flag(help: "If no snapshot can be taken, print a warning and go on. The plugin line has snapshot=job-or-live.")
  var orLive = false

  @Option(
    help: ArgumentHelp(
      "Take the snapshot on this node of the volume, by ssh as root. Without OUTFILE only: a list is made on a node.", valueName: "host"))
  var node: String?

  @Option(help: .hidden)
  var now: Int?

  @Option(help: .hidden)
  var longestPause: Int?

  @Option(help: "Seconds that one call of glusterfind may take. After that it is repeated, at most twice.")
  var timeout = 14_400

  @Argument(help: "prebackup before the job, postbackup after it.")
  var phase: Phase

  @Argument(help: "The volume.")
  var volume: String

  @Argument(help: "The absolute path of the list, as in gffilelist=.")
  var outfile: String?

  package init() {}

  package static func main() async {
    await main(withoutConsole(Array(CommandLine.arguments.dropFirst())))
  }

  /// Removes `-t System or Console` from the arguments. Old scripts have `-t %t`, which Bareos expands to these words on a client.
  static func withoutConsole(_ arguments: [String]) -> [String] {
    var arguments = arguments
    if let place = arguments.firstRange(of: ["-t", "System", "or", "Console"]) { arguments.removeSubrange(place) }
    return arguments
  }

  package func validate() throws {
    if let outfile {
      guard outfile.hasPrefix("/"), !outfile.hasSuffix("/") else {
        throw ValidationError("OUTFILE: \(outfile): not the absolute path of a file")
      }
    } else {
      guard snapshot != nil else {
        throw ValidationError("OUTFILE is missing: the list; without a list, --snapshot %j takes a snapshot alone")
      }
      guard session == nil else { throw ValidationError("--session needs OUTFILE: a session is for a list") }
    }
    if let snapshot, snapshot.isEmpty || snapshot.hasPrefix("%") {
      throw ValidationError("--snapshot: \"\(snapshot)\": the daemon has not put the job's name in its place: use %j")
    }
    guard snapshot != nil || (node == nil && !orLive) else { throw ValidationError("--node and --or-live need --snapshot") }
    if let node {
      guard outfile == nil else { throw ValidationError("--node: not together with OUTFILE: a list is made on a node of the volume") }
      guard !node.isEmpty, !node.hasPrefix("-") else { throw ValidationError("--node: \(node): not a host") }
    }
    guard !volume.isEmpty, !volume.hasPrefix("-") else { throw ValidationError("VOLUME: \(volume): not a volume") }
    guard timeout > 0 else { throw ValidationError("--timeout: \(timeout): not a number of seconds") }
    if let session {
      // These are glusterfind's own rules for names of sessions.
      guard (2...256).contains(session.utf8.count), session != "default",
        session.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "_-".contains($0)) })
      else { throw ValidationError("--session: \(session): 2 to 256 letters, digits, _ and -, and not \"default\"") }
    }
    if phase == .prebackup {
      _ = try jobLevel()
      _ = try sinceTime()
    }
  }

  package func run() async throws {
    guard !isOtherJob else {
      print("nothing to do for a job of type \(type)")
      return
    }
    do {
      switch phase {
      case .changelogs: try tellChangelogs()
      case .prebackup:
        try await droppingSnapshotOnError { try await prepare() }
      case .postbackup:
        // Neither step depends on the other.
        try await droppingSnapshotOnError {
          if let outfile { try ListFile(outfile).remove() }
          if let session { try await moveOn(session) }
        }
        try await jobSnapshot?.drop()
      }
    } catch let gap as Changelogs.Gap {
      complain("GFD-107", gap.reason)
      throw ExitCode(Self.gap)
    } catch {
      guard let failure = Failure(error) else { throw error }
      complain(failure.code, failure.description)
      throw ExitCode(1)
    }
  }

  /// The exit status if a brick's changelogs do not have all changes since a time.
  static let gap: Int32 = 3

  // MARK: Arguments

  /// True if the job is of a type that needs no list.
  var isOtherJob: Bool {
    ["restore", "verify", "admin", "copy", "migrate", "archive", "consolidate"].contains(type.lowercased())
  }

  enum Level { case full, incremental, differential }

  func jobLevel() throws -> Level {
    switch level.lowercased() {
    case "full", "f": .full
    case "incremental", "i": .incremental
    case "differential", "d": .differential
    default: throw ValidationError("--level: \(level): known are Full, Incremental and Differential")
    }
  }

  /// Returns the time of `--since` in seconds since 1970; nil if it is unknown.
  func sinceTime() throws -> Int? {
    if ["", "*none*"].contains(since.lowercased()) { return nil }
    if let seconds = Int(since), seconds >= 0 { return seconds }
    let numbers = since.split { !$0.isNumber }.compactMap { Int32($0) }
    let digits = since.utf8.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    guard digits == "YYYY-MM-DD HH:MM:SS".map(\.isLetter), numbers.count == 6 else {
      throw ValidationError("--since: \(since): neither seconds since 1970 nor YYYY-MM-DD HH:MM:SS")
    }
    var time = tm()
    (time.tm_year, time.tm_mon, time.tm_mday) = (numbers[0] - 1900, numbers[1] - 1, numbers[2])
    (time.tm_hour, time.tm_min, time.tm_sec) = (numbers[3], numbers[4], numbers[5])
    // In autumn one hour occurs twice: take its first occurrence. In spring one hour does not occur: take the earlier of both readings.
    let readings = ([1, 0] as [Int32]).map { isDaylightSaving in
      var reading = time
      reading.tm_isdst = isDaylightSaving
      return (seconds: mktime(&reading), isSame: reading.tm_hour == time.tm_hour && reading.tm_min == time.tm_min)
    }
    let known = readings.filter { $0.seconds >= 0 }
    return (known.filter(\.isSame).isEmpty ? known : known.filter(\.isSame)).map(\.seconds).min() ?? 0
  }

  // MARK: Before the job

  private var jobSnapshot: JobSnapshot? { snapshot.map { JobSnapshot(volume: volume, job: $0, node: node) } }

  /// Runs `body`. If it fails, deletes the snapshot, and throws the error of `body`.
  private func droppingSnapshotOnError(_ body: () async throws -> Void) async throws {
    do { try await body() } catch {
      try? await jobSnapshot?.drop()
      throw error
    }
  }

  /// Takes the snapshot, and makes the list.
  private func prepare() async throws {
    let moment = JobMoment(jobSnapshot, orLive: orLive)
    guard let outfile else { return try await moment.reach() }
    try await Prebackup(
      volume: volume, level: jobLevel(), since: sinceTime(), session: session, isStrict: strict,
      trustsGlusterfind: trustGlusterfind, trustsChangelogs: trustChangelogs, timeout: timeout, list: ListFile(outfile), snapshot: moment
    ).run()
  }

  // MARK: A brick's changelogs

  private func tellChangelogs() throws {
    let here = time(nil)
    let changelogs = Changelogs(brick: volume, longestPause: longestPause)
    var since = try sinceTime() ?? 0
    let start = try changelogs.start()
    guard start <= since else {
      throw Changelogs.Gap(
        reason: "the brick \(volume) logs its changes only since \(start) (seconds since 1970), and they are wanted since \(since)")
    }
    // If the clock of this node is behind, take an earlier time. A clock that is ahead has later times, which do no harm.
    let wanted = since
    since = max(since - Prebackup.margin + min(here - (now ?? here), 0), start)
    try ListWriter.write(to: 1, ListHeader(isFull: false, since: since, until: here)) { writer in
      var names = BrickNames(brick: volume)
      func add(_ change: Change) throws { try writer.add(line: change.line.dropLast()) }
      try changelogs.read(since: since, margin: max(wanted - since, 0), into: &names, add)
      guard !trustChangelogs else { return }
      try BrickScan(brick: volume).files(since: since) { gfid, isWritten in
        for change in try names.modified(gfid, isWritten ? .modify : .look) { try add(change) }
      }
    }
  }

  // MARK: After the job

  /// True if `--exit` says that the job ended well, in the words or with the letter that a daemon passes.
  var endedWell: Bool {
    let ended = exit.lowercased()
    return ["ok", "terminated", "t", "w", "0"].contains { ended == $0 || ended.hasPrefix($0 + " ") }
  }

  private func moveOn(_ session: String) async throws {
    guard endedWell else {
      print("the session \(session) stays where it was: the job ended with \"\(exit)\" (--exit)")
      return
    }
    guard Glusterfind.hasPending(session, volume) else { return }
    try await Glusterfind.post(session, volume)
    print("the session \(session) has moved on")
  }
}

/// An error that ends the program, such as the reason why there is no list.
struct Failure: Error, CustomStringConvertible {
  /// `GFD-` and three digits: docs/troubleshooting.md explains the message under this code.
  let code: String
  let description: String
  init(_ code: String, _ description: String) { (self.code, self.description) = (code, description) }

  /// Makes a failure of any error that ends the program; nil for other errors.
  init?(_ error: any Error) {
    switch error {
    case let failure as Failure: self = failure
    case let failure as GlusterCommand.Failure: self.init("GFD-102", "\(failure)")
    case let failure as ProgramFailure: self.init("GFD-109", "cannot run \(failure.program): \(failure)")
    default: return nil
    }
  }
}

/// Prints a message on standard error. The daemon adds it to the job's log.
///
/// - Parameter code: see ``Failure/code``.
func complain(_ code: String, _ text: String) {
  let line = Array("bareos-glusterfind-wrapper: \(code) \(text)\n".utf8)
  _ = write(2, line, line.count)
}
