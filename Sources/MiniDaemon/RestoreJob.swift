import FDPluginABI
import Glibc

/// How the small daemon restores.
public struct RestoreOptions: Sendable {
  public enum Replace: String, CaseIterable, Sendable {
    case always, never, ifNewer = "if-newer", ifOlder = "if-older"
  }
  /// Prefix of every path, absolute; empty: entries go where they were.
  public var place: [UInt8] = []
  public var replace = Replace.always

  public init() {}
}

/// A restore under way: entry after entry, each with all calls that Bareos makes for it.
public struct Restore: ~Copyable {
  /// Hands the data of one entry on, in pieces, to be written at an offset.
  public typealias Data = (_ write: (_ offset: Int, _ bytes: UnsafeRawBufferPointer) -> Bool) throws -> Void

  private let job: MiniJob
  private let line: [UInt8]
  private let options: RestoreOptions
  public private(set) var counts = JobCounts()

  /// - Parameter line: the plugin definition of the backup.
  public init(_ job: MiniJob, _ line: String, _ options: RestoreOptions = RestoreOptions()) {
    self.job = job
    self.line = Array(line.utf8)
    self.options = options
    job.send(BAREOS_EVENT_START_RESTORE_JOB)
  }

  /// Ends the restore.
  public consuming func end() -> JobCounts {
    job.send(BAREOS_EVENT_END_RESTORE_JOB)
    return counts
  }

  /// Restores one entry.
  ///
  /// - Parameters:
  ///   - length: bytes to which the data reach, a hole at the end included.
  ///   - data: called if the plugin wants data.
  /// - Returns: false if the job cannot go on.
  public mutating func restore(_ entry: SavedEntry, length: Int = 0, _ data: Data = { _ in }) throws -> Bool {
    let functions = job.module.functions.pointee
    guard !job.isCancelled, job.send(BAREOS_EVENT_RESTORE_COMMAND, line: line) == Int32(FD_OK), !job.hasFailed else {
      return false
    }
    _ = line.withCString { functions.start_restore_file(job.context, $0) }
    defer { _ = functions.end_restore_file(job.context) }

    let name = options.place + entry.path
    // Bareos prefixes the first name of a hard link, and leaves a symbolic link's target alone.
    let link = entry.type == FD_FT_LNKSAVED ? options.place + entry.link : entry.link
    let status = withRestorePacket(entry, name, link) { packet -> Int in
      guard functions.create_file(job.context, packet) == Int32(FD_OK) else { return FD_CF_ERROR }
      return Int(packet.assumingMemoryBound(to: fd_restore_packet.self).pointee.create_status)
    }
    counts.entries += 1
    let extracts = status == FD_CF_EXTRACT
    switch status {
    case FD_CF_EXTRACT:
      var open = IOPacket(job.options.layout, FD_IO_OPEN)
      _ = name.withCString { name in
        open.base.fname = name
        open.base.flags = O_WRONLY | O_CREAT | O_TRUNC
        return job.call(&open)
      }
      if entry.status.st_mode & S_IFMT == S_IFREG { try write(data, length) }
      // Attributes come before the file is closed.
      setAttributes(entry, name, link)
      var close = IOPacket(job.options.layout, FD_IO_CLOSE)
      _ = job.call(&close)
    case FD_CF_CREATED: setAttributes(entry, name, link)
    case FD_CF_SKIP: return true
    default:
      counts.failed += 1
      return !job.hasFailed
    }
    if extracts || entry.type == FD_FT_DIREND { name.withCString { setStreams(entry, $0) } }
    return !job.hasFailed
  }

  private mutating func write(_ data: Data, _ length: Int) throws {
    let (job, layout) = (job, job.options.layout)
    var position = 0
    var written = 0
    var failed = false
    func seek(_ offset: Int) {
      var packet = IOPacket(layout, FD_IO_SEEK)
      packet.base.offset = Int64(offset)
      packet.base.whence = SEEK_SET
      _ = job.call(&packet)
      position = offset
    }
    try data { offset, bytes in
      if offset != position { seek(offset) }
      var packet = IOPacket(layout, FD_IO_WRITE)
      packet.base.count = Int32(bytes.count)
      packet.base.buf = UnsafeMutablePointer(mutating: bytes.baseAddress?.assumingMemoryBound(to: CChar.self))
      _ = job.call(&packet)
      guard packet.base.status == Int32(bytes.count) else {
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

  private func setAttributes(_ entry: SavedEntry, _ name: [UInt8], _ link: [UInt8]) {
    withRestorePacket(entry, name, link) { _ = job.module.functions.pointee.set_file_attributes(job.context, $0) }
  }

  private func setStreams(_ entry: SavedEntry, _ name: UnsafePointer<CChar>) {
    if !entry.acls.isEmpty {
      var packet = bareos_acl_packet()
      packet.pkt_size = Int32(MemoryLayout<bareos_acl_packet>.size)
      packet.pkt_end = packet.pkt_size
      packet.fname = name
      // Bareos hands over one byte more than was backed up.
      var content = entry.acls + [0]
      packet.content_length = UInt32(content.count)
      content.withUnsafeMutableBytes {
        packet.content = $0.baseAddress!.assumingMemoryBound(to: CChar.self)
        _ = job.module.functions.pointee.set_acl(job.context, &packet)
      }
    }
    for attribute in entry.extendedAttributes {
      var packet = bareos_xattr_packet()
      packet.pkt_size = Int32(MemoryLayout<bareos_xattr_packet>.size)
      packet.pkt_end = packet.pkt_size
      packet.fname = name
      var (key, value) = (attribute.name + [0], attribute.value)
      packet.name_length = UInt32(key.count)
      packet.value_length = UInt32(value.count)
      let answer = key.withUnsafeMutableBytes { key in
        value.withUnsafeMutableBytes { value in
          packet.name = key.baseAddress!.assumingMemoryBound(to: CChar.self)
          packet.value = value.baseAddress?.assumingMemoryBound(to: CChar.self)
          return job.module.functions.pointee.set_xattr(job.context, &packet)
        }
      }
      // As Bareos: the rest is dropped.
      guard answer == Int32(FD_OK) else { return }
    }
  }

  private func withRestorePacket<R>(
    _ entry: SavedEntry, _ name: [UInt8], _ link: [UInt8], _ body: (UnsafeMutableRawPointer) -> R
  ) -> R {
    name.withCString { name in
      link.withCString { link in
        options.place.withCString { place in
          var base = fd_restore_packet()
          base.pkt_size = Int32(MemoryLayout<fd_restore_packet>.size)
          base.pkt_end = base.pkt_size
          base.type = Int32(entry.type)
          base.statp = entry.status
          base.ofname = name
          base.olname = link
          base.where = place
          base.replace =
            switch options.replace {
            case .always: Int32(FD_REPLACE_ALWAYS)
            case .never: Int32(FD_REPLACE_NEVER)
            case .ifNewer: Int32(FD_REPLACE_IF_NEWER)
            case .ifOlder: Int32(FD_REPLACE_IF_OLDER)
            }
          base.create_status = Int32(FD_CF_ERROR)
          let common = MemoryLayout<fd_restore_packet>.offset(of: \.pkt_end)!
          func copyCommon(_ target: UnsafeMutableRawPointer) {
            withUnsafeBytes(of: base) { target.copyMemory(from: $0.baseAddress!, byteCount: common) }
          }
          switch job.options.layout {
          case .bareos21: return body(&base)
          case .bareos25:
            var packet = bareos_restore_packet_22()
            copyCommon(&packet)
            packet.pkt_size = Int32(MemoryLayout<bareos_restore_packet_22>.size)
            packet.pkt_end = packet.pkt_size
            packet.filedes = -1
            return body(&packet)
          case .bareos26:
            var packet = bareos_restore_packet_26()
            copyCommon(&packet)
            packet.pkt_size = Int32(MemoryLayout<bareos_restore_packet_26>.size)
            packet.pkt_end = packet.pkt_size
            packet.filedes = -1
            return entry.path.withCString { original in
              packet.original_file_name = original
              packet.original_link_name = link
              return body(&packet)
            }
          }
        }
      }
    }
  }
}
