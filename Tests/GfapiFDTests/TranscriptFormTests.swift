import Testing
import TestSupport

@Suite("Transcripts in a document")
struct TranscriptFormTests {
  static let document = """
    # Page
    ```sh
    * no transcript
    ```
    ## Restore
    ```
    * restore current select
    …
    cwd is: /
    $ done
    OK to run? (yes/mod/no): yes
    … JobId 4: gfapi: 6 entries restored, 1307 bytes written, in 0.2 s, 81.8 MiB/s, …
      Termination:            Restore OK
    ```
    ```sh
    * no transcript
    ```
    ```
    Plugin = "no transcript"
    ```
    """

  @Test("A transcript has the commands, the answers to questions, and the lines that must be printed")
  func parts() throws {
    let found = Transcript.all(in: Self.document, replacing: [("Termination", "End")])
    #expect(found.count == 1)
    #expect(found[0].heading == "Restore" && found[0].kind == .console)
    #expect(found[0].inputs == ["restore current select", "done", "yes"])
    #expect(
      found[0].expected == ["…", "cwd is: /", "OK to run? (yes/mod/no): ", Self.line, "End:            Restore OK"])
  }

  static let line = "… JobId 4: gfapi: 6 entries restored, 1307 bytes written, in 0.2 s, 81.8 MiB/s, …"

  @Test(
    "A line of a transcript matches any number and any text for an ellipsis, and nothing else",
    arguments: [
      ("27-Nov 10:00 client JobId 12: gfapi: 15 entries restored, 0 bytes written, in 10.5 s, 7 B/s, x\n", true),
      ("JobId 12: gfapi: 15 entries saved, 0 bytes written, in 10.5 s, 7 B/s, x\n", false),
      ("JobId 12: gfapi: 15 entries restored, 0 bytes\nwritten, in 10.5 s, 7 B/s, x\n", false),
    ])
  func matching(output: String, matches: Bool) throws {
    let transcript = try #require(Transcript.all(in: "```\n* wait\n\(Self.line)\n```").first)
    #expect((transcript.missingLine(in: output) == nil) == matches)
  }

  @Test("The lines of a transcript must be printed in their order")
  func order() throws {
    let transcript = try #require(Transcript.all(in: "```\n* wait\none\n…\ntwo\n```").first)
    #expect(transcript.missingLine(in: "one\nand\ntwo\n") == nil)
    #expect(transcript.missingLine(in: "two\none\n") == "two")
  }
}
