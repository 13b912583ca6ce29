import FDPluginABI
import Glibc

/// One entry as the plugin told it, and as a backup keeps it.
public struct SavedEntry: Sendable {
  /// The daemons' type, `FD_FT_…`.
  public var type: Int
  /// Absolute path on the volume, in raw bytes.
  public var path: [UInt8]
  /// A symbolic link's target, or the path of the first name of a hard link.
  public var link: [UInt8] = []
  public var status: stat
  /// Content of the ACL stream; empty: none.
  public var acls: [UInt8] = []
  /// Number in its backup, and of the entry that a hard link is a further name of (Bacula; 0: unknown).
  public var fileIndex: Int32 = 0
  public var linkIndex: Int32 = 0
  public var extendedAttributes: [Attribute] = []

  /// It could not be looked at, or not be opened: a record that only says so.
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

/// Where a backup goes. One entry at a time: its record, its data, then its ACLs and extended attributes with the end.
public protocol BackupTarget: AnyObject {
  func begin(_ entry: SavedEntry) throws
  func data(_ bytes: UnsafeRawBufferPointer) throws
  /// - Parameter entry: now with ACLs and extended attributes.
  func end(_ entry: SavedEntry) throws
  /// In the place of ``end(_:)``: its data could not be read to their end.
  func fail(_ entry: SavedEntry) throws
}

extension BackupTarget {
  /// As the daemons do, which keep what they have.
  public func fail(_ entry: SavedEntry) throws { try end(entry) }
}

/// What became of a job.
public struct JobCounts: Sendable {
  public var entries = 0
  public var bytes = 0
  public var failed = 0
  /// Of the entries of a restore, those that the plugin says are done; nil: it has not said.
  public var done: Int?
  /// Of a backup, the entries that the plugin says it could not save, or not completely; nil: it has not said.
  public var told: Int?
  /// The entries that failed, counted by the daemon or by the plugin, whichever has more.
  public var allFailed: Int { max(failed, told ?? 0) }
  /// The paths of the first that failed.
  public private(set) var failures: [[UInt8]] = []
  public init() {}

  /// The most paths that are kept.
  private static let mostFailures = 20

  mutating func fail(_ path: [UInt8]) {
    failed += 1
    if failures.count < Self.mostFailures { failures.append(path) }
  }
}

extension MiniJob {
  /// Backs up what `line` says.
  ///
  /// - Parameters:
  ///   - line: the plugin definition.
  ///   - target: where entries go.
  ///   - progress: told after each entry.
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
        // It counts as an entry of the job.
        fileIndex += 1
        restoreOptions = record.options
        guard calls.endBackupFile() == Int32(FD_MORE) else { break }
        continue
      }
      try save(record, to: target, &counts, &firstNames)
      progress(counts)
      let answer = calls.endBackupFile()
      // As the daemons mark it: by its name, without a directory's slash.
      if answer == Int32(FD_MORE) || answer == Int32(FD_OK) { markSeen(record.path) }
      guard answer == Int32(FD_MORE) else { break }
    }
    counts.told =
      messages.compactMap { message in
        message.text.firstMatch(of: /excluded, (\d+) failed/).flatMap { Int($0.1) }
      }.last
    return counts
  }

  /// Counts what a backup would carry.
  public func estimate(_ line: String, _ each: (SavedEntry) -> Void = { _ in }) -> JobCounts? {
    guard send(.estimateCommand, line: Array(line.utf8)) == Int32(FD_OK), !hasFailed else { return nil }
    var counts = JobCounts()
    while !isCancelled {
      guard let record = calls.startBackupFile(options) else { break }
      let entry = SavedEntry(type: record.type, path: record.path, link: record.link, status: record.status)
      // Stands for a backup in which nothing changed.
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

  /// As the daemons' save_file: what type it is decides what is asked for.
  private func save(
    _ record: StartedRecord, to target: some BackupTarget, _ counts: inout JobCounts,
    _ firstNames: inout FirstNames
  ) throws {
    var entry = SavedEntry(type: record.type, path: record.path, status: record.status)
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
      // Bacula opens what travels as a FIFO, and leaves hard links to the plugin.
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

  /// Returns whether all was read.
  private func read(
    _ name: UnsafePointer<CChar>, to target: some BackupTarget, _ counts: inout JobCounts
  ) throws -> Bool {
    /// As the daemons do, which have only the number of the error; a fatal message of the plugin's has said why already.
    func tellFailure(_ what: String, _ packet: fd_io_packet) {
      guard !hasFailed, !isCancelled else { return }
      tell(.notSaved, "\(String(cString: name)): \(what): \(String(cString: strerror(packet.io_errno)))")
    }
    var open = fd_io_packet(FD_IO_OPEN)
    open.fname = name
    guard calls.io(&open) == Int32(FD_OK), open.status == 0 else {
      tellFailure("cannot be opened", open)
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
      if packet.status < 0 { tellFailure("cannot be read to its end", packet) }
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
