import FDPluginABI
import Glibc

/// One entry as the plugin reports it, and as a backup keeps it.
public struct SavedEntry: Sendable {
  /// The daemons' type, `FD_FT_…`.
  public var type: Int
  /// Absolute path on the volume, in raw bytes.
  public var path: [UInt8]
  /// A symbolic link's target, or the path of the first name of a hard link.
  public var link: [UInt8] = []
  public var status: stat
  /// Content of the ACL stream; empty if there is no ACL.
  public var acls: [UInt8] = []
  /// Number of the entry in its backup; 0 if unknown.
  public var fileIndex: Int32 = 0
  /// Bacula: number of the first name of a hard link; 0 if unknown.
  public var linkIndex: Int32 = 0
  /// The number of the delta that the entry is: the daemons' delta_seq; 0: a whole entry.
  public var delta: UInt32 = 0
  public var extendedAttributes: [Attribute] = []

  /// True if the entry could not be read or opened. The record only reports this.
  public var isFailure: Bool { [FD_FT_NOACCESS, FD_FT_NOSTAT, FD_FT_NOOPEN].contains(type) }

  /// An extended attribute; the name without a NUL.
  public typealias Attribute = (name: [UInt8], value: [UInt8])

  public init(type: Int, path: [UInt8], link: [UInt8] = [], status: stat) {
    self.type = type
    self.path = path
    self.link = link
    self.status = status
  }
}

/// The target of a backup. It gets one entry at a time: first the record, then the data, and at the end the ACLs and extended attributes.
public protocol BackupTarget: AnyObject {
  func begin(_ entry: SavedEntry) throws
  func data(_ bytes: UnsafeRawBufferPointer) throws
  /// Ends an entry.
  ///
  /// - Parameter entry: the entry, now with ACLs and extended attributes.
  func end(_ entry: SavedEntry) throws
  /// Called instead of ``end(_:)`` if the data could not be read to their end.
  func fail(_ entry: SavedEntry) throws
}

extension BackupTarget {
  /// Keeps the data that were read, as the daemons do.
  public func fail(_ entry: SavedEntry) throws { try end(entry) }
}

/// The counts of a job.
public struct JobCounts: Sendable {
  public var entries = 0
  public var bytes = 0
  public var failed = 0
  /// Restore: the number of entries that the plugin reports as restored; nil if it has reported no number.
  public var done: Int?
  /// Backup: the number of entries that the plugin reports as not saved, or not completely; nil if it has reported no number.
  public var told: Int?
  /// The number of entries that failed, as the daemon or the plugin counted them, whichever number is larger.
  public var allFailed: Int { max(failed, told ?? 0) }
  /// The paths of the first entries that failed.
  public private(set) var failures: [[UInt8]] = []
  public init() {}

  /// The largest number of paths that are kept.
  private static let mostFailures = 20

  mutating func fail(_ path: [UInt8]) {
    failed += 1
    if failures.count < Self.mostFailures { failures.append(path) }
  }
}

extension MiniJob {
  /// Backs up the entries that a plugin definition selects.
  ///
  /// - Parameters:
  ///   - line: the plugin definition.
  ///   - target: takes the entries.
  ///   - progress: called after each entry.
  /// - Returns: nil if the plugin refused; a message says why.
  public func backup(
    _ line: String, to target: some BackupTarget, progress: (JobCounts) -> Void = { _ in }
  ) throws -> JobCounts? {
    _ = send(.pluginCommand, line: Array(line.utf8))
    send(.startBackupJob)
    defer { send(.endBackupJob) }
    guard send(.backupCommand, line: Array(line.utf8)) == Int32(FD_OK), !hasFailed else { return nil }
    var counts = JobCounts()
    var firstNames = FirstNames()
    while !isCancelled {
      guard let record = calls.startBackupFile(options) else { break }
      if record.type == BACULA_FT_PLUGIN_CONFIG {
        // The options for a restore count as an entry of the job.
        fileIndex += 1
        restoreOptions = record.options
        guard calls.endBackupFile() == Int32(FD_MORE) else { break }
        continue
      }
      try save(record, to: target, &counts, &firstNames)
      progress(counts)
      let answer = calls.endBackupFile()
      // The daemons mark an entry by its name, without the slash of a directory.
      if answer == Int32(FD_MORE) || answer == Int32(FD_OK) { markSeen(record.path) }
      guard answer == Int32(FD_MORE) else { break }
    }
    counts.told =
      messages.compactMap { message in
        message.text.firstMatch(of: /excluded, (\d+) failed/).flatMap { Int($0.1) }
      }.last
    return counts
  }

  /// Counts the entries and bytes that a backup would have.
  ///
  /// - Returns: nil if the plugin refused; a message says why.
  public func estimate(_ line: String, _ each: (SavedEntry) -> Void = { _ in }) -> JobCounts? {
    guard send(.estimateCommand, line: Array(line.utf8)) == Int32(FD_OK), !hasFailed else { return nil }
    var counts = JobCounts()
    while !isCancelled {
      guard let record = calls.startBackupFile(options) else { break }
      let entry = SavedEntry(type: record.type, path: record.path, link: record.link, status: record.status)
      // Such a record stands for a backup in which nothing changed.
      if [FD_FT_NOCHG, FD_FT_DIRNOCHG].contains(entry.type) { break }
      if entry.isFailure { counts.failed += 1 } else { counts.entries += 1 }
      if record.type != FD_FT_LNKSAVED, record.status.st_mode & S_IFMT == S_IFREG {
        counts.bytes += Int(record.status.st_size)
      }
      each(entry)
      guard calls.endBackupFile() == Int32(FD_MORE) else { break }
    }
    return counts
  }

  /// Saves an entry as the daemons' save_file does: the type decides what the plugin is asked for.
  private func save(
    _ record: StartedRecord, to target: some BackupTarget, _ counts: inout JobCounts,
    _ firstNames: inout FirstNames
  ) throws {
    var entry = SavedEntry(type: record.type, path: record.path, status: record.status)
    entry.delta = record.delta
    guard !entry.isFailure else {
      counts.fail(entry.path)
      return
    }
    switch entry.type {
    case FD_FT_NOCHG, FD_FT_DIRNOCHG:
      return
    case FD_FT_NORECURSE:
      entry.type = FD_FT_DIREND
    case FD_FT_SPEC where record.status.st_mode & S_IFMT == S_IFSOCK:
      return
    case FD_FT_LNK, FD_FT_LNKSAVED:
      entry.link = record.link
    default: break
    }
    var reads = !record.noRead
    if module.abi.isBacula {
      // Bacula opens every entry that is sent as a FIFO, and leaves hard links to the plugin.
      reads = reads || entry.type == FD_FT_FIFO
    } else if options.hardLinks, entry.type != FD_FT_LNK {
      entry = firstNames.resolved(entry)
      reads = reads && entry.type != FD_FT_LNKSAVED
    }
    fileIndex += 1
    entry.fileIndex = fileIndex
    entry.linkIndex = record.linkIndex
    try target.begin(entry)
    guard try !reads || entry.path.withCString({ try read($0, to: target, &counts) }) else {
      counts.fail(entry.path)
      return try target.fail(entry)
    }
    if module.abi.isBacula {
      // Bacula asks for everything, whatever the FileSet says.
      entry.acls = calls.acls()
      entry.extendedAttributes = calls.extendedAttributes()
    } else {
      if options.acls, entry.type != FD_FT_LNK { entry.acls = calls.acls() }
      if options.extendedAttributes { entry.extendedAttributes = calls.extendedAttributes() }
    }
    try target.end(entry)
    counts.entries += 1
  }

  /// Reads the data of an entry. Returns true if they were read to their end.
  private func read(
    _ name: UnsafePointer<CChar>, to target: some BackupTarget, _ counts: inout JobCounts
  ) throws -> Bool {
    /// Logs a failure as the daemons do, which have only the number of the error. After a fatal message of the plugin nothing is logged:
    /// that message has given the reason.
    func logFailure(_ what: String, _ packet: fd_io_packet) {
      guard !hasFailed, !isCancelled else { return }
      log(.notSaved, "GFD-307 \(String(cString: name)): \(what): \(String(cString: strerror(packet.io_errno)))")
    }
    var open = fd_io_packet(FD_IO_OPEN)
    open.fname = name
    guard calls.io(&open) == Int32(FD_OK), open.status == 0 else {
      logFailure("cannot be opened", open)
      return false
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    var isWhole = false
    while !isCancelled {
      var packet = fd_io_packet(FD_IO_READ)
      packet.count = Int32(buffer.count)
      packet.buf = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
      _ = calls.io(&packet)
      if packet.status < 0 { logFailure("cannot be read to its end", packet) }
      isWhole = packet.status == 0
      guard packet.status > 0 else { break }
      counts.bytes += Int(packet.status)
      try target.data(UnsafeRawBufferPointer(rebasing: buffer[..<Int(packet.status)]))
    }
    var close = fd_io_packet(FD_IO_CLOSE)
    _ = calls.io(&close)
    return isWhole
  }
}

extension fd_io_packet {
  init(_ function: Int) {
    self.init()
    self.func = Int32(function)
  }
}

extension [UInt8] {
  func withCString<R>(_ body: (UnsafePointer<CChar>) throws -> R) rethrows -> R {
    try (self + [0]).withUnsafeBytes { try body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
  }
}
