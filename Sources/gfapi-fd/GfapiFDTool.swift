import ArgumentParser
import Glibc
import Version

@main
struct GfapiFDTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gfapi-fd",
    abstract: "Checks, backs up and restores GlusterFS volumes with the plugin for Bareos and Bacula, without a daemon.",
    discussion: """
      DEFINITION is the URI of a volume, or a plugin line as in a FileSet, with one backslash before each colon in a value:

        gfapi-fd check gluster://server.example.com/myvol/home
        gfapi-fd check 'gfapi:volume=gluster\\://server.example.com/myvol/home:timeout=10'

      Exit status: 0 if all went well, 1 if entries failed, 2 if the command could not begin or its archive could not be read or written, \
      64 if the command line is wrong.
      """,
    version: version,
    subcommands: [Check.self, Estimate.self, List.self, Backup.self, Restore.self, VolumeInfo.self])

  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
      leave(.success)
    } catch let status as ExitCode {
      leave(status)
    } catch {
      exit(withError: error)
    }
  }

  /// Ends the process without the handlers that `exit` runs: libgfapi's threads take 10 s to disconnect, and would run at the same time.
  private static func leave(_ status: ExitCode) -> Never {
    fflush(nil)
    _exit(status.rawValue)
  }

  /// The exit statuses other than 0.
  enum Status {
    static let someFailed = ExitCode(1)
    static let nothingDone = ExitCode(2)
  }
}
