import Glibc
import Gluster

/// A restore onto one volume: takes the daemon's calls for entry after entry. Lives on the job's thread.
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

  /// How much is gathered before it is written, in bytes.
  private static let gathered = 1 << 20

  private unowned let daemon: any Daemon
  private let volume: JobVolume
  /// The base directory of the backup, and the one that takes its place.
  private let rebase: (from: [UInt8], to: [UInt8])?
  package private(set) var counts = Counts()

  private var path: [UInt8]?
  private var isLink = false
  private var hasFailed = false
  private var buffer: [UInt8] = []
  private var bufferOffset = 0
  private var position = 0
  private var length = 0
  private var isOpen = false

  /// - Parameters:
  ///   - originalDirectory: base directory of the definition that the backup was made with.
  ///   - overriddenDirectory: base directory of an override; empty: entries go where they were.
  package init(
    _ volume: JobVolume, daemon: any Daemon, originalDirectory: [UInt8], overriddenDirectory: [UInt8]
  ) {
    self.volume = volume
    self.daemon = daemon
    rebase =
      overriddenDirectory.isEmpty || overriddenDirectory == originalDirectory
      ? nil : (originalDirectory, overriddenDirectory)
  }

  // MARK: Entries

  /// Makes an entry.
  ///
  /// - Parameter place: the daemon's `where` prefix of its path.
  package func create(_ entry: RestoreEntry, under place: [UInt8]) -> Answer {
    finishEntry()
    var entry = entry
    entry.path = rebased(entry.path, under: place)
    if entry.kind == .hardLink { entry.link = rebased(entry.link, under: place) }
    do {
      let created = try call { [entry] in try $0.restore!.create(entry) }
      switch created {
      case .skipped(let reason):
        counts.skipped += 1
        daemon.tell(.info, "\(printable(entry.path)): left as it is: \(reason)")
        return .skipped
      case .linked:
        counts.restored += 1
        (path, isLink) = (entry.path, true)
        return .linked
      case .created:
        counts.restored += 1
        (path, isLink, hasFailed) = (entry.path, false, false)
        return entry.status.isDirectory ? .createdDirectory : .created
      }
    } catch {
      fail(entry.path, error)
      return .failed
    }
  }

  private func rebased(_ path: [UInt8], under place: [UInt8]) -> [UInt8] {
    guard let rebase else { return path }
    let prefix = place.last == UInt8(ascii: "/") ? Array(place.dropLast()) : place
    let inner = path.starts(with: prefix) ? path.dropFirst(prefix.count) : path[...]
    guard inner.starts(with: rebase.from) else { return path }
    let rest = inner.dropFirst(rebase.from.count)
    // Whole components only: /dir is no beginning of /dir2.
    guard rest.isEmpty || rest.first == UInt8(ascii: "/") else { return path }
    return (path.starts(with: prefix) ? prefix : []) + rebase.to + rest
  }

  // MARK: Data

  package func openFile() { (isOpen, position, length, bufferOffset) = (true, 0, 0, 0) }

  /// Takes data of the current entry; it is written when enough is gathered.
  ///
  /// - Throws: the failure of an earlier piece, once.
  package func write(_ data: UnsafeRawBufferPointer) throws(WriteFailed) {
    guard isOpen, path != nil, !hasFailed else { throw WriteFailed() }
    if buffer.isEmpty { bufferOffset = position }
    buffer += data
    position += data.count
    length = max(length, position)
    counts.bytes += data.count
    if buffer.count >= Self.gathered { try flush() }
  }

  /// Moves to `offset`; what is between is a hole.
  package func seek(to offset: Int) throws(WriteFailed) {
    guard offset != position else { return }
    try flush()
    position = offset
    length = max(length, offset)
  }

  package var offset: Int { position }

  package func closeFile() throws(WriteFailed) {
    guard isOpen else { return }
    defer { isOpen = false }
    guard let path else { return }
    try flush()
    do {
      let length = length
      try call { try $0.restore!.closeFile(length: length) }
    } catch {
      hasFailed = true
      fail(path, error)
      throw WriteFailed()
    }
  }

  private func flush() throws(WriteFailed) {
    guard let path, !buffer.isEmpty else { return }
    let data = buffer
    buffer = []
    guard !hasFailed else { return }
    do {
      let offset = bufferOffset
      try call { try $0.restore!.write(data, at: offset) }
    } catch {
      hasFailed = true
      fail(path, error)
      throw WriteFailed()
    }
  }

  /// The volume did not take the data; a message has said so.
  package struct WriteFailed: Error {}

  // MARK: Attributes

  package func setAttributes(_ status: stat) {
    guard path != nil, !isLink else { return }
    _ = try? call { $0.restore!.setAttributes(status) }
  }

  /// - Parameter content: an ``ACLStream``, of any origin.
  package func setACLs(_ content: some Collection<UInt8>) {
    guard let path, !isLink else { return }
    do {
      let items = try ACLStream.decode(content)
      _ = try? call { $0.restore!.setACLs(items) }
    } catch {
      counts.failed += 1
      daemon.tell(.error, "\(printable(path)): its ACL is not restored: the stream is malformed: \(error)")
    }
  }

  /// - Parameter content: an ``AttributeStream``, of any origin.
  package func setExtendedAttributes(_ content: some Collection<UInt8>) {
    guard let path, !isLink else { return }
    do {
      for item in try AttributeStream.decode(content) { setExtendedAttribute(item.name, item.value) }
    } catch {
      counts.failed += 1
      daemon.tell(.error, "\(printable(path)): its extended attributes are not restored: the stream is malformed: \(error)")
    }
  }

  /// - Parameters:
  ///   - name: may end with a NUL.
  ///   - value: of any length.
  package func setExtendedAttribute(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    guard let path, !isLink else { return }
    let bare = Array(name.prefix { $0 != 0 })
    guard !bare.isEmpty, name.count - bare.count <= 1 else {
      counts.failed += 1
      daemon.tell(.error, "\(printable(path)): an extended attribute is not restored: its name is malformed")
      return
    }
    // Backups of old may hold what belongs to the bricks that they were taken from.
    guard !AttributeRules.isBookkeeping(bare) else { return }
    let attribute = EntryFetcher.ExtendedAttribute(name: bare, value: Array(value))
    _ = try? call { $0.restore!.setExtendedAttribute(attribute) }
  }

  /// Ends the current entry: its attributes are set now.
  package func finishEntry() {
    defer { (path, isLink, isOpen, buffer) = (nil, false, false, []) }
    guard let path else { return }
    if isOpen { try? closeFile() }
    guard !isLink, let problems = try? call({ $0.restore!.finish() }) else { return }
    for problem in problems { daemon.tell(.error, "\(printable(path)): \(problem)") }
    if !problems.isEmpty { counts.failed += 1 }
  }

  /// Ends the restore.
  package func end() {
    finishEntry()
    guard let problems = try? call({ $0.restore!.end() }) else { return }
    for problem in problems { daemon.tell(.error, problem) }
    counts.failed += problems.count
  }

  private func fail(_ path: [UInt8], _ error: any Error) {
    if error is VolumeThreads.Stopped { return }
    counts.failed += 1
    if let error = error as? GlusterError, error.meansVolumeIsGone {
      daemon.tell(.fatal, "\(printable(path)): the volume cannot be reached any more, the restore ends here: \(error)")
    } else {
      daemon.tell(.error, "\(printable(path)): not restored as it was: \(error)")
    }
  }

  private func call<T>(_ body: @escaping @Sendable (VolumeSession) throws -> T) throws -> T {
    try volume.run(isCancelled: { daemon.jobIsCancelled }, body)
  }
}
