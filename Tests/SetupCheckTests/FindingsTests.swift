import Foundation
import Testing

@testable import SetupCheck

@Suite("The findings of gfapi-fd check")
struct FindingsTests {
  var findings = Findings()

  @Test("The findings are printed one a line, each followed by its cure, with a total at the end")
  mutating func text() {
    findings.add("server", "server.example.com:24007 answers")
    findings.add(.warning, "module", "is a link", cure: "copy it")
    findings.add(.problem, "a long subject", "is wrong", cure: "make it right")
    #expect(
      findings.text(isColoured: false) == """
        server:      server.example.com:24007 answers
        module:      warning: is a link
                     cure: copy it
        a long subject: problem: is wrong
                     cure: make it right
        problems: 1, warnings: 1

        """)
    #expect(findings.count(.problem) == 1 && findings.count(.warning) == 1 && findings.count(.well) == 1)
  }

  @Test("The findings end with a success line if there is neither a problem nor a warning")
  mutating func well() {
    #expect(findings.text(isColoured: false) == "all is well\n")
    findings.add("server", "answers")
    #expect(findings.text(isColoured: true) == "server:      answers\nall is well\n")
  }

  @Test("Problems are red and warnings yellow on a terminal, and nothing else is coloured")
  mutating func colours() {
    findings.add(.warning, "one", "w", cure: "c")
    findings.add(.problem, "two", "p", cure: "c")
    let text = findings.text(isColoured: true)
    #expect(text.contains("one:         \u{1b}[33mwarning\u{1b}[0m: w\n") && text.contains("two:         \u{1b}[31mproblem\u{1b}[0m: p\n"))
    #expect(text.count { $0 == "\u{1b}" } == 4)
  }

  @Test("The findings are one valid JSON object, whatever their texts contain")
  mutating func json() throws {
    struct Report: Decodable, Equatable {
      struct Finding: Decodable, Equatable {
        let subject: String
        let verdict: String
        let text: String
        let cure: String?
      }
      let problems: Int
      let warnings: Int
      let findings: [Finding]
    }
    func read() throws -> Report { try JSONDecoder().decode(Report.self, from: Data(findings.json.utf8)) }
    #expect(try read() == Report(problems: 0, warnings: 0, findings: []))
    let texts = ["plain", "\"quoted\" \\ back", (0..<32).map { String(Unicode.Scalar($0)) }.joined() + "\u{7f}", "ü 😀 \u{2028}", ""]
    for text in texts { findings.add(.problem, text, text, cure: text) }
    findings.add("server", "answers")
    findings.add(.warning, "module", "is a link", cure: "copy it")
    let report = try read()
    #expect(report.problems == 5 && report.warnings == 1)
    #expect(report.findings.prefix(5) == texts.map { .init(subject: $0, verdict: "problem", text: $0, cure: $0) }[...])
    #expect(report.findings[5] == .init(subject: "server", verdict: "well", text: "answers", cure: nil))
    #expect(findings.json.last == "\n" && findings.json.count { $0 == "\n" } == 1)
  }
}
