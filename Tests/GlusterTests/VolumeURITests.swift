import Gluster
import Testing
import TestSupport

@Suite("The URI of a volume")
struct VolumeURITests {
  @Test("A volume URI is parsed according to its grammar", arguments: try Fixtures.rows("uris-good.txt"))
  func good(_ row: [String]) throws {
    let uri = try VolumeURI(row[0])
    #expect(uri.transport.rawValue == row[1])
    #expect(uri.servers.map { "\($0.host):\($0.port)" }.joined(separator: " ") == row[2])
    #expect(uri.volume == row[3])
    #expect(String(decoding: uri.directory.stem, as: UTF8.self) == row[4])
  }

  @Test("A wrong volume URI is rejected with the part at fault", arguments: try Fixtures.rows("uris-bad.txt"))
  func bad(_ row: [String]) {
    let error = #expect(throws: VolumeURI.ParseError.self) { try VolumeURI(row[0]) }
    #expect(error?.part == row[1])
    #expect(error?.reason.contains(row[2]) == true, "\(error?.reason ?? "")")
  }

  @Test("The directory in a volume URI may contain bytes that are not UTF-8")
  func bytes() throws {
    #expect(try VolumeURI("gluster://h/v/%FF%fe").directory.bytes == [0x2f, 0xff, 0xfe])
    #expect(try VolumeURI(Array("gluster://h/v/".utf8) + [0xe9]).directory.bytes == [0x2f, 0xe9])
  }

  @Test("A volume URI is written with its own directory or another one, and parses again", arguments: try Fixtures.rows("uris-good.txt"))
  func written(_ row: [String]) throws {
    let uri = try VolumeURI(row[0])
    #expect(try VolumeURI(uri.text(directory: uri.directory)) == uri)
    let other = VolumePath(Array("/a :%?".utf8) + [0xff])!
    #expect(try VolumeURI(uri.text(directory: other)).directory == other)
  }

  @Test("The description of a volume URI says where the volume is")
  func description() throws {
    #expect(try VolumeURI("gluster://a:1,b/v/d").description == "tcp a:1, b, volume v, directory /d")
    #expect(try VolumeURI("gluster+unix:///v?socket=/s").description == "unix /s, volume v")
  }
}
