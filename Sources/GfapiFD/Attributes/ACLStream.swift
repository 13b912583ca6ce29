import GfapiDefinition

/// The stream that contains the ACLs of one entry, in old and new backups. It is an ``AttributeStream`` of the extended attributes
/// `system.posix_acl_access` and `system.posix_acl_default`, as far as the entry has them, with their raw values.
package enum ACLStream {
  package static let accessName = Array("system.posix_acl_access".utf8)
  package static let defaultName = Array("system.posix_acl_default".utf8)

  /// One ACL: the name of its extended attribute, and its raw value.
  package typealias Item = AttributeStream.Item
  package typealias Malformed = AttributeStream.Malformed

  package static func encode(_ items: [Item]) -> [UInt8] { AttributeStream.encode(items) }

  /// Decodes a stream of any origin.
  ///
  /// - Throws: ``Malformed``, if the stream is cut off, a length points past its end, or a name is not one of an ACL.
  package static func decode(_ stream: some Collection<UInt8>) throws(Malformed) -> [Item] {
    let items = try AttributeStream.decode(stream)
    for item in items where item.name != accessName && item.name != defaultName {
      throw Malformed(description: "\"\(printable(item.name))\" is not the name of an ACL")
    }
    return items
  }
}
