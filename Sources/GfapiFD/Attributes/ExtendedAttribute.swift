/// An extended attribute of an entry, in raw bytes.
package struct ExtendedAttribute: Sendable {
  package let name: [UInt8]
  package let value: [UInt8]

  package init(name: [UInt8], value: [UInt8]) { (self.name, self.value) = (name, value) }
}
