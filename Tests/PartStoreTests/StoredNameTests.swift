import Testing

@testable import PartStore

@Suite("The names of Bareos volumes and parts on a Gluster volume")
struct StoredNameTests {
  func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

  @Test(
    "A stored name equals the original, with characters escaped that a file name must not have",
    arguments: [
      ("Vol-0001", "Vol-0001"), ("Full Backup: May_2026.1", "Full Backup: May_2026.1"), ("-x", "-x"), ("a.b", "a.b"), ("a.", "a."),
      (" ", " "), ("a/b", "a%2Fb"), ("/", "%2F"), (".", "%2E"), ("..", "%2E."), (".a", "%2Ea"), ("a%2Fb", "a%252Fb"), ("%", "%25"),
      ("a\nb", "a%0Ab"), ("\u{7f}", "%7F"), ("é", "é"), ("0000", "0000"),
    ])
  func encoding(_ name: String, _ stored: String) {
    #expect(text(StoredName(name.utf8).stored) == stored)
    #expect(StoredName(stored: Array(stored.utf8))?.name == Array(name.utf8))
  }

  @Test("Names with any two bytes are stored and read back unchanged")
  func everyByte() {
    for first in UInt8.min...UInt8.max {
      for second in UInt8.min...UInt8.max {
        let name = StoredName([first, second])
        #expect(StoredName(stored: name.stored) == name)
        #expect(!name.stored.contains(UInt8(ascii: "/")) && !name.stored.contains(0) && name.stored.first != UInt8(ascii: "."))
      }
    }
  }

  @Test(
    "A file name that the storage program cannot have written is rejected",
    arguments: [
      "", ".", "..", ".glusterfs", ".0000.upload-0123456789abcdef", "%41", "%2f", "%", "a%2", "a%zz", "%+1", "a%2E",
    ])
  func others(_ stored: String) { #expect(StoredName(stored: Array(stored.utf8)) == nil) }
}
