import Gluster
import TestSupport
import Testing

@Suite("A volume's URI")
struct VolumeURITests {
  @Test("is taken apart as its grammar says", arguments: try Fixtures.rows("uris-good.txt"))
  func good(_ row: [String]) throws {
    let uri = try VolumeURI(row[0])
    #expect(uri.transport.rawValue == row[1])
    #expect(uri.servers.map { "\($0.host):\($0.port)" }.joined(separator: " ") == row[2])
    #expect(uri.volume == row[3])
    #expect(String(decoding: uri.directory, as: UTF8.self) == row[4])
  }

  @Test("that is wrong is refused with the part at fault", arguments: try Fixtures.rows("uris-bad.txt"))
  func bad(_ row: [String]) {
    let error = #expect(throws: VolumeURI.ParseError.self) { try VolumeURI(row[0]) }
    #expect(error?.part == row[1])
    #expect(error?.reason.contains(row[2]) == true, "\(error?.reason ?? "")")
  }

  @Test("may hold bytes that are not UTF-8 in its directory")
  func bytes() throws {
    #expect(try VolumeURI("gluster://h/v/%FF%fe").directory == [0x2f, 0xff, 0xfe])
    #expect(try VolumeURI(Array("gluster://h/v/".utf8) + [0xe9]).directory == [0x2f, 0xe9])
  }

  @Test("is written with its own directory, or with another", arguments: try Fixtures.rows("uris-good.txt"))
  func written(_ row: [String]) throws {
    let uri = try VolumeURI(row[0])
    #expect(try VolumeURI(uri.text(directory: uri.directory)) == uri)
    #expect(try VolumeURI(uri.text(directory: Array("/a :%?".utf8) + [0xff])).directory == Array("/a :%?".utf8) + [0xff])
  }

  @Test("says in words where the volume is")
  func description() throws {
    #expect(try VolumeURI("gluster://a:1,b/v/d").description == "tcp a:1, b, volume v, directory /d")
    #expect(try VolumeURI("gluster+unix:///v?socket=/s").description == "unix /s, volume v")
  }
}
