import ArgumentParser
import Encodings
import FDPluginABI
import GfapiDefinition
import Glibc
import MiniDaemon

struct Estimate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Counts the entries and bytes that a backup would save, by type. Reads no data.")

  @Argument(help: pluginLineHelp, transform: pluginLine)
  var definition: String

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var fileSet: FileSetArguments
  @OptionGroup var daemon: DaemonArguments

  func validate() throws { try fileSet.validate(for: daemon.abi) }

  /// The number of entries of a type, and the bytes of their data.
  private struct Count {
    var entries = 0
    var bytes = 0
  }

  func run() throws {
    let line = try fileSet.line(definition)
    try daemon.run(fileSet.options) { job in
      var progress = Progress("counted")
      var (running, byType) = (JobCounts(), [EntryType: Count]())
      var firstNames = FirstNames()
      let counts = job.estimate(line) { entry in
        guard let type = EntryType(firstNames.resolved(entry)) else { return }
        let bytes = type == .file ? Int(entry.status.st_size) : 0
        byType[type, default: Count()].entries += 1
        byType[type, default: Count()].bytes += bytes
        running.entries += 1
        running.bytes += bytes
        progress.update(running)
      }
      progress.clear()
      guard var counts else { return nil }
      counts.bytes = running.bytes
      print(json ? object(byType, counts, job.excluded) : table(byType, counts, job.excluded), terminator: "")
      return counts
    }
  }

  private func object(_ byType: [EntryType: Count], _ counts: JobCounts, _ excluded: Int) -> String {
    let types = EntryType.allCases.map { type -> (name: String, value: JSON) in
      let count = byType[type] ?? Count()
      return (type.rawValue, ["entries": .integer(count.entries), "bytes": .integer(count.bytes)])
    }
    let object: JSON = [
      "entries": .integer(counts.entries), "bytes": .integer(counts.bytes), "excluded": .integer(excluded),
      "failed": .integer(counts.failed),
      "types": .object(types),
    ]
    return "\(object)\n"
  }

  private func table(_ byType: [EntryType: Count], _ counts: JobCounts, _ excluded: Int) -> String {
    func row(_ name: String, _ entries: Int, _ bytes: Int? = nil) -> String {
      let number = "\(entries)"
      return name + String(repeating: " ", count: max(32 - name.utf8.count - number.utf8.count, 1)) + number
        + (bytes.map { "   \(sizeInWords(Double($0)))" } ?? "") + "\n"
    }
    let types = EntryType.allCases.map { type in
      row(type.words, byType[type]?.entries ?? 0, type == .file ? byType[type]?.bytes ?? 0 : nil)
    }
    return types.joined() + row("all", counts.entries, counts.bytes) + row("excluded", excluded) + row("failed", counts.failed)
  }
}

/// The type of an entry, as it is shown to a user.
enum EntryType: String, CaseIterable {
  case file, hardLink, directory, symbolicLink, fifo, socket, device

  /// Nil for an entry that could not be read.
  init?(_ entry: SavedEntry) {
    if entry.isFailure { return nil }
    switch entry.status.st_mode & S_IFMT {
    case _ where entry.type == FD_FT_LNKSAVED: self = .hardLink
    case S_IFREG: self = .file
    case S_IFDIR: self = .directory
    case S_IFLNK: self = .symbolicLink
    case S_IFIFO: self = .fifo
    case S_IFSOCK: self = .socket
    default: self = .device
    }
  }

  var words: String {
    switch self {
    case .file: "files"
    case .hardLink: "additional hard links"
    case .directory: "directories"
    case .symbolicLink: "symbolic links"
    case .fifo: "FIFOs"
    case .socket: "sockets"
    case .device: "devices"
    }
  }

  /// The letter that `ls` shows for the type.
  var letter: String {
    switch self {
    case .file, .hardLink: "-"
    case .directory: "d"
    case .symbolicLink: "l"
    case .fifo: "p"
    case .socket: "s"
    case .device: "c"
    }
  }
}
