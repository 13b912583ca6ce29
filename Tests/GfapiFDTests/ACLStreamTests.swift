import Testing

@testable import GfapiAttributes

@Suite("The ACL stream")
struct ACLStreamTests {
  let access = ACLStream.Item(name: ACLStream.accessName, value: Array(1...44))
  let defaults = ACLStream.Item(name: ACLStream.defaultName, value: [2, 0, 0, 0])

  @Test("An ACL stream has the byte format of old backups")
  func format() {
    #expect(
      ACLStream.encode([defaults])
        == [0, 0, 0, 25] + Array("system.posix_acl_default".utf8) + [0] + [0, 0, 0, 4, 2, 0, 0, 0])
  }

  @Test("An ACL stream decodes to the same items, also with the NUL that Bareos appends")
  func roundTrip() throws {
    let stream = ACLStream.encode([access, defaults])
    #expect(try ACLStream.decode(stream) == [access, defaults])
    #expect(try ACLStream.decode(stream + [0]) == [access, defaults])
    #expect(try ACLStream.decode([UInt8]()) == [])
    #expect(try ACLStream.decode([0]) == [])
  }

  @Test("An ACL stream that is cut off is rejected, unless it ends exactly after an item")
  func cut() throws {
    let stream = ACLStream.encode([access, defaults])
    let first = ACLStream.encode([access]).count
    for length in 1..<stream.count where length != first {
      // One to three zero bytes after an item look like padding.
      if (first + 1...first + 3).contains(length) { continue }
      if length <= 3 { continue }
      #expect(throws: ACLStream.Malformed.self, "\(length)") { try ACLStream.decode(stream.prefix(length)) }
    }
  }

  @Test("An ACL stream with a wrong length, without a NUL or with another name is rejected")
  func malformed() {
    for stream: [UInt8] in [
      [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0], [0, 0, 0, 1, 0], [0x7f, 0xff, 0xff, 0xff, 0x73],
      [0, 0, 0, 4, 0x61, 0x62, 0x63, 0x64], ACLStream.encode([.init(name: Array("user.evil".utf8), value: [1])]),
      ACLStream.encode([access]) + [1], Array(repeating: 0, count: 64),
    ] {
      #expect(throws: ACLStream.Malformed.self, "\(stream)") { try ACLStream.decode(stream) }
    }
  }

  @Test("Decoding an ACL stream of random bytes neither crashes nor returns too many items")
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

@Suite("The rules for extended attributes")
struct AttributeRulesTests {
  @Test(
    "Gluster's own extended attributes are not backed up",
    arguments: [
      "trusted.glusterfs.dht", "trusted.glusterfs.mdata", "trusted.afr.vol-client-0", "trusted.gfid", "trusted.gfid2path.1",
      "trusted.pgfid.x", "trusted.ec.size", "trusted.bit-rot.version", "glusterfs.gfid.string", "trusted.gfs.squota.size",
      "trusted.gfs.squota.limit", "trusted.worm_file", "trusted.start_time", "trusted.reten_state",
    ])
  func bookkeeping(_ name: String) {
    #expect(!AttributeRules.includes(Array(name.utf8), aclsTravelAlone: false))
  }

  @Test(
    "Extended attributes of users are backed up",
    arguments: [
      "user.anything", "trusted.ours", "security.selinux", "security.capability", "trusted.gf", "user.trusted.gfid",
    ])
  func backedUp(_ name: String) {
    #expect(AttributeRules.includes(Array(name.utf8), aclsTravelAlone: true))
  }

  @Test("The SELinux attribute is backed up once, under its usual name")
  func selinux() {
    func names(_ listed: String...) -> [String] {
      AttributeRules.ownNames(listed.map { Array($0.utf8) }).map { String(decoding: $0, as: UTF8.self) }
    }
    #expect(names("user.a", "trusted.glusterfs.selinux") == ["user.a", "security.selinux"])
    #expect(names("security.selinux", "trusted.glusterfs.selinux") == ["security.selinux", "trusted.glusterfs.selinux"])
    #expect(names("user.a") == ["user.a"])
  }

  @Test("ACLs are not backed up as extended attributes when the ACL stream holds them")
  func acls() {
    #expect(!AttributeRules.includes(ACLStream.accessName, aclsTravelAlone: true))
    #expect(AttributeRules.includes(ACLStream.accessName, aclsTravelAlone: false))
  }

  @Test("Attributes that xattr.conf marks as skipped are not backed up")
  func configured() {
    #expect(!AttributeRules.includes(Array("user.Beagle.index".utf8), aclsTravelAlone: true))
    #expect(!AttributeRules.includes(Array("security.evm".utf8), aclsTravelAlone: true))
  }
}
