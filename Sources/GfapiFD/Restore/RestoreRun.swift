import Glibc
import Gluster

/// A restore onto one volume: takes the daemon's calls for entry after entry, and has what they ask for done behind the daemon's
/// back: an answer says that an entry is taken on, and what goes wrong later is a message. Lives on the job's thread.
package final class RestoreRun {
  package struct Counts: Sendable {
    package var restored = 0
    package var skipped = 0
    package var failed = 0
    package var bytes = 0
  }

  /// What the daemon shall do about an entry.
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

  /// How much of a file is written at once, in bytes. A file that is smaller is written when all of it is there.
  private static let pieceSize = 4 << 20
  /// The most pieces of a file that are on their way at once. Measured: more or larger ones are not faster.
  private static let mostPieces = 2
  /// What an entry costs beside its data, in bytes.
  private static let entryCost = 4 << 10

  private unowned let daemon: any Daemon
  private let calls: JobCalls
  private let queue: WriteBehind
  private var tree: RestoreTree?
  private var root: TargetDirectory?
  /// The base directory of the backup, and the one that takes its place.
  private let rebase: Rebase
  private let earlier: [Rebase]
  private var hasToldOutside = false
  /// Hashes of the paths of files that have been taken on and may have other names (a number of links of 0: not known), also of the
  /// job's lines before.
  package private(set) var firstNames: Set<Int>
  package private(set) var counts = Counts()
  /// Entries that are not done yet, by the components of their paths.
  private var busy: Set<[[UInt8]]> = []
  /// Files with several names that are not as they were, by the components of the first one: the other names are told, too.
  private var marred: Set<[[UInt8]]> = []
  /// The restore has ended, because the volume is gone or read-only; a message has said so.
  package private(set) var isGone = false
  private var current: Current?
  /// Of the entry in hand, in raw bytes.
  package var path: [UInt8]? { current?.entry.path }
  private var pace = JobPace()

  /// The entry in hand.
  private final class Current {
    let entry: RestoreEntry
    let path: [[UInt8]]
    let place: RestoreTree.Place
    /// Of what is no directory.
    let target: TargetEntry?
    var attributes = TargetAttributes()
    /// It could not be made or completed, and a message has said so.
    var hasFailed = false
    /// It is not as it was, and a message has said so.
    var isMarred = false

    var isOpen = false
    var position = 0
    /// How far the data reach, a hole at the end included.
    var length = 0
    /// How far what has been handed over reaches.
    var reach = 0
    /// What is gathered for the next piece.
    var data = FileData()
    /// The pieces that have been handed on.
    var pieces: WriteBehind.Group?

    init(_ entry: RestoreEntry, _ path: [[UInt8]], in place: RestoreTree.Place, _ target: TargetEntry?) {
      (self.entry, self.path, self.place, self.target) = (entry, path, place, target)
    }

    var isLink: Bool { entry.kind == .hardLink }
  }

  /// - Parameters:
  ///   - rebase: where the entries go.
  ///   - earlier: where those of the job's other lines went.
  ///   - firstNames: see ``firstNames``, of the job's other lines.
  package init(_ volume: JobVolume, daemon: any Daemon, rebase: Rebase, earlier: [Rebase] = [], firstNames: Set<Int> = []) {
    self.daemon = daemon
    (self.rebase, self.earlier, self.firstNames) = (rebase, earlier, firstNames)
    calls = JobCalls(volume, daemon)
    queue = WriteBehind(calls)
    volume.startWorkers()
  }

  // MARK: Entries

  /// Takes an entry on.
  ///
  /// - Parameter place: the daemon's `where` prefix of its path.
  package func create(_ entry: RestoreEntry, under place: [UInt8]) -> Answer {
    finishEntry()
    var entry = entry
    if let path = rebase(entry.path, under: place) {
      entry.path = path
    } else if rebase.moves, !hasToldOutside {
      hasToldOutside = true
      daemon.tell(
        .warning,
        "\(printable(entry.path)): the directory of the override is not used: this path, as RegexWhere or the backup made it, is not below the "
          + "directory of the backup's plugin line")
    }
    if entry.kind == .hardLink {
      // Its first name may be in the base directory of another line.
      entry.link = ([rebase] + earlier).lazy.compactMap { $0(entry.link, under: place) }.first ?? entry.link
    }
    if pace.isDue() { daemon.tell(.info, "so far \(counts.restored) entries, \(account); at \(printable(entry.path))") }
    do {
      guard !isGone else { throw JobCalls.Ended(message: nil) }
      let path = try Self.components(entry.path)
      try Self.check(entry, path)
      let begun = try begin(entry, path)
      if let reason = try reasonToSkip(begun) {
        counts.skipped += 1
        daemon.tell(.info, "\(printable(entry.path)): skipped: \(reason)")
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

  /// Counts, and tells, an entry that cannot be taken on.
  package func refuse(_ path: [UInt8], _ reason: String) {
    finishEntry()
    fail(path, RestoreProblem(reason))
  }

  /// How fast it was, and what the time went to, in words.
  package var account: String { pace.words(entries: counts.restored, bytes: counts.bytes, waited: calls.waited) }

  private func openedTree() throws -> RestoreTree {
    if let tree { return tree }
    let root = try calls.run { $0.restoreRoot! }
    self.root = root
    let tree = RestoreTree(queue, root: root) { [unowned self] in fail($0, $1) }
    self.tree = tree
    return tree
  }

  /// Gets ready for an entry. Other work on its path is waited for.
  private func begin(_ entry: RestoreEntry, _ path: [[UInt8]]) throws -> Current {
    let tree = try openedTree()
    if busy.contains(path) { try queue.drain() }
    if entry.kind == .hardLink, busy.contains(try Self.components(entry.link)) { try queue.drain() }
    if entry.kind == .own, entry.status.isDirectory {
      return Current(entry, path, in: try tree.enter(path, isBusy: busy.contains), nil)
    }
    let place = try tree.enter(path.dropLast(), isBusy: busy.contains)
    // It may have to make way: as it is when all in it is done.
    if tree.find(path) != nil { try queue.drain() }
    return Current(entry, path, in: place, TargetEntry(entry, path[path.count - 1], in: place.directory))
  }

  /// What cannot be made, whatever is on the volume.
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

  /// Why the replace rule leaves what exists alone; nil if it does not. Only a rule that looks is asked of the volume.
  private func reasonToSkip(_ begun: Current) throws -> String? {
    let entry = begun.entry
    guard entry.replace != .always else { return nil }
    let (directory, name) = (begun.place.directory, begun.target == nil ? nil : begun.path.last)
    guard let existing = try calls.run({ _ in try name.map(directory.existing) ?? directory.existing() }) else { return nil }
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
  /// - Throws: if an earlier piece has failed.
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

  /// Moves to `offset`; what is between is a hole.
  package func seek(to offset: Int) {
    current?.position = offset
    current?.length = max(current?.length ?? 0, offset)
  }

  package var offset: Int { current?.position ?? 0 }

  package func closeFile() { current?.isOpen = false }

  /// The volume did not take the data; a message has said so.
  package struct WriteFailed: Error {}

  /// Has what is gathered written.
  private func handOn(_ current: Current) {
    guard let target = current.target else { return }
    let data = current.data
    current.data = FileData()
    let pieces = current.pieces ?? WriteBehind.Group(in: current.place)
    current.pieces = pieces
    let work = WriteBehind.Work(
      cost: data.count,
      body: {
        try target.write(data)
        return []
      },
      deliver: { [unowned self] in if case .failure(let error) = $0 { fail(current, error) } })
    do {
      // Data that go over others come after them.
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
      tell(current, "its ACL is not restored: the stream is malformed: \(error)")
    }
  }

  /// - Parameter content: an ``AttributeStream``, of any origin.
  package func setExtendedAttributes(_ content: some Collection<UInt8>) {
    guard let current, !current.isLink else { return }
    do {
      for item in try AttributeStream.decode(content) { setExtendedAttribute(item.name, item.value) }
    } catch {
      tell(current, "its extended attributes are not restored: the stream is malformed: \(error)")
    }
  }

  /// - Parameters:
  ///   - name: may end with a NUL.
  ///   - value: of any length.
  package func setExtendedAttribute(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    guard let current, !current.isLink else { return }
    let bare = Array(name.prefix { $0 != 0 })
    guard !bare.isEmpty, name.count - bare.count <= 1 else {
      tell(current, "an extended attribute is not restored: its name is malformed")
      return
    }
    // Backups of old may hold what belongs to the bricks that they were taken from.
    guard !AttributeRules.isBookkeeping(bare) else { return }
    current.attributes.extendedAttributes.append(.init(name: bare, value: Array(value)))
  }

  /// Ends the current entry: the rest of its data and its attributes go their way.
  package func finishEntry() {
    guard let current else { return }
    self.current = nil
    guard !isGone else { return }
    busy.insert(current.path)
    if !current.isMarred { marred.remove(current.path) }
    do {
      try finish(current)
    } catch { fail(current, error) }
  }

  private func finish(_ current: Current) throws {
    let attributes = current.attributes
    func work(_ body: @escaping @Sendable () throws -> [String]) -> WriteBehind.Work {
      WriteBehind.Work(cost: Self.entryCost + current.data.count + attributes.size, body: body) { [unowned self] in
        finished(current, $0)
      }
    }
    guard let target = current.target else {
      let directory = current.place.directory
      return try queue.finish(current.place, with: work { try directory.restore(attributes) })
    }
    if current.isLink {
      let first = try Self.components(current.entry.link)
      let directory = tree?.find(first.dropLast())
      if !firstNames.contains(first.hashValue) {
        daemon.tell(
          .warning,
          "\(printable(current.entry.path)): it is a hard link to \(printable(current.entry.link)), which this restore has not restored: its data are those that are there now"
        )
      }
      let problems = marred.contains(first) ? ["its first name \(printable(current.entry.link)) was not restored completely"] : []
      return try queue.start(
        work {
          try target.link(to: first, in: directory)
          return problems
        }, in: current.place)
    }
    let (data, length) = (current.data, current.length)
    if current.entry.status.type == S_IFREG, length < current.entry.status.st_size, !current.hasFailed {
      // Of a job that ended in the middle of it, for instance.
      tell(current, "the backup has only \(length) of its \(current.entry.status.st_size) bytes")
    }
    let rest = work {
      try target.write(data)
      return try target.finish(length: length, attributes)
    }
    if let pieces = current.pieces { try queue.finish(pieces, with: rest) } else { try queue.start(rest, in: current.place) }
  }

  private func finished(_ current: Current, _ result: Result<[String], any Error>) {
    busy.remove(current.path)
    switch result {
    case .success(let problems):
      for problem in problems { tell(current, problem) }
      if !current.isMarred { counts.restored += 1 }
    case .failure(let error): fail(current, error)
    }
  }

  /// The directories whose own records have been restored, by inode.
  package var restoredDirectories: Set<ino_t> { root?.restoredDirectories ?? [] }

  /// Whether the volume has files that were to replace others and did not become complete.
  package var leavesSome: Bool { root?.hasReplacements ?? false }

  /// Ends the restore.
  ///
  /// - Returns: how many entries have failed since the daemon's last call: it may have judged the job by the errors that it knew of then.
  package func end() -> Int {
    let failedBefore = counts.failed
    finishEntry()
    guard !isGone else { return 0 }
    do { try tree?.finish() } catch { fail([UInt8(ascii: "/")], error) }
    // The process may end right after: nothing shall have to be healed then. If this fails the bricks do heal it.
    if !isGone { _ = try? calls.run { try $0.volume?.settle() } }
    // A fatal message has ended the job then.
    return isGone ? 0 : counts.failed - failedBefore
  }

  private func fail(_ current: Current, _ error: any Error) {
    guard !current.hasFailed else { return }
    current.hasFailed = true
    let isNew = mar(current)
    fail(current.entry.path, error, isNew: isNew)
  }

  /// Something of an entry is not as it was.
  private func tell(_ current: Current, _ problem: String) {
    if mar(current) { counts.failed += 1 }
    daemon.tell(.error, "\(printable(current.entry.path)): \(problem)")
    calls.tellCauses()
  }

  /// - Returns: whether it was as it was until now.
  private func mar(_ current: Current) -> Bool {
    defer { current.isMarred = true }
    if current.entry.status.st_nlink != 1, current.target != nil { marred.insert(current.path) }
    return !current.isMarred
  }

  /// - Parameter isNew: no failure of the entry is counted yet.
  private func fail(_ path: [UInt8], _ error: any Error, isNew: Bool = true) {
    // A message has said why, or the job is cancelled.
    if isGone || error is JobCalls.Ended { return }
    if isNew { counts.failed += 1 }
    let cause = error as? GlusterError ?? (error as? RestoreProblem)?.cause
    if let cause, cause.meansVolumeIsGone {
      isGone = true
      calls.volume.patience.end()
      daemon.tell(.fatal, "\(printable(path)): the volume is unreachable, the restore ends: \(error)")
    } else if let cause, cause.meansReadOnlyVolume, (try? calls.run { $0.volume!.isReadOnly() }) == true {
      isGone = true
      daemon.tell(.fatal, "\(printable(path)): the volume is read-only, the restore ends: \(error)")
      calls.tellCauses()
    } else {
      daemon.tell(.error, "\(printable(path)): restore failed: \(error)")
      calls.tellCauses()
    }
  }
}
