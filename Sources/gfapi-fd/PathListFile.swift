import GfapiDefinition
import Glibc
import MiniDaemon

/// A temporary file for `pathlist=`, made of the file of `--files-from`. It is removed with this object.
final class PathListFile {
  /// The plugin line with this file.
  let definition: String
  private let file: String

  /// - Parameters:
  ///   - source: the file of the user; `-` is standard input.
  ///   - endsWithZero: true if a zero byte follows each path, false if a newline does.
  ///   - definition: the plugin line.
  /// - Throws: the exit status; a message has said why.
  init(_ source: String, endsWithZero: Bool, below definition: String) throws {
    func fail(_ text: String) -> any Error {
      Progress.line("gfapi-fd: \(DaemonError("GFD-312", text))")
      return GfapiFDTool.Status.nothingDone
    }
    guard let arguments = try? PluginDefinition.Arguments(definition.utf8), let parsed = try? PluginDefinition(arguments) else {
      // The plugin says what is wrong with the line.
      (self.definition, file) = (definition, "")
      return
    }
    let descriptor = source == "-" ? 0 : open(source, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw fail("the paths cannot be read: \(source): \(String(cString: strerror(errno)))") }
    defer { if descriptor > 0 { close(descriptor) } }
    var template = Array("\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/gfapi-fd-paths-XXXXXX".utf8CString)
    let target = mkstemp(&template)
    guard target >= 0 else { throw fail("no temporary file: \(String(cString: strerror(errno)))") }
    defer { close(target) }
    file = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    self.definition = String(decoding: arguments.setting(.pathlist, Array(file.utf8)).line, as: UTF8.self)
    let base = parsed.volume.directory.stem + [UInt8(ascii: "/")]
    let end = endsWithZero ? 0 : UInt8(ascii: "\n")
    var rest: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    func put(_ path: some Collection<UInt8>) throws {
      guard !path.isEmpty else { return }
      let line = (path.first == UInt8(ascii: "/") ? [] : base) + path + [0]
      guard write(target, line, line.count) == line.count else {
        throw fail("the temporary file cannot be written: \(String(cString: strerror(errno)))")
      }
    }
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      guard count >= 0 else { throw fail("the paths cannot be read: \(source): \(String(cString: strerror(errno)))") }
      if count == 0 { break }
      rest += buffer[..<count]
      var start = 0
      while let at = rest[start...].firstIndex(of: end) {
        try put(rest[start..<at])
        start = at + 1
      }
      rest.removeFirst(start)
    }
    try put(rest)
  }

  deinit { if !file.isEmpty { unlink(file) } }
}
