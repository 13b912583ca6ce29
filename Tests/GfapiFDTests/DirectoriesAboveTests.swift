import Glibc
import Gluster
import Testing

@testable import GfapiAttributes
@testable import GfapiBackup

@Suite("The directories above listed entries")
struct DirectoriesAboveTests {
  /// Asks the FileSet about the directories above each path in turn; the FileSet excludes the directories in `refused`.
  func ask(_ paths: [String], base: String, refused: [String] = []) -> (taken: [Bool], asked: [String]) {
    var directories = DirectoriesAbove()
    var asked: [String] = []
    var status = stat()
    status.st_mode = S_IFDIR | 0o700
    let taken = paths.map { path in
      directories.areTaken(VolumePath(path), base: (VolumePath(base), status)) { directory, status in
        let directory = String(decoding: directory.bytes, as: UTF8.self)
        asked.append(directory)
        #expect(status.isDirectory && (directory == base) == (status.st_mode & 0o777 == 0o700))
        return !refused.contains(directory)
      }
    }
    return (taken, asked)
  }

  @Test("The directories above an entry are offered to the FileSet from the base directory down, each once in a row")
  func order() {
    let (taken, asked) = ask(["/b/d/e/1", "/b/d/e/2", "/b/d/3", "/b/d/e/4", "/b/f/5", "/b/6"], base: "/b")
    #expect(taken == [Bool](repeating: true, count: 6))
    #expect(asked == ["/b", "/b/d", "/b/d/e", "/b/d/e", "/b/f"])
  }

  @Test("An excluded directory excludes its entries, and no directory below it is offered to the FileSet")
  func refused() {
    let (taken, asked) = ask(["/b/d/e/f/1", "/b/d/2", "/b/d/e/3", "/b/d2/4"], base: "/b", refused: ["/b/d/e"])
    #expect(taken == [false, true, false, true])
    #expect(asked == ["/b", "/b/d", "/b/d/e", "/b/d/e", "/b/d2"])
    #expect(ask(["/b/d/1", "/b/2"], base: "/b", refused: ["/b"]).taken == [false, false])
  }

  @Test("The base directory itself has no directory above it that could exclude it")
  func base() {
    let (taken, asked) = ask(["/b"], base: "/b", refused: ["/b"])
    #expect(taken == [true] && asked.isEmpty)
  }

  @Test("The directories above an entry start at the root if that is the base directory")
  func root() {
    let (taken, asked) = ask(["/", "/1", "/d/2", "/d/e/3"], base: "/", refused: ["/d/e"])
    #expect(taken == [true, true, true, false])
    #expect(asked == ["/", "/d", "/d/e"])
  }
}
