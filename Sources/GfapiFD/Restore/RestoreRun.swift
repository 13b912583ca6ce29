import DeltaFormat
import GfapiAttributes
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster

/// A restore onto one volume: takes the daemon's calls for one entry after another, and does the work in the background.
///
/// An answer to the daemon means only that the entry was accepted. Later failures are reported as messages. Used by the job's thread only.
package final class RestoreRun {
  package struct Counts: Sendable {
    package var restored = 0
    package var skipped = 0
    package var failed = 0
    package var bytes = 0
  }

  /// The maximum number of pieces of one file that are written in parallel. Measured: more or larger pieces are not faster.
  static let mostPieces = 2
  /// The memory of an entry besides its data and attributes, in bytes.
  private static let entryCost = 4 << 10

  private unowned let daemon: any Daemon
  let calls: JobCalls
  let queue: WriteBehind
  private var tree: RestoreTree?
  private let root: TargetDirectory
  /// Maps the base directory of the backup to the one that replaces it.
  private let rebase: Rebase
  private let earlier: [Rebase]
  private var hasReportedOutside = false
  /// Hashes of the paths of accepted files that may have additional hard links, including those of the job's earlier plugin lines. A link
  /// count of 0 means that the number is not known.
  package private(set) var firstNames: Set<Int>
  var done = Counts()
  package var counts: Counts {
    var counts = done
    counts.failed = failures.count
    return counts
  }
  /// Paths of the entries with unfinished work.
  private var busy: Set<VolumePath> = []
  let failures: RestoreFailures
  /// The files on which deltas may build, also those of the job's earlier plugin lines.
  package internal(set) var images: RestoredImages
  /// True if the backup may have deltas (`delta=yes`).
  let keepsImages: Bool
  /// True if the restore has ended because the volume is gone or read-only. A message has reported this.
  package var isGone: Bool { failures.isGone }
  private(set) var current: CurrentEntry?
  /// The path of the current entry as the daemon knows it, in raw bytes.
  package var path: [UInt8]? { current?.entry.path }
  private var pace = JobPace()

  /// - Parameters:
  ///   - rebase: maps the paths of the entries.
  ///   - earlier: the rebases of the job's earlier plugin lines.
  ///   - firstNames: ``firstNames`` of the job's earlier plugin lines.
  ///   - images: ``images`` of the job's earlier plugin lines.
  ///   - keepsImages: true if the backup's plugin line has `delta=yes`.
  package init(
    onto root: TargetDirectory, _ volume: JobVolume, daemon: any Daemon, rebase: Rebase, earlier: [Rebase] = [], firstNames: Set<Int> = [],
    images: RestoredImages = RestoredImages(), keepsImages: Bool = false
  ) {
    (self.root, self.daemon, self.images, self.keepsImages) = (root, daemon, images, keepsImages)
    (self.rebase, self.earlier, self.firstNames) = (rebase, earlier, firstNames)
    calls = JobCalls(volume, daemon)
    queue = WriteBehind(calls)
    failures = RestoreFailures(daemon, calls, root.volume)
    volume.startWorkers()
  }

  // MARK: Entries

  /// Accepts an entry, and makes it the current one.
  ///
  /// - Parameter prefix: the daemon's *where*, which stands before the path.
  package func create(_ entry: RestoreEntry, under prefix: [UInt8]) -> Answer {
    finishEntry()
    var entry = entry
    if let path = rebase(entry.path, under: prefix) {
      entry.path = path
    } else if rebase.moves, !hasReportedOutside {
      hasReportedOutside = true
      daemon.report(.warning, Rebase.isOutside.about(entry.path))
    }
    if entry.kind == .hardLink {
      // The link's first name may be in the base directory of another plugin line.
      entry.link = ([rebase] + earlier).lazy.compactMap { $0(entry.link, under: prefix) }.first ?? entry.link
    }
    if pace.isDue() { daemon.inform("so far \(counts.restored) entries, \(account); at \(printable(entry.path))") }
    do {
      guard !isGone else { throw JobCalls.Ended(message: nil) }
      let path = try RestoreEntry.volumePath(entry.path)
      try entry.check(path)
      let begun = try begin(entry, path)
      if let reason = try reasonToSkip(begun) {
        done.skipped += 1
        if keepsImages { images[path] = .skipped }
        daemon.report(.info, JobMessage("GFD-078", "skipped: \(reason)").about(entry.path))
        return .skipped
      }
      if keepsImages, RestoredImages.concern(entry), entry.delta == 0 { begun.content = ContentDigest(keepsDigests: false) }
      current = begun
      if begun.target != nil, !begun.isLink, entry.status.st_nlink != 1 { firstNames.insert(path.hashValue) }
      return begun.isLink ? .linked : begun.target == nil ? .createdDirectory : .created
    } catch {
      failures.fail(entry.path, error)
      return .failed
    }
  }

  /// Counts and reports an entry that cannot be accepted.
  package func refuse(_ path: [UInt8], _ reason: String) {
    finishEntry()
    failures.fail(path, RestoreProblem(reason))
  }

  /// The speed of the restore, and the share of the time spent waiting, in words.
  package var account: String { pace.words(entries: counts.restored, bytes: counts.bytes, waited: calls.waited) }

  private func openedTree() throws -> RestoreTree {
    if let tree { return tree }
    let tree = RestoreTree(queue, root: root) { [failures] in failures.fail($0.bytes, $1) }
    self.tree = tree
    return tree
  }

  /// Prepares for an entry. Waits for other work on the same path.
  private func begin(_ entry: RestoreEntry, _ path: VolumePath) throws -> CurrentEntry {
    let tree = try openedTree()
    if busy.contains(path) { try queue.drain() }
    if entry.kind == .hardLink, busy.contains(try RestoreEntry.volumePath(entry.link)) { try queue.drain() }
    if entry.kind == .own, entry.status.isDirectory {
      return CurrentEntry(entry, path, in: try tree.enter(path, isBusy: busy.contains), nil)
    }
    let node = try tree.enter(path.parent, isBusy: busy.contains)
    // A directory at this path is in use, and may be in the way of the entry. Wait until all work in the directory is done.
    if tree.find(path) != nil { try queue.drain() }
    return CurrentEntry(entry, path, in: node, TargetEntry(entry, Array(path.name), in: node.directory))
  }

  /// Returns the reason why the replace rule keeps the existing entry; nil: the entry is to be restored. The volume is asked only if the
  /// rule depends on the existing entry.
  private func reasonToSkip(_ begun: CurrentEntry) throws -> String? {
    let entry = begun.entry
    let (directory, name) = (begun.node.directory, begun.target == nil ? nil : Array(begun.path.name))
    func existing() throws -> stat? { try calls.run { try name.map(directory.existing) ?? directory.existing() } }
    if entry.delta > 0 { return try reasonToSkip(entry, deltaAt: begun.path, existing: existing) }
    guard entry.replace != .always, let existing = try existing() else { return nil }
    return entry.reasonToSkip(for: existing)
  }

  // MARK: Attributes

  package func setAttributes(_ status: stat) { current?.attributes.status = status }

  /// See ``CurrentEntry``.
  package func setACLs(_ content: some Collection<UInt8>) { take { $0.setACLs(content).map { [$0] } ?? [] } }

  /// See ``CurrentEntry``.
  package func setExtendedAttributes(_ content: some Collection<UInt8>) { take { $0.setExtendedAttributes(content) } }

  /// See ``CurrentEntry``.
  package func setExtendedAttribute(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    take { $0.setExtendedAttribute(name, value).map { [$0] } ?? [] }
  }

  /// Takes an attribute of the current entry. An additional hard link has none of its own.
  private func take(_ attribute: (CurrentEntry) -> [JobMessage]) {
    guard let current, !current.isLink else { return }
    for problem in attribute(current) { failures.report(current, problem) }
  }

  /// Ends the current entry: starts the work on the rest of its data and on its attributes.
  package func finishEntry() {
    guard let current else { return }
    self.current = nil
    guard !isGone else { return }
    busy.insert(current.path)
    if !current.isIncomplete { failures.forget(current.path) }
    do {
      try finish(current)
    } catch { failures.fail(current, error) }
  }

  private func finish(_ current: CurrentEntry) throws {
    let attributes = current.attributes
    let fingerprint = current.delta.map { end($0, current) } ?? current.fingerprint()
    func work(_ body: @escaping @Sendable () throws -> [JobMessage]) -> WriteBehind.Work {
      WriteBehind.Work(cost: Self.entryCost + current.data.count + attributes.size, body: body) { [unowned self] in
        finished(current, $0, fingerprint)
      }
    }
    guard let target = current.target else {
      let directory = current.node.directory
      return try queue.finish(current.node, with: work { try directory.restore(attributes) })
    }
    if current.isLink {
      let first = try RestoreEntry.volumePath(current.entry.link)
      let directory = tree?.find(first.parent)
      if !firstNames.contains(first.hashValue) {
        daemon.report(
          .warning,
          JobMessage(
            "GFD-075",
            "it is a hard link to \(printable(current.entry.link)), which this restore did not restore: it has the data of the file that is on the volume now"
          ).about(current.entry.path))
      }
      let problems =
        failures.isIncomplete(first)
        ? [JobMessage("GFD-076", "its first name \(printable(current.entry.link)) was not restored completely")] : []
      return try queue.start(
        work {
          try target.link(to: first, in: directory)
          return problems
        }, in: current.node)
    }
    // A delta has set the file's length.
    let (data, length) = (current.data, current.delta == nil ? current.length : 0)
    if current.entry.status.type == S_IFREG, current.delta == nil, length < current.entry.status.st_size, !current.hasFailed {
      // For example, the backup job ended in the middle of this file.
      failures.report(
        current, JobMessage("GFD-071", "the backup has only \(length) of its \(current.entry.status.st_size) bytes"))
    }
    let rest = work {
      try target.write(data)
      return try target.finish(length: length, attributes)
    }
    if let pieces = current.pieces { try queue.finish(pieces, with: rest) } else { try queue.start(rest, in: current.node) }
  }

  private func finished(_ current: CurrentEntry, _ result: Result<[JobMessage], any Error>, _ fingerprint: [UInt8]?) {
    busy.remove(current.path)
    switch result {
    case .success(let problems):
      keepImage(current, fingerprint: fingerprint, isRestored: !current.hasFailed)
      for problem in problems { failures.report(current, problem) }
      if !current.isIncomplete { done.restored += 1 }
    case .failure(let error):
      keepImage(current, fingerprint: nil, isRestored: false)
      failures.fail(current, error)
    }
  }

  /// Inode numbers of the directories whose own records have been restored.
  package var restoredDirectories: Set<ino_t> { root.restoredDirectories }

  /// Removes incomplete files that were to replace existing ones. For a call on the volume.
  package var removeLeftovers: @Sendable () -> Void { { [root] in root.removeReplacements() } }

  /// True if the volume has incomplete files that were to replace existing ones.
  package var leavesSome: Bool { root.hasReplacements }

  /// Ends the restore.
  ///
  /// - Returns: the number of entries that have failed since the daemon's last call. The daemon may have decided the job's result from the
  ///   errors that were reported before that.
  package func end() -> Int {
    let failedBefore = counts.failed
    finishEntry()
    guard !isGone else { return 0 }
    do { try tree?.finish() } catch { failures.fail(VolumePath.root.bytes, error) }
    // The process may end right after the restore. Settle the volume, so that no file has to be healed then. If this fails, the bricks heal
    // the files.
    if !isGone { _ = try? calls.run { [root] in try root.volume.settle() } }
    // If the volume is gone, a fatal message has already ended the job.
    return isGone ? 0 : counts.failed - failedBefore
  }
}
