import Glibc
import Gluster
import Version

/// The plugin in one job of a daemon: takes what happens in the job and owns the backup or the restore that it is about.
package final class Job {
  private unowned let daemon: any Daemon
  /// May be used from any thread.
  package let cancellation = Cancellation()

  /// Plugin options given with the job: they win over the FileSet's line.
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
  /// The volume of the restore under way.
  private var restorePlace: String?
  private var hasToldUser = false
  /// What the job's lines back up.
  private var backedUp: [VolumeURI] = []
  /// Of the line under way.
  private var metrics: JobMetrics?
  /// The directories that earlier lines of the job have restored on each volume, by inode.
  private var restored: [String: Set<ino_t>] = [:]
  /// Where the entries of the job's lines have gone, by the volume that they were backed up from and the one that they go to.
  private var rebases: [String: [Rebase]] = [:]
  /// Of the lines that have been restored: see ``RestoreRun/firstNames``.
  private var firstNames: Set<Int> = []
  /// Entries that failed when the daemon had gone on.
  private var lateFailures = 0
  /// Options for the restore of what was backed up with a line.
  private var restoreOptions: [[UInt8]: PluginDefinition.Arguments] = [:]
  /// What the job's backups could not look into.
  private var unread = UnreadPlaces()
  /// What the lists of the job's backups say of entries that are not told.
  private var listed: [ListedPaths] = []
  /// The daemon knows entries by paths without their first components; nil: it does not tell.
  private var stripsPaths: Bool?
  /// How many entries the daemon has asked for that are in no base directory of a list, and whether it has asked for one that is.
  private var asked = (outside: 0, inside: false)

  package init(daemon: any Daemon) { self.daemon = daemon }

  // MARK: Events

  /// - Parameter level: the daemons' letter: `F`, `I`, `D` …
  package func setLevel(_ level: UInt8) { self.level = level }

  package func setSince(_ seconds: Int) { since = seconds }

  /// Takes plugin options. Options for other plugins are not ours to judge.
  package func setPluginOptions(_ options: [UInt8]) -> Bool {
    guard PluginDefinition.concerns(options) else { return true }
    do {
      overrides = overrides.overridden(by: try PluginDefinition.Arguments(options))
      return true
    } catch {
      daemon.tell(.fatal, "plugin options: \(error)")
      return false
    }
  }

  /// Takes options of a restore, as Bacula's console hands them over.
  ///
  /// - Parameter line: the plugin line of the backup that they are for.
  package func setRestoreOptions(_ options: some Collection<UInt8>, for line: [UInt8]) {
    do {
      restoreOptions[line] = try PluginDefinition.Arguments(options: options)
    } catch {
      daemon.tell(.fatal, "plugin options: \(error)")
      refuseRestore()
    }
  }

  /// Lets no restore begin: it would go to another place than was asked for.
  package func refuseRestore() { mayRestore = false }

  /// Begins a backup.
  ///
  /// - Parameter line: the plugin line.
  /// - Returns: false if the job cannot go on; a message has said why.
  package func beginBackup(_ line: [UInt8], isEstimate: Bool) -> Bool {
    endBackup()
    guard let definition = definition(line) else { return false }
    if !isEstimate { metrics = definition.metricsFile.map { JobMetrics($0, .backup, definition.volume) } }
    let since = isFull ? 0 : since
    let list = definition.fileList.map { ListTerms(file: $0, format: definition.listFormat, isFull: isFull, since: since) }
    let volume = connect(.backup, definition) { session, volume in
      session.backup = try BackupSession(volume, session.traits!, definition, list: list, since: since)
    }
    guard let volume else {
      keepMetrics(JobMetrics.Numbers())
      return false
    }
    tellUser()
    tellSameNames(definition.volume)
    if !isEstimate || since > 0 {
      tellBeginning(isEstimate ? "estimate of" : "backup of", volume) { traits in
        ": \(self.levelWords(since)), "
          + (list.map { "listed by \(printable($0.file))" } ?? "by crawl" + (since > 0 ? self.signsWords(traits, definition) : ""))
      }
    }
    backup = BackupRun(
      volume, daemon: daemon, isEstimate: isEstimate, since: since, list: list,
      undated: undatedChanges(volume, since: since, isEstimate: isEstimate))
    return true
  }

  /// Where the state is when neither the plugin line nor the daemon tells a directory.
  private static let stateDirectory = "/var/lib"

  private func undatedChanges(_ volume: JobVolume, since: Int, isEstimate: Bool) -> UndatedChanges? {
    guard let identity = try? volume.run(isCancelled: { false }, { $0.backup!.volumeIdentity }) else { return nil }
    let directory = volume.definition.stateDirectory ?? (daemon.workingDirectory ?? Self.stateDirectory) + "/gfapi-fd"
    let job = UndatedChanges.Job(
      name: daemon.jobName, previous: daemon.previousJobName, since: since, isEstimate: isEstimate)
    return UndatedChanges(job, directory: directory, volume: identity) { [unowned daemon] in daemon.tell($0, $1) }
  }

  /// Whether an entry that no backup of this job has told may be there all the same.
  package func mayExist(_ path: [UInt8]) -> Bool {
    if unread.contain(path) || backup?.unread.contain(path) ?? false { return true }
    let stripsPaths = backup?.options.stripsPaths ?? stripsPaths
    // By another path than ours.
    if stripsPaths == true, !unread.isEmpty || backup?.unread.isEmpty == false { return true }
    let lists = listed + (backup?.listedPaths.map { [$0] } ?? [])
    if lists.contains(where: { $0.base.contains(path) }) {
      asked.inside = true
    } else if !lists.isEmpty, stripsPaths == nil, !asked.inside {
      // Of another part of the FileSet, or of ours without its first components: rather an entry too many than one too few.
      asked.outside += 1
      return true
    }
    return lists.contains { $0.keep(path) }
  }

  /// All of the job's backups are done, and the daemon has asked for what they did not tell.
  package func endBackups() {
    endBackup()
    if asked.outside > 0, !asked.inside {
      daemon.tell(
        .warning,
        "the daemon asked for \(asked.outside) entries that are not in this backup, none of them below its base directory, and they are kept: Strip Path in the FileSet of an accurate job with a list (gffilelist) is not supported, and what was deleted is not recorded"
      )
    }
    asked = (0, false)
  }

  /// Ends the backup: the line is done, or the job is.
  package func endBackup() {
    guard backup != nil else { return }
    backup!.finish()
    unread.add(backup!.unread)
    stripsPaths = backup!.options.stripsPaths
    if let paths = backup!.listedPaths { listed.append(paths) }
    if !backup!.isEstimate {
      daemon.tell(.info, backup!.account)
      daemon.tell(.info, backup!.summary)
      keepMetrics(numbers(of: backup!))
    }
    backup = nil
    disconnect()
  }

  /// Gets ready for an entry that was backed up with `line`.
  package func beginRestore(_ line: [UInt8]) -> Bool {
    if restoreLine == line { return restore != nil }
    // What fails late in it is an error of the job, and the next line is restored all the same.
    endRestore(isLast: false)
    restoreLine = line
    guard mayRestore else { return false }
    do {
      let original = try PluginDefinition.Arguments(line)
      let options = restoreOptions[line].map(overrides.overridden) ?? overrides
      let definition = try PluginDefinition(original.overridden(by: options))
      // What an old line says of its volume matters only for its base directory.
      let source = (try? PluginDefinition(original))?.volume
      let rebase = Rebase(
        original: source?.directory ?? [], overridden: options.values[.volume] == nil ? [] : definition.volume.directory)
      let place = "\(definition.volume.servers) \(definition.volume.volume)"
      let way = "\(source.map { "\($0.servers) \($0.volume)" } ?? "") to \(place)"
      let before = restored[place] ?? []
      restorePlace = place
      metrics = definition.metricsFile.map { JobMetrics($0, .restore, definition.volume) }
      let volume = connect(.restore, definition) { session, volume in
        let root = try TargetDirectory(rootOf: volume, restored: before)
        _ = try root.open()
        session.restoreRoot = root
      }
      guard let volume else {
        keepMetrics(JobMetrics.Numbers())
        return false
      }
      tellUser()
      tellBeginning("restore onto", volume)
      restore = RestoreRun(volume, daemon: daemon, rebase: rebase, earlier: rebases[way] ?? [], firstNames: firstNames)
      rebases[way, default: []].append(rebase)
      return true
    } catch {
      daemon.tell(.fatal, "\(error)")
      return false
    }
  }

  /// Ends the restore onto a volume.
  ///
  /// - Parameter isLast: the daemon has handed over all entries of the job.
  package func endRestore(isLast: Bool = true) {
    restoreLine = nil
    lateFailures += restore?.end() ?? 0
    // The daemons have judged the job by the errors that they know of by now: what comes after that must end it.
    if isLast, lateFailures > 0 {
      daemon.tell(.fatal, "the restore of \(lateFailures) entries failed, see the errors above")
      lateFailures = 0
    }
    guard let restore else { return }
    let counts = restore.counts
    daemon.tell(.info, restore.account)
    daemon.tell(
      .info,
      "\(counts.restored) entries restored, \(counts.bytes) bytes written, \(counts.skipped) skipped, \(counts.failed) failed")
    var numbers = JobMetrics.Numbers()
    numbers.hasSucceeded = !restore.isGone && !isCancelled
    (numbers.entries, numbers.bytes, numbers.failed) = ([("any", counts.restored)], counts.bytes, counts.failed)
    keepMetrics(numbers)
    firstNames = restore.firstNames
    if let place = restorePlace { restored[place] = restore.restoredDirectories }
    let leavesSome = restore.leavesSome
    self.restore = nil
    disconnect(cleansUp: leavesSome)
  }

  /// Ends everything: the daemon frees the plugin.
  package func end() {
    backup = nil
    restore = nil
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
    do { try metrics.write(numbers) } catch { daemon.tell(.warning, "metrics=\(metrics.file): cannot be written: \(error)") }
  }

  // MARK: Questions

  /// What the console may ask, as `parameter`.
  private static let parameters = ["volume"]

  /// Answers a question from the console about a plugin line: lines of the form `key=value`, one at least.
  package func answers(to parameter: [UInt8], _ line: [UInt8]) -> [String] {
    guard Self.parameters.contains(String(decoding: parameter, as: UTF8.self)) else {
      return ["error=unknown parameter \"\(printable(parameter))\"; known: \(Self.parameters.joined(separator: ", "))"]
    }
    do {
      let definition = try Self.definition(fromConsole: line)
      let volume = JobVolume(definition)
      defer { volume.close() }
      let report = try volume.connectAndReport()
      return [
        "volume=\(definition.volume)", "type=\(report.type)", "libgfapi=\(report.clientVersion)", "size=\(report.size)",
        "free=\(report.free)", "acls=\(report.acls ?? "supported")",
        "xattrs=\(report.extendedAttributes ?? "supported")",
      ]
    } catch {
      return ["error=" + "\(error)".split(separator: "\n").joined(separator: " ")]
    }
  }

  /// A plugin line that came through Bacula's console, which takes every backslash away: then all that follows `volume=` is
  /// the URI.
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
      daemon.tell(.fatal, "\(error)")
      return nil
    }
  }

  private func connect(
    _ purpose: JobVolume.Purpose, _ definition: PluginDefinition,
    _ prepare: @escaping @Sendable (VolumeSession, Volume) throws -> Void
  ) -> JobVolume? {
    disconnect()
    let volume = JobVolume(definition)
    self.volume = volume
    cancellation.watch(volume)
    do {
      let outage = Outage(volume, daemon)
      try volume.connect(for: purpose, isCancelled: outage.isCancelled, prepare)
      outage.tellEnd()
      return volume
    } catch is VolumeThreads.Stopped {
      return nil
    } catch {
      daemon.tell(.fatal, "\(error)")
      return nil
    }
  }

  /// Two volumes with the same directory in one FileSet: the daemons' catalogs know entries by their paths alone.
  private func tellSameNames(_ uri: VolumeURI) {
    let other = backedUp.first {
      $0.volume != uri.volume && (BaseDirectory(of: $0).contains(uri.directory) || BaseDirectory(of: uri).contains($0.directory))
    }
    backedUp.append(uri)
    guard let other else { return }
    daemon.tell(
      .warning,
      "\(other) and \(uri) are in one FileSet: of entries with the same path a restore gets one only: use a FileSet for each")
  }

  private func tellUser() {
    guard geteuid() != 0, !hasToldUser else { return }
    hasToldUser = true
    daemon.tell(
      .warning,
      "the file daemon runs as user \(geteuid()), not as root: it saves only what this user may read, and a restore cannot set owners")
  }

  /// Says what a job is about, and with what.
  ///
  /// - Parameter how: what follows.
  private func tellBeginning(_ what: String, _ volume: JobVolume, _ how: (VolumeTraits) -> String = { _ in "" }) {
    guard let traits = try? volume.run(isCancelled: { false }, { $0.traits! }) else { return }
    daemon.tell(
      .info,
      "gfapi-fd \(Version.version), libgfapi \(VolumeReport.clientVersion): \(what) \(volume.definition.volume) (\(VolumeReport.type(traits)))\(how(traits))"
    )
  }

  /// What a crawl compares of an entry, in words.
  private func signsWords(_ traits: VolumeTraits, _ definition: PluginDefinition) -> String {
    let checks = traits.bricksAgreeOnTimes && definition.checksAttributes
    let signs = ["times"] + (checks ? ["attributes", "ACLs", "holes"] : []) + (traits.isSharded ? ["shards"] : [])
    return " (\(signs.joined(separator: ", ")))"
  }

  /// Level and time, in words.
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

  private func disconnect(cleansUp: Bool = false) {
    cancellation.watch(nil)
    volume?.close(cleansUp: cleansUp)
    volume = nil
  }
}
