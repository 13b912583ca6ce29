import CXML2

/// An XML document, parsed by libxml2.
///
/// Nothing is loaded from the network or from files, and no entities are expanded: a document with a document type is refused.
package final class XMLDocument {
  /// A text is not an XML document. The description is the reason.
  package struct Failure: Error, CustomStringConvertible {
    package let description: String
  }

  /// Must be called before threads use the library.
  private static let isReady: Void = xmlInitParser()

  private let document: xmlDocPtr

  /// - Parameter text: the document. The encoding that it declares is not used, because the text is decoded already.
  /// - Throws: ``Failure``.
  package init(_ text: String) throws(Failure) {
    Self.isReady
    guard let parser = xmlNewParserCtxt() else { throw Failure(description: "no memory") }
    defer { xmlFreeParserCtxt(parser) }
    var text = text
    let options = [XML_PARSE_NONET, XML_PARSE_NOERROR, XML_PARSE_NOWARNING, XML_PARSE_IGNORE_ENC].reduce(0) { $0 | Int32($1.rawValue) }
    let parsed = text.withUTF8 { bytes -> xmlDocPtr? in
      guard let length = Int32(exactly: bytes.count) else { return nil }
      return bytes.withMemoryRebound(to: CChar.self) { xmlCtxtReadMemory(parser, $0.baseAddress, length, nil, "UTF-8", options) }
    }
    guard let parsed else { throw Failure(description: Self.reason(parser)) }
    guard xmlGetIntSubset(parsed) == nil else {
      xmlFreeDoc(parsed)
      throw Failure(description: "it has a document type")
    }
    document = parsed
  }

  deinit { xmlFreeDoc(document) }

  /// The last error of a parser, such as `line 3: Start tag expected, '<' not found`.
  private static func reason(_ parser: xmlParserCtxtPtr) -> String {
    guard let error = xmlCtxtGetLastError(parser), let message = error.pointee.message else { return "it is empty or too long" }
    let words = String(cString: message).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return "line \(error.pointee.line): \(words)"
  }

  /// Returns each element with a name, in the order of the document.
  package func elements(_ name: String) -> [Element] {
    guard let root = xmlDocGetRootElement(document) else { return [] }
    return Element(document: self, node: root).all(name, orSelf: true)
  }

  /// Why `gluster` has refused the command; nil if it has carried the command out. With `--xml` its exit status is 0 in both cases.
  package var refusal: String? {
    elements("opRet").first?.text == "0" ? nil : elements("opErrstr").first?.text ?? "no reason"
  }

  /// An element of a document. It keeps the document.
  package struct Element {
    fileprivate let document: XMLDocument
    fileprivate let node: xmlNodePtr

    /// Returns each element with a name inside this one, in the order of the document.
    package func elements(_ name: String) -> [Element] { all(name, orSelf: false) }

    /// The text of the element and of the elements in it, without comments.
    package var text: String {
      children.map { child in
        switch child.node.pointee.type {
        case XML_TEXT_NODE, XML_CDATA_SECTION_NODE: child.node.pointee.content.map { String(cString: $0) } ?? ""
        case XML_ELEMENT_NODE: child.text
        default: ""
        }
      }.joined()
    }

    // libxml2 refuses a document of more than 256 levels, so this does not recurse deeper.
    fileprivate func all(_ name: String, orSelf isSelf: Bool) -> [Element] {
      guard node.pointee.type == XML_ELEMENT_NODE else { return [] }
      let isNamed = isSelf && node.pointee.name.map { String(cString: $0) } == name
      return (isNamed ? [self] : []) + children.flatMap { $0.all(name, orSelf: true) }
    }

    private var children: [Element] {
      var found: [Element] = []
      var next = node.pointee.children
      while let child = next {
        found.append(Element(document: document, node: child))
        next = child.pointee.next
      }
      return found
    }
  }
}
