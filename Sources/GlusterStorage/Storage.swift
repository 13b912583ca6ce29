import ArgumentParser
import Glibc
import Gluster
import PartStore
import Version

/// Stores the volumes of a Bareos storage daemon on a Gluster volume. The daemon runs this program for each operation of a device of type
/// `dplcompat`.
package struct Storage: ParsableCommand {
  package static let configuration = CommandConfiguration(
    commandName: "bareos-gluster-storage",
    abstract: "Keep the volumes of a Bareos storage daemon on a Gluster volume.",
    discussion: """
      The storage daemon (Bareos 24 and later) runs this program for each operation of a device of type dplcompat:

        Device {
          Name = Gluster
          Media Type = Gluster
          Device Type = dplcompat
          Device Options = "program=bareos-gluster-storage,iothreads=4,uri=gluster://server.example.com/myvol/bareos"
          Archive Device = "Gluster"
          Label Media = yes
          Random Access = yes
          Automatic Mount = yes
          Removable Media = no
          Always Open = no
        }

      The environment has the options: uri (\(VolumeURI.grammar)), logfile and loglevel (the log of libgfapi; the program's errors \
      go there too, or else to syslog), timeout (seconds to wait for an answer of the volume, default 25).

      Exit status: 0 success, 1 no such part, 2 an option or a name is wrong, 3 the volume is unreachable, 4 the volume is \
      full, 5 the volume failed, 6 the data were cut off, 64 the command line is wrong.
      """,
    version: version,
    subcommands: [Options.self, TestConnection.self, List.self, Stat.self, Upload.self, Download.self, Remove.self])

  package init() {}

  package static func main() {
    main(marked(Array(CommandLine.arguments.dropFirst())))
  }

  /// Returns the arguments with `--` before the names, because a name may begin with a dash.
  static func marked(_ arguments: [String]) -> [String] {
    guard arguments.count > 1, arguments[1] != "--help", arguments[0] != "help" else { return arguments }
    return [arguments[0], "--"] + arguments[1...]
  }
}

/// Prints the names of the options. This command needs none of the options.
struct Options: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "options", abstract: "Print the names of the options.")

  func run() {
    for key in Settings.Key.allCases { print(key.rawValue) }
  }
}

struct TestConnection: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "testconnection", abstract: "Check that the volume answers, and that its directory can be written.")

  func run() { Operation.run { try $0.store.check() } }
}

struct List: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Print the name and the size in bytes of each part of a volume, one a line.")

  @Argument(help: "The storage daemon's volume.") var volume: String

  func run() {
    Operation.run { operation in
      let parts = try operation.store.parts(of: StoredName(volume.utf8))
      let lines = parts.sorted { $0.name.name.lexicographicallyPrecedes($1.name.name) }.map { "\($0.name) \($0.size)\n" }
      try operation.put(lines.joined())
    }
  }
}

struct Stat: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "stat", abstract: "Print the size of a part in bytes.")

  @OptionGroup var part: PartArguments

  func run() {
    // The daemon asks for the size of each part before it sends the part, so a missing part is a normal answer.
    Operation.run(expectsMissing: true) { operation in
      try operation.put("\(operation.store.size(of: part.name, in: part.volumeName))\n")
    }
  }
}

struct Upload: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upload",
    abstract: "Store standard input as a part. An existing part is replaced.")

  @OptionGroup var part: PartArguments

  func run() {
    let sender = Sender()
    Operation.run { operation in
      try operation.store.upload(part.name, of: part.volumeName, read: operation.take) { sender.isAlive }
    }
  }
}

struct Download: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "download", abstract: "Print a part's data.")

  @OptionGroup var part: PartArguments

  func run() {
    Operation.run { operation in
      try operation.store.download(part.name, of: part.volumeName, write: operation.put)
    }
  }
}

struct Remove: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "remove", abstract: "Remove a part.")

  @OptionGroup var part: PartArguments

  func run() { Operation.run { try $0.store.remove(part.name, of: part.volumeName) } }
}

/// The arguments of most operations: a volume and one of its parts.
struct PartArguments: ParsableArguments {
  @Argument(help: "The storage daemon's volume.") var volume: String
  @Argument(help: "The part of the volume.") var part: String

  var volumeName: StoredName { StoredName(volume.utf8) }
  var name: StoredName { StoredName(part.utf8) }
}
