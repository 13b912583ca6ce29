import Gluster

/// A path in a test, such as `"/a/b"`.
extension VolumePath: ExpressibleByStringLiteral {
  public init(stringLiteral text: String) { self.init(text) }

  init(_ text: String) { self.init(Array(text.utf8))! }
}
