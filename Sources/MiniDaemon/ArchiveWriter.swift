import CArchive
import FDPluginABI
import Glibc

/// Writes a backup as a pax archive.
///
/// Paths are kept without their first slash, ACLs as `SCHILY.acl.*`, extended attributes as `SCHILY.xattr.*`, and holes as GNU's sparse
/// files of version 1.0. Pax has no type for a socket, which is kept as an empty file with the extended attribute ``socketMark``.
///
/// An archive is written as `FILE.part`, and gets its name when it is complete. The archive of a backup that did not end well ends in the
/// middle of a header, so that each program that reads it reports an error. A missing end mark is not enough, because programs do without
/// one (GNU tar 1.34, bsdtar 3.6).
public final class ArchiveWriter: BackupTarget {
  static let (socketMark, socketValue) = ("user.gfapi-fd.type", Array("socket".utf8))

  private let archive: OpaquePointer
  private let output: Output
  private var body: Body = .pending
  private var state = State.empty
  /// Called with a message for each entry that the archive cannot keep unchanged.
  private let warn: (String) -> Void

  private enum State { case empty, open, ended }

  /// The place where the data of an entry wait. The plugin returns ACLs and attributes after the data, but an archive has them, and the
  /// positions of the holes, before the data.
  private enum Body {
    /// In memory.
    case pending
    /// In a temporary file, for the data of a large file or of a file with holes.
    case spooled(Spool)
  }

  private var pending: [UInt8] = []
  private static let pendingLimit = 4 << 20

  /// - Parameter path: of the archive; `-` is standard output.
  public init(_ path: String, warn: @escaping (String) -> Void) throws {
    output = try Output(path)
    archive = archive_write_new()
    self.warn = warn
    archive_write_set_format_pax(archive)
    // One header for each attribute is enough. Names are bytes, and libarchive marks names that are not ASCII as bytes.
    try check(archive_write_set_options(archive, "pax:xattrheader=SCHILY"))
    // libarchive does not buffer its output, because ``Output`` does.
    archive_write_set_bytes_per_block(archive, 0)
    try check(
      archive_write_open(
        archive, Unmanaged.passUnretained(output).toOpaque(), nil,
        { _, output, bytes, count in
          let bytes = UnsafeRawBufferPointer(start: bytes, count: count)
          return Unmanaged<Output>.fromOpaque(output!).takeUnretainedValue().append(bytes) ? count : -1
        }, nil))
  }

  deinit {
    _ = abandon()
    archive_write_free(archive)
  }

  /// Writes the end of the archive, and gives it its name.
  public func close() throws {
    try check(archive_write_close(archive))
    try output.end()
    state = .ended
  }

  /// Leaves the archive without its end, for a backup that did not end well. An archive without entries is removed.
  ///
  /// - Returns: the path of the incomplete archive; nil if there is none, or it is on standard output.
  public func abandon() -> String? {
    guard state != .ended else { return nil }
    // Without this call libarchive would write the end of the archive when it is freed.
    archive_write_fail(archive)
    defer { state = .ended }
    return output.abandon(isEmpty: state == .empty)
  }

  private func check(_ result: Int32) throws {
    guard result >= ARCHIVE_WARN else {
      throw DaemonError(
        "GFD-304",
        "the archive cannot be written: \(output.failure ?? archive_error_string(archive).map { String(cString: $0) } ?? "")")
    }
  }

  // MARK: BackupTarget

  public func begin(_ entry: SavedEntry) throws {
    (pending, state) = ([], .open)
    let status = entry.status
    let isFile = status.st_mode & S_IFMT == S_IFREG && entry.type != FD_FT_LNKSAVED
    body =
      isFile && (status.st_blocks * 512 < status.st_size || status.st_size > Self.pendingLimit)
      ? .spooled(try Spool()) : .pending
  }

  public func data(_ bytes: UnsafeRawBufferPointer) throws {
    if case .spooled(let spool) = body { try spool.append(bytes) } else { pending += bytes }
  }

  /// Leaves the entry out of the archive, because a part of a file would look like the whole file.
  public func fail(_ entry: SavedEntry) { (pending, body) = ([], .pending) }

  public func end(_ complete: SavedEntry) throws {
    let header = Header(complete, warn)
    defer { body = .pending }
    if case .spooled(let spool) = body {
      header.setSize(spool.length)
      for extent in spool.extents { archive_entry_sparse_add_entry(header.entry, Int64(extent.offset), Int64(extent.length)) }
      try check(archive_write_header(archive, header.entry))
      try spool.forEachPiece { try write($0) }
    } else {
      header.setSize(pending.count)
      try check(archive_write_header(archive, header.entry))
      try pending.withUnsafeBytes { try write($0) }
    }
    try check(archive_write_finish_entry(archive))
    output.endEntry()
  }

  private func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard bytes.count > 0 else { return }
    let written = archive_write_data(archive, bytes.baseAddress, bytes.count)
    guard written == bytes.count else { try check(Int32(ARCHIVE_FATAL)); return }
  }
}

/// The file or stream to which an archive is written.
private final class Output {
  private static let blockSize = 256 << 10
  /// The size of tar's records, in bytes. The end of an archive is padded to a multiple of it.
  private static let recordSize = 10_240

  private let descriptor: Int32
  /// The name that the archive gets when it is complete, and the name that it has until then; nil for a device, a pipe or standard output,
  /// which are written to directly.
  private let names: (whole: String, part: String)?
  private var buffer: [UInt8] = []
  /// The number of bytes that were taken, and how many of them are in the file.
  private var (taken, written) = (0, 0)
  /// Where complete entries end, in bytes: the last end that is in the file, and the later ones.
  private var ends = [0]
  /// The reason why writing failed; nil if it has not failed.
  private(set) var failure: String?

  init(_ path: String) throws {
    guard path != "-" else {
      (descriptor, names) = (1, nil)
      return
    }
    var status = stat()
    let isThere = stat(path, &status) == 0
    if isThere, status.st_mode & S_IFMT != S_IFREG {
      (descriptor, names) = (open(path, O_WRONLY | O_CLOEXEC), nil)
    } else {
      // Write to the file to which a symbolic link leads, and keep the link.
      let real = isThere ? realpath(path, nil) : nil
      defer { free(real) }
      let whole = real.map { String(cString: $0) } ?? path
      let part = whole + ".part"
      (descriptor, names) = (open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666), (whole, part))
    }
    guard descriptor >= 0 else {
      throw DaemonError("GFD-304", "the archive cannot be written: \(names?.part ?? path): \(String(cString: strerror(errno)))")
    }
  }

  deinit { if descriptor > 1 { Glibc.close(descriptor) } }

  /// Takes bytes. Returns false if they cannot be written.
  func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
    buffer += bytes
    taken += bytes.count
    return buffer.count < Self.blockSize || flush()
  }

  func endEntry() { ends.append(taken) }

  /// Writes the buffer. What the file took is no longer in the buffer, also if the rest cannot be written.
  private func flush() -> Bool {
    var done = 0
    defer {
      buffer.removeFirst(done)
      written += done
      ends.removeFirst(max(ends.count { $0 <= written } - 1, 0))
    }
    while done < buffer.count {
      let count = buffer[done...].withUnsafeBytes { write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        failure = String(cString: strerror(errno))
        return false
      }
      done += count
    }
    return true
  }

  func end() throws {
    buffer += [UInt8](repeating: 0, count: (Self.recordSize - taken % Self.recordSize) % Self.recordSize)
    var isWritten = flush()
    if isWritten, let names {
      isWritten = fsync(descriptor) == 0 && rename(names.part, names.whole) == 0
      if !isWritten { failure = String(cString: strerror(errno)) }
    }
    guard isWritten else { throw DaemonError("GFD-304", "the archive cannot be written: \(failure ?? "")") }
  }

  func abandon(isEmpty: Bool) -> String? {
    if let names {
      if isEmpty {
        unlink(names.part)
        return nil
      }
      // If the disk is full, the bytes that are still in memory are dropped. The file is cut after the last complete entry that is in it.
      // It is never extended: zeros would be the end of an archive.
      if !flush() { buffer = [] }
      ftruncate(descriptor, off_t(ends[0]))
      lseek(descriptor, off_t(ends[0]), SEEK_SET)
    }
    buffer += Self.cutOff
    _ = flush()
    return names?.part
  }

  /// A header of tar's type `g` that announces 32 KiB, which do not follow. No file is made of it, and GNU tar, bsdtar and libarchive end
  /// with an error.
  private static let cutOff: [UInt8] = {
    var block = [UInt8](repeating: 0, count: 512)
    func put(_ text: String, at offset: Int) { block.replaceSubrange(offset..<(offset + text.utf8.count), with: text.utf8) }
    put("incomplete-backup", at: 0)
    put("0000644", at: 100)
    put("0000000", at: 108)
    put("0000000", at: 116)
    put("00000100000", at: 124)
    put("00000000000", at: 136)
    put("        ", at: 148)
    put("g", at: 156)
    put("ustar", at: 257)
    put("00", at: 263)
    let sum = String(block.reduce(0) { $0 + Int($1) }, radix: 8)
    put(String(repeating: "0", count: 6 - sum.count) + sum + "\0 ", at: 148)
    return block
  }()
}

/// The header of one entry.
private final class Header {
  let entry = archive_entry_new()!

  init(_ saved: SavedEntry, _ warn: (String) -> Void) {
    var status = saved.status
    let kind = status.st_mode & S_IFMT
    if kind == S_IFSOCK, saved.type != FD_FT_LNKSAVED {
      status.st_mode = status.st_mode & ~S_IFMT | S_IFREG
      archive_entry_xattr_add_entry(
        entry, ArchiveWriter.socketMark, ArchiveWriter.socketValue, ArchiveWriter.socketValue.count)
    }
    status.st_atim.writeAsLibarchivePrints()
    status.st_mtim.writeAsLibarchivePrints()
    status.st_ctim.writeAsLibarchivePrints()
    archive_entry_copy_stat(entry, &status)
    archive_entry_set_rdev(entry, status.st_rdev)
    relative(saved.path).withCString { archive_entry_copy_pathname(entry, $0) }
    setSize(0)
    if saved.type == FD_FT_LNKSAVED {
      relative(saved.link).withCString { archive_entry_copy_hardlink(entry, $0) }
      return
    }
    if kind == S_IFLNK { saved.link.withCString { archive_entry_copy_symlink(entry, $0) } }
    for attribute in saved.extendedAttributes {
      attribute.name.withCString { archive_entry_xattr_add_entry(entry, $0, attribute.value, attribute.value.count) }
    }
    if !saved.acls.isEmpty, !ArchiveACL.add(saved.acls, to: entry) {
      warn("GFD-306 \(String(decoding: saved.path, as: UTF8.self)): its ACL cannot be kept in the archive")
    }
  }

  deinit { archive_entry_free(entry) }

  func setSize(_ size: Int) { archive_entry_set_size(entry, Int64(size)) }

  private func relative(_ path: [UInt8]) -> [UInt8] {
    let rest = Array(path.drop { $0 == UInt8(ascii: "/") })
    return rest.isEmpty ? [UInt8(ascii: ".")] : rest
  }
}

/// Keeps the data of one file until they are written to the archive, in a temporary file without a name. Blocks of zeros become holes.
private final class Spool {
  private static let block = 4096
  private let descriptor: Int32
  private(set) var length = 0
  private(set) var extents: [(offset: Int, length: Int)] = []

  init() throws {
    let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var name = Array("\(folder)/gfapi-fd.XXXXXX".utf8CString)
    descriptor = mkstemp(&name)
    guard descriptor >= 0 else { throw DaemonError("GFD-305", "no temporary file in \(folder): \(String(cString: strerror(errno)))") }
    unlink(name)
  }

  deinit { Glibc.close(descriptor) }

  func append(_ bytes: UnsafeRawBufferPointer) throws {
    var start = 0
    while start < bytes.count {
      let end = min(bytes.count, start + Self.block - length % Self.block)
      let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
      if piece.contains(where: { $0 != 0 }) {
        guard pwrite(descriptor, piece.baseAddress, piece.count, length) == piece.count else {
          throw DaemonError("GFD-305", "the temporary file cannot be written: \(String(cString: strerror(errno)))")
        }
        if let last = extents.last, last.offset + last.length == length {
          extents[extents.count - 1].length += piece.count
        } else {
          extents.append((length, piece.count))
        }
      }
      length += piece.count
      start = end
    }
  }

  func forEachPiece(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    // A hole at the end has not been written: extend the file by it.
    guard ftruncate(descriptor, length) == 0 else { throw DaemonError("GFD-305", "the temporary file cannot be extended") }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { buffer.deallocate() }
    var offset = 0
    while offset < length {
      let got = pread(descriptor, buffer.baseAddress, buffer.count, offset)
      guard got > 0 else { throw DaemonError("GFD-305", "the temporary file cannot be read: \(String(cString: strerror(errno)))") }
      try body(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
      offset += got
    }
  }
}

extension timespec {
  /// Changes a time before 1970 so that libarchive prints the right number.
  ///
  /// libarchive (3.6) prints seconds and fraction one after the other, which gives a wrong number for a time before 1970: it prints -1.25 s
  /// (seconds -2, nanoseconds 750000000) as "-2.75". The last second before 1970 loses its fraction, because libarchive cannot print it.
  mutating func writeAsLibarchivePrints() {
    guard tv_sec < 0, tv_nsec > 0 else { return }
    self = tv_sec == -1 ? timespec(tv_sec: -1, tv_nsec: 0) : timespec(tv_sec: tv_sec + 1, tv_nsec: 1_000_000_000 - tv_nsec)
  }

  /// Corrects a time before 1970 that libarchive has read in the same way.
  mutating func readAsLibarchiveParsed() {
    guard tv_sec < 0, tv_nsec > 0 else { return }
    self = timespec(tv_sec: tv_sec - 1, tv_nsec: 1_000_000_000 - tv_nsec)
  }
}
