import Testing

@testable import GfapiFD

@Suite("An ACL stream")
struct ACLStreamTests {
  let access = ACLStream.Item(name: ACLStream.accessName, value: Array(1...44))
  let defaults = ACLStream.Item(name: ACLStream.defaultName, value: [2, 0, 0, 0])

  @Test("has the byte format that old backups have")
  func format() {
    #expect(
      ACLStream.encode([defaults])
        == [0, 0, 0, 25] + Array("system.posix_acl_default".utf8) + [0] + [0, 0, 0, 4, 2, 0, 0, 0])
  }

  @Test("comes back as it was, also with the NUL that Bareos adds")
  func roundTrip() throws {
    let stream = ACLStream.encode([access, defaults])
    #expect(try ACLStream.decode(stream) == [access, defaults])
    #expect(try ACLStream.decode(stream + [0]) == [access, defaults])
    #expect(try ACLStream.decode([UInt8]()) == [])
    #expect(try ACLStream.decode([0]) == [])
  }

  @Test("that is cut off anywhere is malformed, or whole up to there")
  func cut() throws {
    let stream = ACLStream.encode([access, defaults])
    let first = ACLStream.encode([access]).count
    for length in 1..<stream.count where length != first {
      // Up to three zero bytes behind an item cannot be told from padding.
      if (first + 1...first + 3).contains(length) { continue }
      if length <= 3 { continue }
      #expect(throws: ACLStream.Malformed.self, "\(length)") { try ACLStream.decode(stream.prefix(length)) }
    }
  }

  @Test("with lengths past its end, without NUL or with another name is malformed")
  func malformed() {
    for stream: [UInt8] in [
      [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0, 0, 0, 1, 0], [0x7f, 0xff, 0xff, 0xff, 0x73],
      [0, 0, 0, 4, 0x61, 0x62, 0x63, 0x64], ACLStream.encode([.init(name: Array("user.evil".utf8), value: [1])]),
      ACLStream.encode([access]) + [1], Array(repeating: 0, count: 64),
    ] {
      #expect(throws: ACLStream.Malformed.self, "\(stream)") { try ACLStream.decode(stream) }
    }
  }

  @Test("of random bytes never does harm")
  func random() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var stream = ACLStream.encode([access, defaults])
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        stream[Int.random(in: 0..<stream.count, using: &generator)] = .random(in: 0...255, using: &generator)
      }
      stream.removeLast(Int.random(in: 0..<stream.count, using: &generator))
      if let items = try? ACLStream.decode(stream) { #expect(items.count <= 2) }
    }
  }
}

@Suite("Extended attributes")
struct AttributeRulesTests {
  @Test(
    "of Gluster's own bookkeeping are not carried",
    arguments: [
      "trusted.glusterfs.dht", "trusted.glusterfs.mdata", "trusted.afr.vol-client-0", "trusted.gfid", "trusted.gfid2path.1",
      "trusted.pgfid.x", "trusted.ec.size", "trusted.bit-rot.version", "glusterfs.gfid.string", "trusted.gfs.squota.size",
      "trusted.gfs.squota.limit", "trusted.worm_file", "trusted.start_time", "trusted.reten_state",
    ])
  func bookkeeping(_ name: String) {
    #expect(!AttributeRules.carries(Array(name.utf8), aclsTravelAlone: false))
  }

  @Test(
    "of users are carried",
    arguments: [
      "user.anything", "trusted.ours", "security.selinux", "security.capability", "trusted.gf", "user.trusted.gfid",
    ])
  func carried(_ name: String) {
    #expect(AttributeRules.carries(Array(name.utf8), aclsTravelAlone: true))
  }

  @Test("of SELinux has its usual name, once")
  func selinux() {
    func names(_ listed: String...) -> [String] {
      AttributeRules.ownNames(listed.map { Array($0.utf8) }).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(names("user.a", "trusted.glusterfs.selinux") == ["user.a", "security.selinux"])
    #expect(names("security.selinux", "trusted.glusterfs.selinux") == ["security.selinux", "trusted.glusterfs.selinux"])
    #expect(names("user.a") == ["user.a"])
  }

  @Test("that are ACLs travel once")
  func acls() {
    #expect(!AttributeRules.carries(ACLStream.accessName, aclsTravelAlone: true))
    #expect(AttributeRules.carries(ACLStream.accessName, aclsTravelAlone: false))
  }

  @Test("that xattr.conf says to skip are not carried")
  func configured() {
    #expect(!AttributeRules.carries(Array("user.Beagle.index".utf8), aclsTravelAlone: true))
    #expect(!AttributeRules.carries(Array("security.evm".utf8), aclsTravelAlone: true))
  }
}
