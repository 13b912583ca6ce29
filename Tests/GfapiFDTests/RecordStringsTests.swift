import Glibc
import Gluster
import Testing

@testable import GfapiBackup
@testable import GfapiJob
@testable import GfapiPlugin

@Suite("The name and the link of a record as a daemon gets them")
struct RecordStringsTests {
  func strings(_ path: VolumePath, _ kind: SaveRecord.Kind, mode: mode_t, target: [UInt8] = []) -> (name: [UInt8], link: [UInt8]) {
    var status = stat()
    status.st_mode = mode
    var record = SaveRecord(kind: kind, path: path, status: status)
    record.linkTarget = target
    let strings = RecordStrings(record)
    return (bytes(strings.name.pointer), bytes(strings.link.pointer))
  }

  @Test(
    "The link of a directory ends with a slash, that of a symbolic link is its target, and any other is the name",
    arguments: [
      ("/a/b", .regular, S_IFREG, "/a/b"), ("/a/b", .directory, S_IFDIR, "/a/b/"), ("/", .directory, S_IFDIR, "/"),
      ("/", .directoryUnchanged, S_IFDIR, "/"), ("/a", .directoryNotOpened, S_IFDIR, "/a/"), ("/a", .symbolicLink, S_IFLNK, "target"),
      ("/a", .unknown, 0, "/a"),
    ] as [(VolumePath, SaveRecord.Kind, mode_t, String)])
  func link(_ path: VolumePath, _ kind: SaveRecord.Kind, _ mode: mode_t, _ link: String) {
    let strings = strings(path, kind, mode: mode, target: kind == .symbolicLink ? Array("target".utf8) : [])
    #expect(strings.name == path.bytes && strings.link == Array(link.utf8))
  }

  @Test("Bytes that are not UTF-8 are passed on")
  func raw() {
    let path = VolumePath([0x2f, 0xff, 0x0a, 0x5c])!
    #expect(strings(path, .regular, mode: S_IFREG) == (path.bytes, path.bytes))
  }

  @Test("The path of a record that reports a path as too long is cut, wherever that is")
  func long() {
    for (last, end) in [("/x", "/"), ("x/y", "x"), ("/..x", "/")] {
      let path = VolumePath("/" + String(repeating: "n", count: SourceFailure.longestPath - 1 - end.utf8.count) + last)
      let cut = Array(path.bytes.prefix(SourceFailure.longestPath))
      #expect(path.bytes.count > SourceFailure.longestPath && strings(path, .unknown, mode: 0) == (cut, cut))
    }
  }
}
