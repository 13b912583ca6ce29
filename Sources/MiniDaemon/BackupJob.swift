import FDPluginABI
import Glibc

/// One entry as the plugin told it, and as a backup keeps it.
public struct SavedEntry: Sendable {
  /// Bareos's type, `BAREOS_FT_…`.
  public var type: Int
  /// Absolute path on the volume, in raw bytes.
  public var path: [UInt8]
  /// A symbolic link's target, or the path of the first name of a hard link.
  public var link: [UInt8] = []
  public var status: stat
  /// Content of the ACL stream; empty: none.
  public var acls: [UInt8] = []
  public var extendedAttributes: [(name: [UInt8], value: [UInt8])] = []

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
}

/// What became of a job.
public struct JobCounts: Sendable {
  public var entries = 0
  public var bytes = 0
  public var failed = 0
  public init() {}
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
    _ = send(BAREOS_EVENT_PLUGIN_COMMAND, line: Array(line.utf8))
    send(BAREOS_EVENT_START_BACKUP_JOB)
    defer { send(BAREOS_EVENT_END_BACKUP_JOB) }
    guard send(BAREOS_EVENT_BACKUP_COMMAND, line: Array(line.utf8)) == Int32(FD_OK), !hasFailed else { return nil }
    var counts = JobCounts()
    var firstNames: [Inode: [UInt8]] = [:]
    while !isCancelled {
      var packet = savePacket()
      let answer = module.functions.pointee.start_backup_file(context, &packet)
      guard answer == Int32(FD_OK) else { break }
      try save(packet, to: target, &counts, &firstNames)
      progress(counts)
      guard module.functions.pointee.end_backup_file(context) == Int32(FD_MORE) else { break }
    }
    return counts
  }

  /// Counts what a backup would carry.
  public func estimate(_ line: String, _ each: (SavedEntry) -> Void = { _ in }) -> JobCounts? {
    guard events.contains(Int32(BAREOS_EVENT_ESTIMATE_COMMAND)),
      send(BAREOS_EVENT_ESTIMATE_COMMAND, line: Array(line.utf8)) == Int32(FD_OK)
    else { return nil }
    var counts = JobCounts()
    while !isCancelled {
      var packet = savePacket()
      guard module.functions.pointee.start_backup_file(context, &packet) == Int32(FD_OK) else { break }
      counts.entries += 1
      counts.bytes += packet.statp.st_mode & S_IFMT == S_IFREG ? Int(packet.statp.st_size) : 0
      each(SavedEntry(type: Int(packet.type), path: bytes(packet.fname), link: bytes(packet.link), status: packet.statp))
      guard module.functions.pointee.end_backup_file(context) == Int32(FD_MORE) else { break }
    }
    return counts
  }

  private struct Inode: Hashable {
    let device: dev_t
    let number: ino_t
  }

  private func savePacket() -> bareos_save_packet {
    var packet = bareos_save_packet()
    packet.pkt_size = Int32(MemoryLayout<bareos_save_packet>.size)
    packet.pkt_end = packet.pkt_size
    packet.portable = true
    withUnsafeMutableBytes(of: &packet.flags) { flags in
      func set(_ bit: Int, _ on: Bool) { if on { flags[bit / 8] |= 1 << UInt8(bit % 8) } }
      set(FD_FO_ACL, options.acls)
      set(FD_FO_XATTR, options.extendedAttributes)
      set(FD_FO_NO_RECURSION, !options.recurses)
      set(FD_FO_NOATIME, options.withoutAccessTime)
      set(FD_FO_KEEPATIME, options.keepsAccessTime)
      set(FD_FO_NO_HARDLINK, !options.hardLinks)
    }
    return packet
  }

  /// As Bareos's SaveFile: what type it is decides what is asked for.
  private func save(
    _ packet: bareos_save_packet, to target: some BackupTarget, _ counts: inout JobCounts,
    _ firstNames: inout [Inode: [UInt8]]
  ) throws {
    var entry = SavedEntry(type: Int(packet.type), path: bytes(packet.fname), status: packet.statp)
    switch entry.type {
    case FD_FT_NOACCESS, FD_FT_NOSTAT, FD_FT_NOOPEN:
      counts.failed += 1
      return
    case FD_FT_NOCHG, FD_FT_DIRNOCHG:
      return
    case FD_FT_NORECURSE:
      entry.type = FD_FT_DIREND
    case FD_FT_SPEC where packet.statp.st_mode & S_IFMT == S_IFSOCK:
      return
    case FD_FT_LNK:
      entry.link = bytes(packet.link)
    default: break
    }
    var reads = !packet.no_read
    if options.hardLinks, entry.type != FD_FT_DIREND, entry.status.st_nlink > 1, entry.type != FD_FT_LNK {
      let inode = Inode(device: entry.status.st_dev, number: entry.status.st_ino)
      if let first = firstNames[inode] {
        entry.type = FD_FT_LNKSAVED
        entry.link = first
        reads = false
      } else {
        firstNames[inode] = entry.path
      }
    }
    try target.begin(entry)
    if reads {
      try entry.path.withCString { try read($0, to: target, &counts) }
    }
    if options.acls, entry.type != FD_FT_LNK { entry.acls = acls() }
    if options.extendedAttributes { entry.extendedAttributes = extendedAttributes() }
    try target.end(entry)
    counts.entries += 1
  }

  private func read(
    _ name: UnsafePointer<CChar>, to target: some BackupTarget, _ counts: inout JobCounts
  ) throws {
    var open = IOPacket(options.layout, FD_IO_OPEN)
    open.base.fname = name
    guard call(&open) == Int32(FD_OK), open.base.status == 0 else {
      counts.failed += 1
      return
    }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    defer { buffer.deallocate() }
    while !isCancelled {
      var packet = IOPacket(options.layout, FD_IO_READ)
      packet.base.count = Int32(buffer.count)
      packet.base.buf = buffer.baseAddress!.assumingMemoryBound(to: CChar.self)
      _ = call(&packet)
      if packet.base.status < 0 { counts.failed += 1 }
      guard packet.base.status > 0 else { break }
      counts.bytes += Int(packet.base.status)
      try target.data(UnsafeRawBufferPointer(rebasing: buffer[..<Int(packet.base.status)]))
    }
    var close = IOPacket(options.layout, FD_IO_CLOSE)
    _ = call(&close)
  }

  private func acls() -> [UInt8] {
    var packet = bareos_acl_packet()
    packet.pkt_size = Int32(MemoryLayout<bareos_acl_packet>.size)
    packet.pkt_end = packet.pkt_size
    guard module.functions.pointee.get_acl(context, &packet) == Int32(FD_OK), let content = packet.content else {
      return []
    }
    defer { free(content) }
    return Array(UnsafeRawBufferPointer(start: content, count: Int(packet.content_length)))
  }

  private func extendedAttributes() -> [(name: [UInt8], value: [UInt8])] {
    var attributes: [(name: [UInt8], value: [UInt8])] = []
    while true {
      var packet = bareos_xattr_packet()
      packet.pkt_size = Int32(MemoryLayout<bareos_xattr_packet>.size)
      packet.pkt_end = packet.pkt_size
      let answer = module.functions.pointee.get_xattr(context, &packet)
      if let name = packet.name {
        attributes.append(
          (bytes(name), Array(UnsafeRawBufferPointer(start: packet.value, count: Int(packet.value_length)))))
        free(name)
        free(packet.value)
      }
      guard answer == Int32(FD_MORE) else { return attributes }
    }
  }

  func call(_ packet: inout IOPacket) -> Int32 {
    packet.withPointer { module.functions.pointee.plugin_io(context, $0) }
  }
}

/// An I/O packet in the layout of one release.
struct IOPacket {
  /// The fields that every release has at the same place.
  var base = fd_io_packet()
  private let layout: Layout

  init(_ layout: Layout, _ function: Int) {
    self.layout = layout
    base.func = Int32(function)
  }

  mutating func withPointer(_ body: (UnsafeMutableRawPointer) -> Int32) -> Int32 {
    if layout == .bareos21 {
      base.pkt_size = Int32(MemoryLayout<fd_io_packet>.size)
      base.pkt_end = base.pkt_size
      return body(&base)
    }
    var packet = bareos_io_packet_22()
    let common = MemoryLayout<fd_io_packet>.offset(of: \.pkt_end)!
    withUnsafeMutableBytes(of: &packet) { to in
      withUnsafeBytes(of: base) { from in to.copyMemory(from: UnsafeRawBufferPointer(rebasing: from[..<common])) }
    }
    packet.filedes = -1
    packet.pkt_size = Int32(MemoryLayout<bareos_io_packet_22>.size)
    packet.pkt_end = packet.pkt_size
    let answer = body(&packet)
    withUnsafeMutableBytes(of: &base) { to in
      withUnsafeBytes(of: packet) { from in to.copyMemory(from: UnsafeRawBufferPointer(rebasing: from[..<common])) }
    }
    return answer
  }
}

extension [UInt8] {
  func withCString<R>(_ body: (UnsafePointer<CChar>) throws -> R) rethrows -> R {
    try (self + [0]).withUnsafeBytes { try body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
  }
}
