import Glibc
import Gluster
import Testing

@testable import GfapiBacula
@testable import GfapiJob

@Suite("Hard links in a Bacula backup")
struct HardLinksTests {
  func record(_ path: String, _ inode: UInt64, names: UInt64, _ kind: SaveRecord.Kind = .regular) -> SaveRecord {
    var status = stat()
    (status.st_ino, status.st_nlink) = (ino_t(inode), nlink_t(names))
    return SaveRecord(kind: kind, path: VolumePath(path), status: status)
  }

  @Test(
    "An additional hard link is stored with the first name of its file and that name's number in the job",
    arguments: [.regular, .special, .symbolicLink] as [SaveRecord.Kind])
  func first(_ kind: SaveRecord.Kind) {
    var links = HardLinks()
    let records = ["/a", "/b", "/c"].map { record($0, 7, names: 3, kind) }
    #expect(links.first(of: records[0]) == nil)
    links.remember(records[0], fileIndex: 42)
    for record in records[1...] {
      let first = links.first(of: record)
      #expect(first?.path == "/a" && first?.fileIndex == 42)
    }
    // All names have been seen: from here on the inode number may belong to another file.
    #expect(links.first(of: records[1]) == nil)
  }

  @Test("Hard links of different files are kept apart by their inode numbers")
  func inodes() {
    var links = HardLinks()
    links.remember(record("/a", 1, names: 2), fileIndex: 1)
    links.remember(record("/b", 2, names: 2), fileIndex: 2)
    #expect(links.first(of: record("/c", 3, names: 2)) == nil)
    #expect(links.first(of: record("/b2", 2, names: 2))?.fileIndex == 2)
    #expect(links.first(of: record("/a2", 1, names: 2))?.fileIndex == 1)
  }

  @Test(
    "Files with one name, directories and unreadable entries are not treated as hard links",
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
