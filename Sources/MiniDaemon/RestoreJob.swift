import FDPluginABI
import Glibc

/// The options of a restore.
public struct RestoreOptions: Sendable {
  public enum Replace: String, CaseIterable, Sendable {
    case always, never, ifNewer = "if-newer", ifOlder = "if-older"
  }
  /// The absolute prefix of every path; empty to restore entries to their original paths.
  public var prefix: [UInt8] = []
  public var replace = Replace.always

  public init() {}
}

/// A restore in progress. For each entry it makes all the calls that the daemons make.
public struct Restore: ~Copyable {
  /// Passes the data of one entry to `write`, in pieces with their offsets in bytes, until `write` returns false.
  public typealias Data = (_ write: (_ offset: Int, _ bytes: UnsafeRawBufferPointer) -> Bool) throws -> Void

  private let job: MiniJob
  /// The plugin definition of the backup.
  private var line: [UInt8]
  private let options: RestoreOptions
  public private(set) var counts = JobCounts()

  /// - Parameter line: the plugin definition of the backup.
  public init(_ job: MiniJob, _ line: String, _ options: RestoreOptions = RestoreOptions()) {
    self.job = job
    self.line = Array(line.utf8)
    self.options = options
    job.send(.startRestoreJob)
  }

  /// Continues with entries that were backed up with another plugin line.
  public mutating func goOn(with line: String) { self.line = Array(line.utf8) }

  /// Ends the restore.
  ///
  /// - Returns: the counts of the restore. An error message of the plugin counts as a failure, as in the daemons, because an entry that the
  ///   plugin has accepted may fail later.
  public consuming func end() -> JobCounts {
    job.send(.endRestoreJob)
    // Use the counts of the plugin. When a job is cancelled, not all entries that the plugin has accepted are restored.
    func counted(_ words: String) -> [Int] {
      job.messages.filter { $0.text.contains(" entries restored, ") }.compactMap { message in
        message.text.firstRange(of: words).flatMap { Int(message.text[..<$0.lowerBound].split(separator: " ").last ?? "") }
      }
    }
    let restored = counted(" entries restored, ")
    if !restored.isEmpty { counts.done = restored.reduce(0, +) }
    let failed = counted(" failed")
    counts.failed =
      failed.isEmpty ? max(counts.failed, job.messages.count { $0.severity == .error }) : max(failed.reduce(0, +), counts.failed)
    return counts
  }

  /// Restores one entry.
  ///
  /// - Parameters:
  ///   - length: the length of the data in bytes, including a hole at the end.
  ///   - data: called if the plugin wants data.
  /// - Returns: false if the job cannot go on.
  public mutating func restore(_ entry: SavedEntry, length: Int = 0, _ data: Data = { _ in }) throws -> Bool {
    let calls = job.calls!
    guard !job.isCancelled, job.send(.restoreCommand, line: line) == Int32(FD_OK), !job.hasFailed else { return false }
    calls.startRestoreFile(line)
    defer { calls.endRestoreFile() }

    let name = options.prefix + entry.path
    // The daemons prefix the first name of a hard link, and leave a symbolic link's target alone.
    let link = entry.type == FD_FT_LNKSAVED ? options.prefix + entry.link : entry.link
    let status = withRestorePacket(entry, name, link) { calls.createFile($0, original: entry.path) }
    func setAttributes() {
      withRestorePacket(entry, name, link) { calls.setFileAttributes($0, original: entry.path) }
    }
    counts.entries += 1
    let extracts = status == FD_CF_EXTRACT
    switch status {
    case FD_CF_EXTRACT:
      var open = fd_io_packet(FD_IO_OPEN)
      _ = name.withCString { name in
        open.fname = name
        open.flags = O_WRONLY | O_CREAT | O_TRUNC
        return calls.io(&open)
      }
      if entry.status.st_mode & S_IFMT == S_IFREG { try write(data, length) }
      // The attributes are set before the file is closed.
      setAttributes()
      var close = fd_io_packet(FD_IO_CLOSE)
      _ = calls.io(&close)
    case FD_CF_CREATED: setAttributes()
    case FD_CF_SKIP: return true
    default:
      counts.failed += 1
      return !job.hasFailed
    }
    if extracts || entry.type == FD_FT_DIREND {
      if !entry.acls.isEmpty, job.module.abi.restoresACLs { calls.setACLs(entry.acls, of: name) }
      if !entry.extendedAttributes.isEmpty { calls.setExtendedAttributes(entry.extendedAttributes, of: name) }
    }
    return !job.hasFailed
  }

  private mutating func write(_ data: Data, _ length: Int) throws {
    let calls = job.calls!
    var position = 0
    var written = 0
    var failed = false
    func seek(_ offset: Int) {
      var packet = fd_io_packet(FD_IO_SEEK)
      packet.offset = Int64(offset)
      packet.whence = SEEK_SET
      _ = calls.io(&packet)
      position = offset
    }
    try data { offset, bytes in
      if offset != position { seek(offset) }
      var packet = fd_io_packet(FD_IO_WRITE)
      packet.count = Int32(bytes.count)
      packet.buf = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: CChar.self))
      _ = calls.io(&packet)
      guard packet.status == Int32(bytes.count) else {
        failed = true
        return false
      }
      position += bytes.count
      written += bytes.count
      return true
    }
    if !failed, position < length { seek(length) }
    counts.bytes += written
    if failed { counts.failed += 1 }
  }

  private func withRestorePacket<R>(
    _ entry: SavedEntry, _ name: [UInt8], _ link: [UInt8], _ body: (fd_restore_packet) -> R
  ) -> R {
    name.withCString { name in
      link.withCString { link in
        options.prefix.withCString { prefix in
          var packet = fd_restore_packet()
          packet.type = Int32(entry.type)
          packet.statp = entry.status
          packet.ofname = name
          packet.olname = link
          packet.where = prefix
          packet.delta_seq = entry.delta
          packet.replace =
            switch options.replace {
            case .always: Int32(FD_REPLACE_ALWAYS)
            case .never: Int32(FD_REPLACE_NEVER)
            case .ifNewer: Int32(FD_REPLACE_IF_NEWER)
            case .ifOlder: Int32(FD_REPLACE_IF_OLDER)
            }
          packet.create_status = Int32(FD_CF_ERROR)
          return body(packet)
        }
      }
    }
  }
}
