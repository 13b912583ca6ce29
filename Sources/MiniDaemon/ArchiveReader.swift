import CArchive
import Encodings
import FDPluginABI
import Glibc

/// Reads a backup from a pax archive that ``ArchiveWriter`` or another program wrote.
public final class ArchiveReader {
  private let archive: OpaquePointer
  private let entry: OpaquePointer

  /// Opens an archive.
  ///
  /// - Parameter path: the path of the archive; `-` is standard input.
  public init(_ path: String) throws {
    archive = archive_read_new()
    entry = archive_entry_new()
    archive_read_support_format_tar(archive)
    archive_read_support_filter_all(archive)
    archive_read_set_options(archive, "hdrcharset=BINARY")
    guard path == "-" || access(path, R_OK) == 0 else {
      throw DaemonError("GFD-303", "the archive cannot be read: \(path): \(String(cString: strerror(errno)))")
    }
    try check(path == "-" ? archive_read_open_fd(archive, 0, 1 << 20) : archive_read_open_filename(archive, path, 1 << 20))
  }

  deinit {
    archive_entry_free(entry)
    archive_read_free(archive)
  }

  private func check(_ result: Int32) throws {
    guard result >= ARCHIVE_WARN else {
      throw DaemonError("GFD-303", "the archive cannot be read: \(archive_error_string(archive).map { String(cString: $0) } ?? "")")
    }
  }

  /// Returns the next entry and the length of its data in bytes; nil at the end.
  public func next() throws -> (entry: SavedEntry, length: Int)? {
    let result = archive_read_next_header2(archive, entry)
    if result == ARCHIVE_EOF { return nil }
    try check(result)
    guard let status = archive_entry_stat(entry)?.pointee else { throw DaemonError("GFD-303", "an entry without attributes") }

    var saved = SavedEntry(type: FD_FT_SPEC, path: absolute(archive_entry_pathname(entry)), status: status)
    saved.status.st_rdev = archive_entry_rdev(entry)
    // An archive does not have the link count.
    saved.status.st_nlink = 0
    saved.status.st_atim.readAsLibarchiveParsed()
    saved.status.st_mtim.readAsLibarchiveParsed()
    saved.status.st_ctim.readAsLibarchiveParsed()
    if let first = archive_entry_hardlink(entry) {
      saved.type = FD_FT_LNKSAVED
      saved.link = absolute(first)
      return (saved, 0)
    }
    let attributes = readExtendedAttributes()
    let isSocket =
      status.st_mode & S_IFMT == S_IFREG && status.st_size == 0
      && attributes.contains { $0.name.elementsEqual(ArchiveWriter.socketMark.utf8) && $0.value == ArchiveWriter.socketValue }
    saved.extendedAttributes = attributes.filter { !isSocket || !$0.name.elementsEqual(ArchiveWriter.socketMark.utf8) }
    saved.acls = ArchiveACL.stream(of: entry, mode: &saved.status.st_mode)
    switch saved.status.st_mode & S_IFMT {
    case S_IFREG where isSocket:
      saved.status.st_mode = saved.status.st_mode & ~S_IFMT | S_IFSOCK
      saved.type = FD_FT_FIFO
    case S_IFREG: saved.type = status.st_size > 0 ? FD_FT_REG : FD_FT_REGE
    case S_IFDIR: saved.type = FD_FT_DIREND
    case S_IFLNK:
      saved.type = FD_FT_LNK
      saved.link = bytes(archive_entry_symlink(entry))
    default: break
    }
    return (saved, Int(archive_entry_size(entry)))
  }

  /// Passes the data of the entry to `write`, piece by piece and without the holes, until `write` returns false.
  public func data(_ write: (_ offset: Int, _ bytes: UnsafeRawBufferPointer) -> Bool) throws {
    while true {
      var (buffer, count, offset) = (UnsafeRawPointer?.none, 0, la_int64_t(0))
      let result = archive_read_data_block(archive, &buffer, &count, &offset)
      if result == ARCHIVE_EOF { return }
      try check(result)
      guard count == 0 || write(Int(offset), UnsafeRawBufferPointer(start: buffer, count: count)) else { return }
    }
  }

  private func readExtendedAttributes() -> [SavedEntry.Attribute] {
    archive_entry_xattr_reset(entry)
    var (name, value, size) = (UnsafePointer<CChar>?.none, UnsafeRawPointer?.none, 0)
    var attributes: [SavedEntry.Attribute] = []
    while archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK {
      attributes.append((bytes(name), Array(UnsafeRawBufferPointer(start: value, count: size))))
    }
    return Self.decoded(attributes)
  }

  /// Returns the attributes with their decoded names, each of them once.
  ///
  /// `SCHILY.xattr.NAME` has the name with `%XX` for some bytes. GNU tar encodes `%` and `=`. libarchive (3.6) also encodes all bytes that
  /// are not printable ASCII. libarchive returns such a name without decoding it. Its own archives may also have `LIBARCHIVE.xattr.NAME`
  /// for each attribute, which it decodes. The attribute then comes twice.
  static func decoded(_ attributes: [SavedEntry.Attribute]) -> [SavedEntry.Attribute] {
    let percent = UInt8(ascii: "%")
    guard attributes.contains(where: { $0.name.contains(percent) }) else { return unique(attributes) }
    // A name is decoded already if another attribute with the same value has the encoded form of that name.
    let own = attributes.map { PercentEscapes.decodeWhatIsEscaped($0.name) }
    let isDecoded = Set(zip(attributes, own).filter { $0.name != $1 }.map { [$1, $0.value] })
    return unique(zip(attributes, own).map { (isDecoded.contains([$0.name, $0.value]) ? $0.name : $1, $0.value) })
  }

  private static func unique(_ attributes: [SavedEntry.Attribute]) -> [SavedEntry.Attribute] {
    var names = Set<[UInt8]>()
    return attributes.filter { names.insert($0.name).inserted }
  }

  private func absolute(_ name: UnsafePointer<CChar>?) -> [UInt8] {
    var path = bytes(name)
    while path.starts(with: Array("./".utf8)) { path.removeFirst(2) }
    if path == [UInt8(ascii: ".")] { path = [] }
    while path.last == UInt8(ascii: "/") { path.removeLast() }
    return [UInt8(ascii: "/")] + path.drop { $0 == UInt8(ascii: "/") }
  }
}
