import Glibc
import Testing

@testable import GfapiFD

@Suite("Hard links of a Bacula backup")
struct HardLinksTests {
  func record(_ path: String, _ inode: UInt64, names: UInt64, _ kind: SaveRecord.Kind = .regular) -> SaveRecord {
    var status = stat()
    (status.st_ino, status.st_nlink) = (ino_t(inode), nlink_t(names))
    return SaveRecord(kind: kind, path: Array(path.utf8), status: status)
  }

  @Test(
    "are told with the name under which the file was stored, and its number in the job",
    arguments: [.regular, .special, .symbolicLink] as [SaveRecord.Kind])
  func first(_ kind: SaveRecord.Kind) {
    var links = HardLinks()
    let records = ["/a", "/b", "/c"].map { record($0, 7, names: 3, kind) }
    #expect(links.first(of: records[0]) == nil)
    links.remember(records[0], fileIndex: 42)
    for record in records[1...] {
      let first = links.first(of: record)
      #expect(first?.path == Array("/a".utf8) && first?.fileIndex == 42)
    }
    // All names are told: the number of the inode may be another file's from here on.
    #expect(links.first(of: records[1]) == nil)
  }

  @Test("are kept apart by their inodes")
  func inodes() {
    var links = HardLinks()
    links.remember(record("/a", 1, names: 2), fileIndex: 1)
    links.remember(record("/b", 2, names: 2), fileIndex: 2)
    #expect(links.first(of: record("/c", 3, names: 2)) == nil)
    #expect(links.first(of: record("/b2", 2, names: 2))?.fileIndex == 2)
    #expect(links.first(of: record("/a2", 1, names: 2))?.fileIndex == 1)
  }

  @Test(
    "are none of a file with one name, nor of what is no file",
    arguments: [.directory, .directoryNotEntered, .directoryUnchanged, .unknown, .unreadable, .directoryNotOpened] as [SaveRecord.Kind])
  func none(_ kind: SaveRecord.Kind) {
    var links = HardLinks()
    for record in [record("/a", 1, names: 1), record("/b", 2, names: 5, kind)] {
      #expect(!HardLinks.concern(record))
      links.remember(record, fileIndex: 1)
      #expect(links.first(of: record) == nil)
    }
  }
}
