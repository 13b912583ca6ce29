import Glibc
import Gluster
import Testing

@testable import GfapiJob
@testable import GfapiRestore

@Suite("The path of an entry to restore")
struct RestorePathTests {
  /// A daemon that ignores all messages and accepts every path.
  final class SilentDaemon: Daemon {
    func send(_ severity: Severity, _ text: String) {}
    func accepts(_ path: VolumePath, _ status: stat) -> Bool { true }
    func compare(_ record: SaveRecord, since: Int) -> Comparison { Comparison(hasChanged: true, number: nil) }
    let isAccurate = false
    let jobName: String? = nil
    let previousJobName: String? = nil
    let workingDirectory: String? = nil
    let jobIsCancelled = false
  }

  @Test(
    "A restore path becomes a path on the volume",
    arguments: [
      ("/a/b", "/a/b"), ("/", "/"), ("", "/"), ("a//b/", "/a/b"), ("/./a/./b/.", "/a/b"), ("/...", "/..."), ("/..a/a..", "/..a/a.."),
      ("/ /\n", "/ /\n"),
    ] as [(String, VolumePath)])
  func volumePath(_ path: String, _ wanted: VolumePath) throws {
    #expect(try RestoreEntry.volumePath(Array(path.utf8)) == wanted)
  }

  @Test("A restore path with a component .. is rejected", arguments: ["..", "/..", "/a/../b", "/a/.."])
  func up(_ path: String) {
    let problem = #expect(throws: RestoreProblem.self) { try RestoreEntry.volumePath(Array(path.utf8)) }
    #expect(problem?.description.contains("..") == true)
  }

  @Test(
    "A restore path is moved from the base directory of the backup to that of the restore",
    arguments: [
      // The daemon's prefix | the path | the expected path.
      ("", "/old/a", "/new/x/a"), ("", "/old", "/new/x"), ("", "/old2/a", "/old2/a"), ("", "/other/old/a", "/other/old/a"),
      ("/", "/old/a", "/new/x/a"),
      ("/where", "/where/old/a", "/where/new/x/a"), ("/where/", "/where/old/a", "/where/new/x/a"), ("/where", "/where/old", "/where/new/x"),
      ("/where", "/where/old2", "/where/old2"), ("/where", "/where/a", "/where/a"),
      // The target of a hard link may lack the daemon's prefix.
      ("/where", "/old/a", "/new/x/a"),
    ])
  func rebased(_ place: String, _ path: String, _ wanted: String) {
    #expect(rebased(place, path, from: "/old", to: "/new/x") == wanted)
  }

  @Test(
    "A restore path stays unchanged if the base directory is the same or not set",
    arguments: [("/old", "/old"), ("/old", ""), ("", "")])
  func same(_ from: String, _ to: String) {
    for (place, path) in [("", "/old/a"), ("/where", "/where/old/a")] {
      #expect(rebased(place, path, from: from, to: to) == path)
    }
  }

  @Test(
    "A restore path is moved from the root of the volume into a directory",
    arguments: [("", "/a", "/new/a"), ("/where", "/where/a", "/where/new/a"), ("/where", "/whereabouts", "/whereabouts")])
  func fromRoot(_ place: String, _ path: String, _ wanted: String) {
    #expect(rebased(place, path, from: "", to: "/new") == wanted)
  }

  func rebased(_ place: String, _ path: String, from: String, to: String) -> String {
    let rebase = Rebase(original: VolumePath(from), overridden: VolumePath(to))
    return String(decoding: rebase(Array(path.utf8), under: Array(place.utf8)) ?? Array(path.utf8), as: UTF8.self)
  }
}
