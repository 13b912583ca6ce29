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

  /// The answer to the daemon about an entry: what it shall do next.
  package enum Answer: Sendable {
    /// Send data and attributes.
    case created
    /// Send attributes: the entry is a directory.
    case createdDirectory
    /// Send nothing more.
    case linked
    case skipped
    case failed
  }

  /// The size of the pieces in which a file is written, in bytes. A smaller file is written in one piece, when all its data have arrived.
  private static let pieceSize = 4 << 20
  /// The maximum number of pieces of one file that are written in parallel. Measured: more or larger pieces are not faster.
  private static let mostPieces = 2
  /// The memory of an entry besides its data and attributes, in bytes.
  private static let entryCost = 4 << 10

  private unowned let daemon: any Daemon
  private let calls: JobCalls
  private let queue: WriteBehind
  private var tree: RestoreTree?
  private let root: TargetDirectory
  /// Maps the base directory of the backup to the one that replaces it.
  private let rebase: Rebase
  private let earlier: [Rebase]
  private var hasReportedOutside = false
  /// Hashes of the paths of accepted files that may have additional hard links, including those of the job's earlier plugin lines. A link
  /// count of 0 means that the number is not known.
  package private(set) var firstNames: Set<Int>
  package private(set) var counts = Counts()
  /// Entries with unfinished work, by the components of their paths.
  private var busy: Set<[[UInt8]]> = []
  /// Files with several hard links that were not restored completely, by the components of the first name. A message is reported for each
  /// additional hard link to them as well.
  private var incomplete: Set<[[UInt8]]> = []
  /// True if the restore has ended because the volume is gone or read-only. A message has reported this.
  package private(set) var isGone = false
  private var current: Current?
  /// The path of the current entry, in raw bytes.
  package var path: [UInt8]? { current?.entry.path }
  private var pace = JobPace()

  /// The current entry: the one that the daemon's calls are about.
  private final class Current {
    let entry: RestoreEntry
    let path: [[UInt8]]
    let node: RestoreTree.Node
    /// The target of an entry that is not a directory; nil: the entry is a directory.
    let target: TargetEntry?
    var attributes = TargetAttributes()
    /// True if the entry could not be made or completed. A message has reported this.
    var hasFailed = false
    /// True if the entry is not restored completely. A message has reported this.
    var isIncomplete = false

    var isOpen = false
    var position = 0
    /// The end of the file, in bytes, including a hole at the end.
    var length = 0
    /// The end of the data that the daemon has sent, in bytes, without a hole at the end.
    var reach = 0
    /// The data gathered for the next piece.
    var data = SparseData()
    /// The pieces that have been started.
    var pieces: WriteBehind.Group?

    init(_ entry: RestoreEntry, _ path: [[UInt8]], in node: RestoreTree.Node, _ target: TargetEntry?) {
      (self.entry, self.path, self.node, self.target) = (entry, path, node, target)
    }

    var isLink: Bool { entry.kind == .hardLink }
  }

  /// - Parameters:
  ///   - rebase: maps the paths of the entries.
  ///   - earlier: the rebases of the job's earlier plugin lines.
  ///   - firstNames: ``firstNames`` of the job's earlier plugin lines.
  package init(
    onto root: TargetDirectory, _ volume: JobVolume, daemon: any Daemon, rebase: Rebase, earlier: [Rebase] = [], firstNames: Set<Int> = []
  ) {
    (self.root, self.daemon) = (root, daemon)
    (self.rebase, self.earlier, self.firstNames) = (rebase, earlier, firstNames)
    calls = JobCalls(volume, daemon)
    queue = WriteBehind(calls)
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
      daemon.report(
        .warning,
        JobMessage(
          "GFD-077",
          "the directory of the override is not used: this path, as RegexWhere or the backup made it, is not below the "
            + "directory of the backup's plugin line"
        ).about(entry.path))
    }
    if entry.kind == .hardLink {
      // The link's first name may be in the base directory of another plugin line.
      entry.link = ([rebase] + earlier).lazy.compactMap { $0(entry.link, under: prefix) }.first ?? entry.link
    }
    if pace.isDue() { daemon.inform("so far \(counts.restored) entries, \(account); at \(printable(entry.path))") }
    do {
      guard !isGone else { throw JobCalls.Ended(message: nil) }
      let path = try Self.components(entry.path)
      try Self.check(entry, path)
      let begun = try begin(entry, path)
      if let reason = try reasonToSkip(begun) {
        counts.skipped += 1
        daemon.report(.info, JobMessage("GFD-078", "skipped: \(reason)").about(entry.path))
        return .skipped
      }
      current = begun
      if begun.target != nil, !begun.isLink, entry.status.st_nlink != 1 { firstNames.insert(path.hashValue) }
      return begun.isLink ? .linked : begun.target == nil ? .createdDirectory : .created
    } catch {
      fail(entry.path, error)
      return .failed
    }
  }

  /// Counts and reports an entry that cannot be accepted.
  package func refuse(_ path: [UInt8], _ reason: String) {
    finishEntry()
    fail(path, RestoreProblem(reason))
  }

  /// The speed of the restore, and the share of the time spent waiting, in words.
  package var account: String { pace.words(entries: counts.restored, bytes: counts.bytes, waited: calls.waited) }

  private func openedTree() throws -> RestoreTree {
    if let tree { return tree }
    let tree = RestoreTree(queue, root: root) { [unowned self] in fail($0, $1) }
    self.tree = tree
    return tree
  }

  /// Prepares for an entry. Waits for other work on the same path.
  private func begin(_ entry: RestoreEntry, _ path: [[UInt8]]) throws -> Current {
    let tree = try openedTree()
    if busy.contains(path) { try queue.drain() }
    if entry.kind == .hardLink, busy.contains(try Self.components(entry.link)) { try queue.drain() }
    if entry.kind == .own, entry.status.isDirectory {
      return Current(entry, path, in: try tree.enter(path, isBusy: busy.contains), nil)
    }
    let node = try tree.enter(path.dropLast(), isBusy: busy.contains)
    // A directory at this path is in use, and may be in the way of the entry. Wait until all work in the directory is done.
    if tree.find(path) != nil { try queue.drain() }
    return Current(entry, path, in: node, TargetEntry(entry, path[path.count - 1], in: node.directory))
  }

  /// Checks that an entry can be made at all, independent of the volume's content.
  private static func check(_ entry: RestoreEntry, _ path: [[UInt8]]) throws {
    if path.isEmpty, entry.kind != .own || !entry.status.isDirectory {
      throw RestoreProblem("the volume's root can only be a directory")
    }
    guard entry.kind == .own else {
      guard !(try components(entry.link)).isEmpty else { throw RestoreProblem("a hard link to the volume's root") }
      return
    }
    switch entry.status.type {
    case S_IFREG, S_IFDIR, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK: break
    case S_IFLNK where !entry.link.isEmpty: break
    case S_IFLNK: throw RestoreProblem("a symbolic link without a target")
    default: throw RestoreProblem("an entry of unknown type, mode \(String(entry.status.st_mode, radix: 8))")
    }
  }

  /// Returns the reason why the replace rule keeps the existing entry; nil: the entry is to be restored. The volume is asked only if the
  /// rule depends on the existing entry.
  private func reasonToSkip(_ begun: Current) throws -> String? {
    let entry = begun.entry
    guard entry.replace != .always else { return nil }
    let (directory, name) = (begun.node.directory, begun.target == nil ? nil : begun.path.last)
    guard let existing = try calls.run({ try name.map(directory.existing) ?? directory.existing() }) else { return nil }
    let (backup, volume) = (entry.status.st_mtim.tv_sec, existing.st_mtim.tv_sec)
    switch entry.replace {
    case .always: return nil
    case .never: return "it exists"
    case .ifNewer: return backup > volume ? nil : "the backup is not newer"
    case .ifOlder: return backup < volume ? nil : "the backup is not older"
    }
  }

  static func components(_ path: [UInt8]) throws -> [[UInt8]] {
    let components = path.split(separator: UInt8(ascii: "/")).map(Array.init).filter { $0 != [UInt8(ascii: ".")] }
    guard !components.contains([UInt8(ascii: "."), UInt8(ascii: ".")]) else {
      throw RestoreProblem("\"..\" in the path")
    }
    return components
  }

  // MARK: Data

  package func openFile() { current?.isOpen = true }

  /// Takes data of the current entry.
  ///
  /// - Throws: ``WriteFailed`` if the entry has failed, for example because an earlier piece could not be written.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(WriteFailed) {
    guard let current, current.isOpen, !current.hasFailed else { throw WriteFailed() }
    let expected = min(max(Int(current.entry.status.st_size) - current.position, 0), Self.pieceSize)
    current.data.append(bytes, at: current.position, isOver: current.position < current.reach, expected: expected)
    current.position += bytes.count
    current.reach = max(current.reach, current.position)
    current.length = max(current.length, current.position)
    counts.bytes += bytes.count
    if current.data.count >= Self.pieceSize { handOn(current) }
    if current.hasFailed { throw WriteFailed() }
  }

  /// Sets the position of the next write. A range that is skipped is a hole.
  package func seek(to offset: Int) {
    current?.position = offset
    current?.length = max(current?.length ?? 0, offset)
  }

  package var offset: Int { current?.position ?? 0 }

  package func closeFile() { current?.isOpen = false }

  /// The volume did not take the data. A message has reported this.
  package struct WriteFailed: Error {}

  /// Starts writing the gathered data.
  private func handOn(_ current: Current) {
    guard let target = current.target else { return }
    let data = current.data
    current.data = SparseData()
    let pieces = current.pieces ?? WriteBehind.Group(in: current.node)
    current.pieces = pieces
    let work = WriteBehind.Work(
      cost: data.count,
      body: {
        try target.write(data)
        return []
      },
      deliver: { [unowned self] in if case .failure(let error) = $0 { fail(current, error) } })
    do {
      // Data that overwrite earlier data must be written after them.
      if data.isOver { try queue.drain() }
      try queue.start(work, in: pieces, atMost: Self.mostPieces)
    } catch { fail(current, error) }
  }

  // MARK: Attributes

  package func setAttributes(_ status: stat) { current?.attributes.status = status }

  /// - Parameter content: an ``ACLStream``, of any origin.
  package func setACLs(_ content: some Collection<UInt8>) {
    guard let current, !current.isLink else { return }
    do {
      current.attributes.acls = try ACLStream.decode(content)
    } catch {
      report(current, "GFD-079", "its ACL is not restored: the stream is malformed: \(error)")
    }
  }

  /// - Parameter content: an ``AttributeStream``, of any origin.
  package func setExtendedAttributes(_ content: some Collection<UInt8>) {
    guard let current, !current.isLink else { return }
    do {
      for item in try AttributeStream.decode(content) { setExtendedAttribute(item.name, item.value) }
    } catch {
      report(current, "GFD-079", "its extended attributes are not restored: the stream is malformed: \(error)")
    }
  }

  /// - Parameters:
  ///   - name: may end with a NUL.
  ///   - value: of any length.
  package func setExtendedAttribute(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    guard let current, !current.isLink else { return }
    let bare = Array(name.prefix { $0 != 0 })
    guard !bare.isEmpty, name.count - bare.count <= 1 else {
      report(current, "GFD-079", "an extended attribute is not restored: its name is malformed")
      return
    }
    // Old backups may contain attributes that belong to the bricks of the volume that was backed up.
    guard !AttributeRules.isBookkeeping(bare) else { return }
    current.attributes.extendedAttributes.append(.init(name: bare, value: Array(value)))
  }

  /// Ends the current entry: starts the work on the rest of its data and on its attributes.
  package func finishEntry() {
    guard let current else { return }
    self.current = nil
    guard !isGone else { return }
    busy.insert(current.path)
    if !current.isIncomplete { incomplete.remove(current.path) }
    do {
      try finish(current)
    } catch { fail(current, error) }
  }

  private func finish(_ current: Current) throws {
    let attributes = current.attributes
    func work(_ body: @escaping @Sendable () throws -> [JobMessage]) -> WriteBehind.Work {
      WriteBehind.Work(cost: Self.entryCost + current.data.count + attributes.size, body: body) { [unowned self] in
        finished(current, $0)
      }
    }
    guard let target = current.target else {
      let directory = current.node.directory
      return try queue.finish(current.node, with: work { try directory.restore(attributes) })
    }
    if current.isLink {
      let first = try Self.components(current.entry.link)
      let directory = tree?.find(first.dropLast())
      if !firstNames.contains(first.hashValue) {
        daemon.report(
          .warning,
          JobMessage(
            "GFD-075",
            "it is a hard link to \(printable(current.entry.link)), which this restore did not restore: it has the data of the file that is on the volume now"
          ).about(current.entry.path))
      }
      let problems =
        incomplete.contains(first)
        ? [JobMessage("GFD-076", "its first name \(printable(current.entry.link)) was not restored completely")] : []
      return try queue.start(
        work {
          try target.link(to: first, in: directory)
          return problems
        }, in: current.node)
    }
    let (data, length) = (current.data, current.length)
    if current.entry.status.type == S_IFREG, length < current.entry.status.st_size, !current.hasFailed {
      // For example, the backup job ended in the middle of this file.
      report(current, "GFD-071", "the backup has only \(length) of its \(current.entry.status.st_size) bytes")
    }
    let rest = work {
      try target.write(data)
      return try target.finish(length: length, attributes)
    }
    if let pieces = current.pieces { try queue.finish(pieces, with: rest) } else { try queue.start(rest, in: current.node) }
  }

  private func finished(_ current: Current, _ result: Result<[JobMessage], any Error>) {
    busy.remove(current.path)
    switch result {
    case .success(let problems):
      for problem in problems { report(current, problem) }
      if !current.isIncomplete { counts.restored += 1 }
    case .failure(let error): fail(current, error)
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
    do { try tree?.finish() } catch { fail([UInt8(ascii: "/")], error) }
    // The process may end right after the restore. Settle the volume, so that no file has to be healed then. If this fails, the bricks heal
    // the files.
    if !isGone { _ = try? calls.run { [root] in try root.volume.settle() } }
    // If the volume is gone, a fatal message has already ended the job.
    return isGone ? 0 : counts.failed - failedBefore
  }

  private func fail(_ current: Current, _ error: any Error) {
    guard !current.hasFailed else { return }
    current.hasFailed = true
    let isNew = markIncomplete(current)
    fail(current.entry.path, error, isNew: isNew)
  }

  /// Reports that an entry is not restored completely.
  private func report(_ current: Current, _ problem: JobMessage) {
    if markIncomplete(current) { counts.failed += 1 }
    daemon.report(.error, problem.about(current.entry.path))
    calls.reportCauses()
  }

  private func report(_ current: Current, _ code: String, _ text: String) { report(current, JobMessage(code, text)) }

  /// Marks an entry as not restored completely.
  ///
  /// - Returns: true if nothing has gone wrong with this entry yet.
  private func markIncomplete(_ current: Current) -> Bool {
    defer { current.isIncomplete = true }
    if current.entry.status.st_nlink != 1, current.target != nil { incomplete.insert(current.path) }
    return !current.isIncomplete
  }

  /// Reports that an entry failed. Ends the restore if the volume is gone or read-only.
  ///
  /// - Parameter isNew: true if no failure of the entry is counted yet.
  private func fail(_ path: [UInt8], _ error: any Error, isNew: Bool = true) {
    // A message has already given the reason, or the job is cancelled.
    if isGone || error is JobCalls.Ended { return }
    if isNew { counts.failed += 1 }
    let cause = error as? GlusterError ?? (error as? RestoreProblem)?.cause
    if let cause, cause.meansVolumeIsGone {
      isGone = true
      calls.volume.retry.end()
      daemon.report(.fatal, JobMessage("GFD-008", "the volume is unreachable, the restore ends: \(error)").about(path))
    } else if let cause, cause.meansReadOnlyVolume, (try? calls.run { [root] in root.volume.isReadOnly() }) == true {
      isGone = true
      daemon.report(.fatal, JobMessage("GFD-010", "the volume is read-only, the restore ends: \(error)").about(path))
      calls.reportCauses()
    } else {
      daemon.report(.error, JobMessage("GFD-070", "restore failed: \(error)").about(path))
      calls.reportCauses()
    }
  }
}
