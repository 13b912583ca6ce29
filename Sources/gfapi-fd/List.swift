import ArgumentParser
import Encodings
import FDPluginABI
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import GlusterfindList
import MiniDaemon

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Lists the entries that a backup would save, one a line.",
    discussion: """
      A line has type and mode, owner, group, size in bytes (for a device, its numbers), modification time (UTC) and path. After an \
      arrow comes the target of a symbolic link, or the first name of an additional hard link. Bytes that cannot be printed are shown as \
      octal numbers. With --json, a line is an object with path, type, mode, uid, gid, size, mtime and, for a link, \
      target.
      """)

  @Argument(help: pluginLineHelp, transform: pluginLine)
  var definition: String

  @Argument(help: "List only this path on the volume, and everything below it. Octal numbers stand for bytes, as in the output.")
  var path: String?

  @Flag(help: "Print a JSON object for each entry, one a line.")
  var json = false

  @OptionGroup var fileSet: FileSetArguments
  @OptionGroup var daemon: DaemonArguments

  func validate() throws {
    try fileSet.validate(for: daemon.abi)
    guard path?.hasPrefix("/") ?? true else { throw ValidationError("PATH must begin with /, the root of the volume") }
  }

  func run() throws {
    var options = fileSet.options
    let only = path.map(Self.bytes)
    options.only = only
    let temporary = "\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/gfapi-fd-list-\(getpid())"
    defer { unlink(temporary) }
    let definition = only.flatMap { narrowed(to: $0, list: temporary) } ?? definition
    var isThere = only == nil
    try daemon.run(options) { job in
      var firstNames = FirstNames()
      let counts = job.estimate(definition) { entry in
        let entry = firstNames.resolved(entry)
        guard only.map({ MiniJob.isAt(entry.path, orBelow: $0) }) ?? true, let line = json ? Self.object(entry) : Self.line(entry) else {
          return
        }
        isThere = true
        print(line)
      }
      if !isThere, counts != nil { Progress.line("GFD-310 \(path ?? ""): a backup would save nothing of this path") }
      return counts
    }
    if !isThere { throw GfapiFDTool.Status.nothingDone }
  }

  /// Returns a plugin line for a job that does not crawl everything beside a path. A directory becomes the base directory. Any other
  /// entry is written into a list.
  ///
  /// - Parameter file: the path of the list.
  /// - Returns: nil if no such line is possible.
  private func narrowed(to path: [UInt8], list file: String) -> String? {
    // These options would have another meaning with another base directory or a list.
    guard fileSet.options.since == 0, fileSet.options.excludes.isEmpty, fileSet.options.recurses, daemon.pluginOptions == nil,
      let arguments = try? PluginDefinition.Arguments(definition.utf8),
      let parsed = try? PluginDefinition(arguments), parsed.source == .crawl,
      arguments.values[.gfseparator] == nil, arguments.values[.gfencoding] == nil,
      MiniJob.isAt(path, orBelow: parsed.volume.directory.bytes), let place = VolumePath(path)
    else { return nil }
    let volume = JobVolume(parsed)
    defer { volume.close() }
    guard let isDirectory = try? volume.isDirectory(place) else { return nil }
    if isDirectory {
      return String(decoding: arguments.setting(.volume, Array(parsed.volume.text(directory: place).utf8)).line, as: UTF8.self)
    }
    let descriptor = open(file, O_WRONLY | O_CREAT | O_EXCL, 0o600)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    let name = ListFormat.encode(path.drop { $0 == UInt8(ascii: "/") })
    let line = Array("MODIFY ".utf8) + name + [UInt8(ascii: "\n")]
    guard write(descriptor, line, line.count) == line.count else { return nil }
    return String(decoding: arguments.setting(.gffilelist, Array(file.utf8)).line, as: UTF8.self)
  }

  private static func line(_ entry: SavedEntry) -> String? {
    guard let type = EntryType(entry) else { return nil }
    let status = entry.status
    let size = type == .device ? "\(major(status.st_rdev)),\(minor(status.st_rdev))" : "\(status.st_size)"
    let isBlock = status.st_mode & S_IFMT == S_IFBLK
    let target = [.hardLink, .symbolicLink].contains(type) ? (type == .hardLink ? " => " : " -> ") + printable(entry.link) : ""
    return "\(isBlock ? "b" : type.letter)\(mode(status.st_mode)) \(status.st_uid) \(status.st_gid) \(size) \(utc(status.st_mtim.tv_sec)) "
      + printable(entry.path) + target
  }

  /// Parses a path as it is given in an argument, or as this command shows it. `\377` is a byte, as an octal number.
  static func bytes(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\\"), rest.count >= 3, let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) {
        bytes.append(value)
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return bytes
  }

  private static func object(_ entry: SavedEntry) -> String? {
    guard let type = EntryType(entry) else { return nil }
    let status = entry.status
    let target = [.hardLink, .symbolicLink].contains(type) ? [(name: "target", value: JSON.string(printable(entry.link)))] : []
    let object = JSON.object(
      [
        ("path", .string(printable(entry.path))), ("type", .string(type.rawValue)),
        ("mode", .string(String(status.st_mode & 0o7777, radix: 8))),
        ("uid", .integer(Int(status.st_uid))), ("gid", .integer(Int(status.st_gid))), ("size", .integer(status.st_size)),
        ("mtime", .string(utc(status.st_mtim.tv_sec))),
      ] + target)
    return "\(object)"
  }

  private static func mode(_ mode: mode_t) -> String {
    var text = ""
    for shift in [6, 3, 0] as [mode_t] {
      let bits = mode >> shift
      let special = mode & (shift == 6 ? S_ISUID : shift == 3 ? S_ISGID : S_ISVTX) != 0
      let letter = shift == 0 ? "t" : "s"
      text += (bits & 4 != 0 ? "r" : "-") + (bits & 2 != 0 ? "w" : "-")
      text += special ? (bits & 1 != 0 ? letter : letter.uppercased()) : bits & 1 != 0 ? "x" : "-"
    }
    return text
  }

  private static func major(_ device: dev_t) -> dev_t { (device >> 8) & 0xfff | (device >> 32) & ~0xfff }
  private static func minor(_ device: dev_t) -> dev_t { device & 0xff | (device >> 12) & ~0xff }
}
