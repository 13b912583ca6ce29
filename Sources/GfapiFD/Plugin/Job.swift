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
  private var level = JobLevel()
  private var volume: JobVolume?
  package private(set) var backup: BackupRun?
  package private(set) var restore: RestoreRun?
  private var restoreLine: [UInt8]?
  private var mayRestore = true
  /// The identity of the volume of the current restore.
  private var restoredVolume: String?
  private var introduction = JobIntroduction()
  /// The metrics of the current plugin line; nil: none are written.
  private var metrics: JobMetrics?
  private var earlier = EarlierRestores()
  /// The number of entries that failed after the daemon's last call for their plugin line.
  private var lateFailures = 0
  /// Options for a restore, by the plugin line of the backup.
  private var restoreOptions: [[UInt8]: PluginDefinition.Arguments] = [:]
  private var unseen = UnseenAnswers()

  package init(daemon: any Daemon) { self.daemon = daemon }

  // MARK: Events

  /// Sets the level of the job.
  ///
  /// - Parameter letter: the daemons' letter: `F`, `I`, `D` …
  package func setLevel(_ letter: UInt8) { level.letter = letter }

  /// Sets the time since which changes are backed up, in seconds since 1970.
  package func setSince(_ seconds: Int) { level.given = seconds }

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
    guard let definition = definition(line).flatMap(atMoment) else { return false }
    if !isEstimate { metrics = definition.metricsFile.map { JobMetrics($0, .backup, definition.volume) } }
    let since = level.since
    let searched = level.searched(definition)
    // Where the entries come from: each kind of source is one line here.
    let kind: any SourceKind =
      switch definition.source {
      case .crawl: CrawlKind()
      case .changes(let file): ListTerms(file: file, format: definition.listFormat, isFull: level.isFull, since: since)
      case .paths(let file): PathList(file: file)
      }
    let connected = connect(.backup, definition) { try BackupSession($0, definition, from: kind, since: searched) }
    guard let (volume, traits, session) = connected else {
      keepMetrics(JobMetrics.Numbers())
      return false
    }
    introduction.reportUser(daemon)
    introduction.reportSameNames(daemon, definition.volume)
    if !isEstimate || since > 0 {
      introduction.reportBeginning(
        daemon, isEstimate ? "estimate of" : "backup of", volume, traits, ": \(level.words), \(session.source.words)")
    }
    backup = BackupRun(
      session, volume, daemon: daemon, isEstimate: isEstimate, since: since, searched: searched,
      undated: undatedChanges(session, definition, since: since, isEstimate: isEstimate))
    return true
  }

  private func undatedChanges(_ session: BackupSession, _ definition: PluginDefinition, since: Int, isEstimate: Bool) -> UndatedChanges {
    let directory = definition.stateDirectory ?? (daemon.workingDirectory ?? "/var/lib") + "/gfapi-fd"
    let job = UndatedChanges.Job(
      name: daemon.jobName, previous: daemon.previousJobName, since: since, isEstimate: isEstimate)
    return UndatedChanges(job, directory: directory, volume: session.volumeIdentity) { [unowned daemon] in daemon.report($0, $1) }
  }

  /// Returns true if an entry, named as the daemon knows it, may exist although no backup of this job has passed it to the daemon.
  package func mayExist(_ name: [UInt8]) -> Bool { unseen.mayExist(name, backup) }

  /// Ends all backups of the job. By now the daemon has asked about the entries that the backups did not pass to it.
  package func endBackups() {
    endBackup()
    if let outside = unseen.takeOutside() {
      daemon.report(
        .warning, "GFD-030",
        "the daemon asked for \(outside) entries that are not in this backup, none of them below its base directory, and they are kept: Strip Path in the FileSet of an accurate job with a list (gffilelist) is not supported, and what was deleted is not recorded"
      )
    }
  }

  /// Ends the backup of a plugin line, at the end of the line or of the job.
  package func endBackup() {
    guard backup != nil else { return }
    backup!.finish()
    unseen.add(backup!)
    if !backup!.isEstimate {
      daemon.inform(backup!.account)
      daemon.inform(backup!.summary)
      keepMetrics(JobMetrics.Numbers(backup!, isCancelled: isCancelled))
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
      // The key of the backup's own line has no meaning for a restore.
      guard options.values[.snapshot] == nil else {
        daemon.report(
          .fatal, "GFD-018",
          "snapshot= in the options of a restore: a restore never writes to a snapshot: leave it out, and the restore goes to the volume")
        return false
      }
      let definition = try PluginDefinition(original.overridden(by: options))
      // The volume in an old plugin line matters only for its base directory, so a line that is invalid by now is no error.
      let source = (try? PluginDefinition(original))?.volume
      let rebase = Rebase(
        original: source?.directory ?? .root, overridden: options.values[.volume] == nil ? .root : definition.volume.directory)
      let target = "\(definition.volume.servers) \(definition.volume.volume)"
      let way = "\(source.map { "\($0.servers) \($0.volume)" } ?? "") to \(target)"
      let directories = earlier.directories
      metrics = definition.metricsFile.map { JobMetrics($0, .restore, definition.volume) }
      let connected = connect(.restore, definition) {
        let root = try TargetDirectory(rootOf: $0.volume, restored: directories[$0.identity] ?? [])
        try root.open()
        return (root: root, identity: $0.identity)
      }
      guard let (volume, traits, (root, identity)) = connected else {
        keepMetrics(JobMetrics.Numbers())
        return false
      }
      introduction.reportUser(daemon)
      introduction.reportBeginning(daemon, "restore onto", volume, traits)
      restore = RestoreRun(
        onto: root, volume, daemon: daemon, rebase: rebase, earlier: earlier.rebases[way] ?? [],
        firstNames: earlier.firstNames, images: earlier.images[identity] ?? RestoredImages(), keepsImages: original.makesDeltas)
      restoredVolume = identity
      earlier.rebases[way, default: []].append(rebase)
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
    daemon.inform(restore.account)
    daemon.inform(restore.counts.summary)
    keepMetrics(JobMetrics.Numbers(restore, isCancelled: isCancelled))
    earlier.firstNames = restore.firstNames
    if let volume = restoredVolume {
      earlier.directories[volume] = restore.restoredDirectories
      earlier.images[volume] = restore.images
    }
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

  private func keepMetrics(_ numbers: JobMetrics.Numbers) {
    guard let metrics else { return }
    self.metrics = nil
    do { try metrics.write(numbers) } catch {
      daemon.report(.warning, "GFD-036", "metrics=\(metrics.file): cannot be written: \(error)")
    }
  }

  // MARK: The volume

  private func definition(_ line: [UInt8]) -> PluginDefinition? {
    do {
      let own = try PluginDefinition.Arguments(line)
      var definition = try PluginDefinition(own.overridden(by: overrides))
      // A restore has the FileSet's line only, and must know whether there are deltas.
      definition.makesDeltas = own.makesDeltas
      if overrides.values[.delta] != nil, overrides.makesDeltas != own.makesDeltas {
        daemon.report(.warning, "GFD-046", "delta= in the plugin options of a job has no effect: set it in the plugin line of the FileSet")
      }
      return definition
    } catch {
      daemon.report(.fatal, "GFD-001", "\(error)")
      return nil
    }
  }

  /// Returns the definition of a backup with the snapshot that it reads.
  private func atMoment(_ definition: PluginDefinition) -> PluginDefinition? {
    let result = definition.atMoment(ofJob: daemon.jobName)
    if result == nil {
      daemon.report(.fatal, "GFD-018", "snapshot=job: the daemon does not tell the job's name: name the snapshot, as snapshot=NAME")
    }
    return result
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
    } catch let failure as JobVolume.ConnectionFailure where failure.isOfSnapshot && definition.moment == .job(orLive: true) {
      daemon.report(.warning, "GFD-017", "the volume itself is backed up, and may change meanwhile: \(failure)")
      var live = definition
      (live.moment, live.volume.snapshot) = (.live, nil)
      return connect(purpose, live, prepare)
    } catch {
      daemon.report(.fatal, (error as? any JobEndingError)?.message ?? JobMessage("GFD-019", "the job cannot begin: \(error)"))
      return nil
    }
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
