import Programs
import Testing
import TestSupport

@testable import GlusterCommand

@Suite("The command gluster")
struct GlusterCommandTests {
  @Test("The value of an option is read without the note that it is the default")
  func value() throws {
    let output = try Fixtures.gluster("volume-get.xml")
    func value(_ text: String) throws -> String? {
      GlusterCommand.value(try XMLDocument(output.replacing("<Value>2</Value>", with: text)))
    }
    #expect(try value("<Value>2</Value>") == "2")
    #expect(try value("<Value>15 (DEFAULT)</Value>") == "15")
    #expect(try value("<Value/>") == "" && value("<Value></Value>") == "" && value("") == nil)
  }

  @Test(
    "An answer that is not XML is reported with the command and the reason",
    arguments: [
      ("", "Document is empty"), (" \n", "line 2: Start tag expected"), ("Connection failed. Please check", "line 1: Start tag expected"),
      ("<a><b></a>", "line 1: Premature end"), ("<a/><b/>", "Extra content"), ("<a>\n&undefined;</a>", "line 2: Entity"),
      ("<a>\u{1}</a>", "line 1: "), ("<a>\0</a>", "line 1: "),
      // UTF-16, as the bytes look in UTF-8.
      ("\u{fffd}\u{fffd}<\0a\0/\0>\0", "line 1: "),
      ("<!DOCTYPE a [<!ENTITY e \"text\">]><a>&e;</a>", "document type"),
      ("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "document type"),
      ("<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>", "document type"),
    ])
  func bad(_ output: String, _ reason: String) {
    let failure = #expect(throws: GlusterCommand.Failure.self) { try GlusterCommand.answer(output, of: "gluster volume info myvol") }
    let text = failure?.description ?? ""
    #expect(text.hasPrefix("gluster volume info myvol: the answer is not XML: ") && text.contains(reason), "\(text)")
    #expect(!text.contains("\n"))
  }

  @Test("An answer that is cut off anywhere is no XML")
  func cutOff() throws {
    let output = try Array(Fixtures.gluster("volume-info.xml").utf8)
    let end = try #require(output.lastIndex(of: UInt8(ascii: ">")))
    for length in 0..<end {
      #expect(throws: XMLDocument.Failure.self) { try XMLDocument(String(decoding: output[..<length], as: UTF8.self)) }
    }
  }

  @Test("Entities that grow when they are expanded are not expanded")
  func laughs() {
    let entities = (1...20).map { "<!ENTITY e\($0) \"&e\($0 - 1);&e\($0 - 1);&e\($0 - 1);&e\($0 - 1);\">" }.joined()
    #expect(throws: XMLDocument.Failure.self) {
      try XMLDocument("<!DOCTYPE a [<!ENTITY e0 \"ha\">\(entities)]><a>&e20;</a>")
    }
    #expect(throws: XMLDocument.Failure.self) { try XMLDocument(String(repeating: "<a>", count: 100_000)) }
  }
}

@Suite("XML documents")
struct XMLDocumentTests {
  @Test(
    "XML elements are found by their whole name, at each depth and in their order",
    arguments: [
      ("<a>1</a><a>2</a>", ["1", "2"]), ("<ab>1</ab><a>2</a>", ["2"]), ("<a x=\"y\">1</a>", ["1"]), ("<a/><a>1</a>", ["", "1"]),
      ("<a></a>", [""]), ("", []), ("text", []), ("<b><a>1</a></b><a>2</a>", ["1", "2"]), ("<a>1<a>2</a></a>", ["12", "2"]),
      ("<a>&lt;&amp;lt;&gt; &quot;&apos;</a>", ["<&lt;> \"'"]), ("<a>&#252;&#x1f600;</a>", ["ü😀"]), ("<a>ü 😀</a>", ["ü 😀"]),
      ("<a>1<!-- no -->2<?no no?>3</a><!-- <a>4</a> -->", ["123"]), ("<a><![CDATA[<b>&amp;]]></a>", ["<b>&amp;"]),
      ("<a> 1\r\n2 </a>", [" 1\n2 "]),
    ])
  func elements(_ xml: String, _ content: [String]) throws {
    #expect(try XMLDocument("<root>\(xml)</root>").elements("a").map(\.text) == content)
  }

  @Test("The elements of an element are those inside it, and it keeps the document")
  func inside() throws {
    let bricks = try XMLDocument(Fixtures.gluster("volume-info.xml")).elements("brick")
    #expect(bricks.count == 3 && bricks[0].elements("brick").isEmpty)
    #expect(bricks.map { $0.elements("name").map(\.text) }[1] == ["server2.example.com:/bricks/a&b <2>/myvol:2"])
    #expect(try XMLDocument("<a>1</a>").elements("a").map(\.text) == ["1"])
  }

  @Test(
    "The declared encoding of a text is not used, because the text is decoded already",
    arguments: ["UTF-8", "ISO-8859-1", "UTF-16", "nonsense"])
  func encodings(_ name: String) throws {
    #expect(try XMLDocument("<?xml version=\"1.0\" encoding=\"\(name)\"?><a>ü€\u{fffd}</a>").elements("a").map(\.text) == ["ü€\u{fffd}"])
  }

  @Test("Several threads parse documents at the same time")
  func threads() async throws {
    let output = try Fixtures.gluster("volume-info.xml")
    let counts = await withTaskGroup(of: Int.self) { group in
      for number in 0..<64 {
        group.addTask {
          let text = number % 2 == 0 ? output : String(output.dropLast(20))
          return (try? XMLDocument(text))?.elements("brick").count ?? 0
        }
      }
      return await group.reduce(into: 0) { $0 += $1 }
    }
    #expect(counts == 32 * 3)
  }
}

@Suite("Programs that are run again")
struct RepeatTests {
  @Test("A program that times out is run at most three times, and others once", arguments: [(0, 1), (1, 2), (2, 3), (9, 3)])
  func again(_ timeouts: Int, _ calls: Int) async throws {
    var made = 0
    let result = try await retried {
      made += 1
      return ProgramResult(isWell: false, isTimedOut: made <= timeouts, output: "", errors: "")
    }
    #expect(made == calls && result.isTimedOut == (timeouts >= 3))
  }
}
