import Glibc
import GlusterfindList

/// The list that the plugin will read. It is written under a temporary name that nobody else can take over, and moved into place when it is
/// complete.
final class ListFile: Sendable {
  let path: String

  init(_ path: String) throws {
    self.path = path
    var status = stat()
    if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { throw Failure("GFD-110", "\(path) is a directory") }
  }

  /// Removes the list. A missing list is no error.
  func remove() throws {
    if unlink(path) != 0, errno != ENOENT { throw Failure("GFD-110", "cannot remove \(path): \(Self.words())") }
  }

  /// Makes a directory that only this user can enter, with a name that begins with `path`. Remove it with ``removeFolder(_:)``.
  static func makeFolder(_ path: String) throws -> String {
    var template = Array((path + ".XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure("GFD-110", "cannot make a folder beside \(path): \(words())") }
    return template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  /// Removes a directory and everything in it.
  static func removeFolder(_ folder: String) {
    if let directory = opendir(folder) {
      while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        guard name != ".", name != ".." else { continue }
        if entry.pointee.d_type == UInt8(DT_DIR) { removeFolder("\(folder)/\(name)") } else { unlink("\(folder)/\(name)") }
      }
      closedir(directory)
    }
    rmdir(folder)
  }

  /// Writes the list in the directory `folder`, and moves it into place.
  func write(in folder: String, _ header: ListHeader, _ content: (inout ListWriter) throws -> Void) throws {
    let temporary = folder + "/list"
    try Self.make(temporary) { try ListWriter.write(to: $0, header, content) }
    guard rename(temporary, path) == 0 else { throw Failure("GFD-110", "cannot write \(path): \(Self.words())") }
  }

  /// Makes a file. Its data are on the disk when this returns.
  static func make(_ file: String, _ write: (Int32) throws -> Void) throws {
    let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Failure("GFD-110", "cannot write \(file): \(words())") }
    defer { close(descriptor) }
    try write(descriptor)
    guard fsync(descriptor) == 0 else { throw Failure("GFD-110", "cannot write \(file): \(words())") }
  }

  static func words() -> String { String(cString: strerror(errno)) }
}

/// Writes the lines of a list to a file.
struct ListWriter {
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  /// The number of lines with a change.
  private(set) var lines = 0

  private init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// Writes a whole list.
  static func write(to descriptor: Int32, _ header: ListHeader, _ content: (inout ListWriter) throws -> Void) throws {
    var writer = ListWriter(descriptor)
    try writer.directive(header.line)
    try content(&writer)
    try writer.directive(ListHeader.endLine(writer.lines))
    try writer.flush()
  }

  /// Adds a line with a change.
  ///
  /// - Parameter line: the line without its newline.
  mutating func add(line: some Collection<UInt8>) throws {
    lines += 1
    buffer += line
    buffer.append(UInt8(ascii: "\n"))
    if buffer.count > 64 << 10 { try flush() }
  }

  mutating func directive(_ line: String) throws {
    buffer += line.utf8
  }

  private mutating func flush() throws {
    try Self.write(buffer, to: descriptor)
    buffer.removeAll(keepingCapacity: true)
  }

  static func write(_ bytes: [UInt8], to descriptor: Int32) throws {
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress!, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Failure("GFD-110", "cannot write the list: \(ListFile.words())") }
      done += count
    }
  }
}
