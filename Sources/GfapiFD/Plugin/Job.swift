import GfapiBackup
import GfapiDefinition
import GfapiJob
import GfapiRestore
import Glibc
import Gluster
import Version

/// The plugin in one job of a daemon: handles the events of the job, and owns its backup or restore.
package final class Job {
  private unowned let daemon: any Daemon
  /// Can be used by any thread.
  package let cancellation = Cancellation()

  /// Plugin options given with the job. They override the FileSet's plugin line.
  private var overrides = PluginDefinition.Arguments()
  /// Seconds since 1970; 0 for a full backup.
  private var since = 0
  private var level = UInt8(ascii: "F")
  private var isFull: Bool { level == UInt8(ascii: "F") }
  private var volume: JobVolume?
  package private(set) var backup: BackupRun?
  package private(set) var restore: RestoreRun?
  private var restoreLine: [UInt8]?
  private var mayRestore = true
  /// The servers and the volume of the current restore.
  private var restoreTarget: String?
  private var hasReportedUser = false
  /// The volumes and directories of the job's plugin lines so far.
  private var backedUp: [VolumeURI] = []
  /// The metrics of the current plugin line; nil: none are written.
  private var metrics: JobMetrics?
  /// The directories that earlier plugin lines of the job have restored on each volume, by inode number.
  private var restored: [String: Set<ino_t>] = [:]
  /// The rebases of the job's earlier plugin lines, by the volume that was backed up and the volume that is restored to.
  private var rebases: [String: [Rebase]] = [:]
  /// ``RestoreRun/firstNames`` of the plugin lines that have been restored.
  private var firstNames: Set<Int> = []
  /// The number of entries that failed after the daemon's last call for their plugin line.
  private var lateFailures = 0
  /// Options for a restore, by the plugin line of the backup.
  private var restoreOptions: [[UInt8]: PluginDefinition.Arguments] = [:]
  /// The places that the job's backups could not read.
  private var unread = UnreadPlaces()
  /// The paths in the lists of the job's backups. They decide about entries that were not passed to the daemon.
  private var listed: [any UnseenEntries] = []
  /// True if the daemon knows entries by paths without their first components (Strip Path); nil: not known.
  private var stripsPaths: Bool?
  /// The number of entries that the daemon has asked for and that are in no base directory of a list, and whether it has asked for one that
  /// is in such a directory.
  private var asked = (outside: 0, inside: false)

  package init(daemon: any Daemon) { self.daemon = daemon }

  // MARK: Events

  /// Sets the level of the job.
  ///
  /// - Parameter level: the daemons' letter: `F`, `I`, `D` …
  package func setLevel(_ level: UInt8) { self.level = level }

  /// Sets the time since which changes are backed up, in seconds since 1970.
  package func setSince(_ seconds: Int) { since = seconds }

  /// Sets the job's plugin options. Options for other plugins are ignored.
  ///
  /// - Returns: false if the options are invalid. A message has reported this.
  package func setPluginOptions(_ options: [UInt8]) -> Bool {
    guard PluginDefinition.concerns(options) else { return true }
    do {
      overrides = overrides.overridden(by: try PluginDefinition.Arguments(options))
      return true
    } catch {
      daemon.report(.fatal, "GFD-002", "plugin options: \(error)")
      return false
    }
  }

  /// Sets options of a restore, as Bacula's console passes them.
  ///
  /// - Parameter line: the plugin line of the backup that the options are for.
  package func setRestoreOptions(_ options: some Collection<UInt8>, for line: [UInt8]) {
    do {
      restoreOptions[line] = try PluginDefinition.Arguments(options: options)
    } catch {
      daemon.report(.fatal, "GFD-002", "plugin options: \(error)")
      refuseRestore()
    }
  }

  /// Prevents every restore of the job: it would go to a volume that the user did not choose.
  package func refuseRestore() { mayRestore = false }

  /// Begins a backup.
  ///
  /// - Parameter line: the plugin line.
  /// - Returns: false if the job cannot go on. A message has given the reason.
  package func beginBackup(_ line: [UInt8], isEstimate: Bool) -> Bool {
    endBackup()
    guard let definition = definition(line) else { return false }
    if !isEstimate { metrics = definition.metricsFile.map { JobMetrics($0, .backup, definition.volume) } }
    let since = isFull ? 0 : since
    // Where the entries come from: each kind of source is one line here.
    let kind: any SourceKind =
      switch definition.source {
      case .crawl: CrawlKind()
      case .changes(let file): ListTerms(file: file, format: definition.listFormat, isFull: isFull, since: since)
      case .paths(let file): PathList(file: file)
      }
    let connected = connect(.backup, definition) { try BackupSession($0, definition, from: kind, since: since) }
    guard let (volume, traits, session) = connected else {
      keepMetrics(JobMetrics.Numbers())
      return false
    }
    reportUser()
    reportSameNames(definition.volume)
    if !isEstimate || since > 0 {
      reportBeginning(isEstimate ? "estimate of" : "backup of", volume, traits, ": \(levelWords(since)), \(session.source.words)")
    }
    backup = BackupRun(
      session, volume, daemon: daemon, isEstimate: isEstimate, since: since,
      undated: undatedChanges(session, definition, since: since, isEstimate: isEstimate))
    return true
  }

  /// The directory for the state database if neither the plugin line nor the daemon names one.
  private static let stateDirectory = "/var/lib"

  private func undatedChanges(_ session: BackupSession, _ definition: PluginDefinition, since: Int, isEstimate: Bool) -> UndatedChanges {
    let directory = definition.stateDirectory ?? (daemon.workingDirectory ?? Self.stateDirectory) + "/gfapi-fd"
    let job = UndatedChanges.Job(
      name: daemon.jobName, previous: daemon.previousJobName, since: since, isEstimate: isEstimate)
    return UndatedChanges(job, directory: directory, volume: session.volumeIdentity) { [unowned daemon] in daemon.report($0, $1) }
  }

  /// Returns true if an entry that no backup of this job has passed to the daemon may exist all the same.
  package func mayExist(_ path: [UInt8]) -> Bool {
    if unread.contain(path) || backup?.unread.contain(path) ?? false { return true }
    let stripsPaths = backup?.options.stripsPaths ?? stripsPaths
    // The daemon's paths differ from the volume's, so the unread places cannot be compared with them.
    if stripsPaths == true, !unread.isEmpty || backup?.unread.isEmpty == false { return true }
    let lists = listed + (backup?.unseen.map { [$0] } ?? [])
    if lists.contains(where: { $0.base.contains(path) }) {
      asked.inside = true
    } else if !lists.isEmpty, stripsPaths == nil, !asked.inside {
      // The entry is in another part of the FileSet, or in this one and without its first components. Keep it: an entry too many is better
      // than one too few.
      asked.outside += 1
      return true
    }
    return lists.contains { $0.keep(path) }
  }

  /// Ends all backups of the job. By now the daemon has asked about the entries that the backups did not pass to it.
  package func endBackups() {
    endBackup()
    if asked.outside > 0, !asked.inside {
      daemon.report(
        .warning, "GFD-030",
        "the daemon asked for \(asked.outside) entries that are not in this backup, none of them below its base directory, and they are kept: Strip Path in the FileSet of an accurate job with a list (gffilelist) is not supported, and what was deleted is not recorded"
      )
    }
    asked = (0, false)
  }

  /// Ends the backup of a plugin line, at the end of the line or of the job.
  package func endBackup() {
    guard backup != nil else { return }
    backup!.finish()
    unread.add(backup!.unread)
    stripsPaths = backup!.options.stripsPaths
    if let unseen = backup!.unseen { listed.append(unseen) }
    if !backup!.isEstimate {
      daemon.inform(backup!.account)
      daemon.inform(backup!.summary)
      keepMetrics(numbers(of: backup!))
    }
    backup = nil
    disconnect()
  }

  /// Prepares for an entry that was backed up with `line`.
  ///
  /// - Returns: false if the restore cannot begin. A message has given the reason.
  package func beginRestore(_ line: [UInt8]) -> Bool {
    if restoreLine == line { return restore != nil }
    // A late failure of the previous plugin line is an error of the job, but this line is restored all the same.
    endRestore(isLast: false)
    restoreLine = line
    guard mayRestore else { return false }
    do {
      let original = try PluginDefinition.Arguments(line)
      let options = restoreOptions[line].map(overrides.overridden) ?? overrides
      let definition = try PluginDefinition(original.overridden(by: options))
      // The volume in an old plugin line matters only for its base directory, so a line that is invalid by now is no error.
      let source = (try? PluginDefinition(original))?.volume
      let rebase = Rebase(
        original: source?.directory ?? [], overridden: options.values[.volume] == nil ? [] : definition.volume.directory)
      let target = "\(definition.volume.servers) \(definition.volume.volume)"
      let way = "\(source.map { "\($0.servers) \($0.volume)" } ?? "") to \(target)"
      let before = restored[target] ?? []
      restoreTarget = target
      metrics = definition.metricsFile.map { JobMetrics($0, .restore, definition.volume) }
      let connected = connect(.restore, definition) {
        let root = try TargetDirectory(rootOf: $0.volume, restored: before)
        try root.open()
        return root
      }
      guard let (volume, traits, root) = connected else {
        keepMetrics(JobMetrics.Numbers())
        return false
      }
      reportUser()
      reportBeginning("restore onto", volume, traits)
      restore = RestoreRun(onto: root, volume, daemon: daemon, rebase: rebase, earlier: rebases[way] ?? [], firstNames: firstNames)
      rebases[way, default: []].append(rebase)
      return true
    } catch {
      daemon.report(.fatal, "GFD-001", "\(error)")
      return false
    }
  }

  /// Ends the restore onto a volume.
  ///
  /// - Parameter isLast: true if the daemon has passed all entries of the job.
  package func endRestore(isLast: Bool = true) {
    restoreLine = nil
    lateFailures += restore?.end() ?? 0
    // By now the daemons have decided the job's result from the errors that they know of. Later failures must end the job with a fatal
    // message.
    if isLast, lateFailures > 0 {
      daemon.report(.fatal, "GFD-011", "the restore of \(lateFailures) entries failed, see the errors above")
      lateFailures = 0
    }
    guard let restore else { return }
    let counts = restore.counts
    daemon.inform(restore.account)
    daemon.inform(
      "\(counts.restored) entries restored, \(counts.bytes) bytes written, \(counts.skipped) skipped, \(counts.failed) failed")
    var numbers = JobMetrics.Numbers()
    numbers.hasSucceeded = !restore.isGone && !isCancelled
    (numbers.entries, numbers.bytes, numbers.failed) = ([("any", counts.restored)], counts.bytes, counts.failed)
    keepMetrics(numbers)
    firstNames = restore.firstNames
    if let target = restoreTarget { restored[target] = restore.restoredDirectories }
    let leavesSome = restore.leavesSome
    disconnect(waits: leavesSome)
  }

  /// Ends everything, because the daemon frees the plugin.
  package func end() {
    backup = nil
    disconnect()
  }

  // MARK: Metrics

  private var isCancelled: Bool { cancellation.isCancelled || daemon.jobIsCancelled }

  private func numbers(of backup: BackupRun) -> JobMetrics.Numbers {
    let counts = backup.counts
    var numbers = JobMetrics.Numbers()
    numbers.hasSucceeded = backup.isComplete && !isCancelled
    numbers.entries = [
      ("file", counts.files), ("directory", counts.directories), ("symlink", counts.symbolicLinks), ("special", counts.special),
    ]
    (numbers.bytes, numbers.unchanged, numbers.failed) = (counts.bytes, counts.unchanged, counts.failed)
    return numbers
  }

  private func keepMetrics(_ numbers: JobMetrics.Numbers) {
    guard let metrics else { return }
    self.metrics = nil
    do { try metrics.write(numbers) } catch {
      daemon.report(.warning, "GFD-036", "metrics=\(metrics.file): cannot be written: \(error)")
    }
  }

  // MARK: Questions

  /// The values of `parameter` that the console can ask for.
  private static let parameters = ["volume"]

  /// Answers a question from the console about a plugin line.
  ///
  /// - Returns: at least one line of the form `key=value`.
  package func answers(to parameter: [UInt8], _ line: [UInt8]) -> [String] {
    guard Self.parameters.contains(String(decoding: parameter, as: UTF8.self)) else {
      return ["error=unknown parameter \"\(printable(parameter))\"; known: \(Self.parameters.joined(separator: ", "))"]
    }
    do {
      let definition = try Self.definition(fromConsole: line)
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

  // MARK: The volume

  private func definition(_ line: [UInt8]) -> PluginDefinition? {
    do {
      return try PluginDefinition(PluginDefinition.Arguments(line).overridden(by: overrides))
    } catch {
      daemon.report(.fatal, "GFD-001", "\(error)")
      return nil
    }
  }

  /// Connects to a volume. If that fails, a message says why.
  private func connect<Prepared>(
    _ purpose: JobVolume.Purpose, _ definition: PluginDefinition,
    _ prepare: @escaping @Sendable (JobVolume.Connection) throws -> Prepared
  ) -> (volume: JobVolume, traits: VolumeTraits, prepared: Prepared)? {
    disconnect()
    let volume = JobVolume(definition)
    self.volume = volume
    cancellation.watch(volume)
    do {
      let outage = Outage(volume, daemon)
      let (connection, prepared) = try volume.connect(for: purpose, isCancelled: outage.isCancelled, prepare)
      outage.reportEnd()
      return (volume, connection.traits, prepared)
    } catch is VolumeThreads.Stopped {
      return nil
    } catch {
      daemon.report(.fatal, (error as? any JobEndingError)?.message ?? JobMessage("GFD-019", "the job cannot begin: \(error)"))
      return nil
    }
  }

  /// Warns if two volumes in one FileSet have overlapping directories: the daemons' catalogs identify entries by their paths alone.
  private func reportSameNames(_ uri: VolumeURI) {
    let other = backedUp.first {
      $0.volume != uri.volume && (BaseDirectory(of: $0).contains(uri.directory) || BaseDirectory(of: uri).contains($0.directory))
    }
    backedUp.append(uri)
    guard let other else { return }
    daemon.report(
      .warning, "GFD-014",
      "\(other) and \(uri) are in one FileSet: of two entries with the same path, a restore can select only one: use a FileSet for each")
  }

  private func reportUser() {
    guard geteuid() != 0, !hasReportedUser else { return }
    hasReportedUser = true
    daemon.report(
      .warning, "GFD-013",
      "the file daemon runs as user \(geteuid()), not as root: it saves only what this user may read, and a restore cannot set owners")
  }

  /// Reports what a job does, on which volume, and the versions of the plugin and libgfapi.
  ///
  /// - Parameter how: returns text to append.
  private func reportBeginning(_ what: String, _ volume: JobVolume, _ traits: VolumeTraits, _ how: String = "") {
    daemon.inform(
      "gfapi-fd \(Version.version), libgfapi \(VolumeReport.clientVersion): \(what) \(volume.definition.volume) (\(VolumeReport.type(traits)))\(how)"
    )
  }

  /// The job's level and since time, in words.
  private func levelWords(_ since: Int) -> String {
    let name =
      switch level {
      case UInt8(ascii: "F"): "full"
      case UInt8(ascii: "I"): "incremental"
      case UInt8(ascii: "D"): "differential"
      default: "level \(printable([level]))"
      }
    return since > 0 ? "\(name) since \(utc(since))" : name
  }

  /// Ends the restore, and disconnects.
  ///
  /// - Parameter waits: true to wait until the incomplete files of the restore have been removed.
  private func disconnect(waits: Bool = false) {
    cancellation.watch(nil)
    volume?.close(restore?.removeLeftovers, waits: waits)
    (restore, volume) = (nil, nil)
  }
}
