/// A list of names and values as bytes. ACLs have this form in the streams of every daemon, and extended attributes have it in Bacula's.
///
/// Each item consists of a big-endian `UInt32` length of the name including its NUL, the name with its NUL, a big-endian `UInt32` length of
/// the value, and the value. Up to three NULs may follow the last item: on restore Bareos hands over one byte more than was backed up.
package enum AttributeStream {
  package struct Item: Equatable, Sendable {
    package var name: [UInt8]
    package var value: [UInt8]

    package init(name: [UInt8], value: [UInt8]) {
      self.name = name
      self.value = value
    }
  }

  /// Describes why a stream is unreadable.
  package struct Malformed: Error, Equatable, CustomStringConvertible {
    package let description: String
  }

  package static func encode(_ items: [Item]) -> [UInt8] {
    var stream: [UInt8] = []
    for item in items {
      stream += bigEndian(item.name.count + 1)
      stream += item.name
      stream.append(0)
      stream += bigEndian(item.value.count)
      stream += item.value
    }
    return stream
  }

  /// Decodes a stream of any origin.
  ///
  /// - Throws: ``Malformed``, if the stream is cut off or a length points past its end.
  package static func decode(_ stream: some Collection<UInt8>) throws(Malformed) -> [Item] {
    var rest = Array(stream)[...]
    func take(_ count: Int, _ what: String) throws(Malformed) -> ArraySlice<UInt8> {
      guard count <= rest.count else {
        throw Malformed(description: "\(what) of \(count) bytes where \(rest.count) bytes are left")
      }
      defer { rest = rest.dropFirst(count) }
      return rest.prefix(count)
    }
    func length(_ what: String) throws(Malformed) -> Int {
      try take(4, what).reduce(0) { $0 << 8 | Int($1) }
    }
    var items: [Item] = []
    // The NULs that the daemons add after the last item are shorter than a length.
    while !(rest.count < 4 && rest.allSatisfy { $0 == 0 }) {
      var name = try take(try length("the length of a name"), "a name")
      guard name.popLast() == 0 else { throw Malformed(description: "a name without its NUL") }
      let value = try take(try length("the length of a value"), "a value")
      items.append(Item(name: Array(name), value: Array(value)))
    }
    return items
  }

  private static func bigEndian(_ value: Int) -> [UInt8] {
    withUnsafeBytes(of: UInt32(value).bigEndian, Array.init)
  }
}
