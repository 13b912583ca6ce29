import Programs
import Testing
import TestSupport

@testable import GlusterCommand

@Suite("The command gluster")
struct GlusterCommandTests {
  @Test("The value of an option is read without the note that it is the default")
  func value() throws {
    let output = try Fixtures.gluster("volume-get.xml")
    #expect(GlusterCommand.value(output) == "2")
    #expect(GlusterCommand.value(output.replacing("<Value>2<", with: "<Value>15 (DEFAULT)<")) == "15")
    #expect(GlusterCommand.value("") == nil)
  }

  @Test(
    "XML elements are found by their whole name",
    arguments: [
      ("<a>1</a><a>2</a>", ["1", "2"]), ("<ab>1</ab><a>2</a>", ["2"]), ("<a x=\"y\">1</a>", ["1"]), ("<a/><a>1</a>", ["1"]),
      ("<a></a>", [""]),
      ("<a>1", []), ("<a", []), ("", []), ("<a>&lt;&amp;lt;&gt; &quot;&apos;</a>", ["<&lt;> \"'"]),
    ])
  func elements(_ xml: String, _ content: [String]) { #expect(xml.elements("a") == content) }
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
