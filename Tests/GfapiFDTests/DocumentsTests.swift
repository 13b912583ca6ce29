import Foundation
import Testing
import TestSupport

@Suite("The documentation")
struct DocumentsTests {
  static func text(_ path: String) throws -> String {
    try String(contentsOf: Fixtures.package.appendingPathComponent(path), encoding: .utf8)
  }

  static func files(below folder: String, _ suffix: String) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: Fixtures.package.appendingPathComponent(folder).path)
      .filter { $0.hasSuffix(suffix) }.map { folder + "/" + $0 }
  }

  static func documents() throws -> [String] { try ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] + files(below: "docs", ".md") }

  /// The text of a configuration resource without its comments.
  func resource(_ text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false)
      .filter { !$0.hasPrefix("#") && !$0.hasPrefix("  #") }
      .map { $0.replacing(/[ ]+# .*$/, with: "") }.filter { !$0.isEmpty }.joined(separator: "\n")
  }

  @Test("docs/virtual-machines.md shows the format of a delta as the code describes it")
  func deltaFormat() throws {
    let lines = try Self.text("Sources/DeltaFormat/DeltaHeader.swift").split(separator: "\n").filter { $0.hasPrefix("///     ") }
    let page = try Self.text("docs/virtual-machines.md")
    #expect(lines.count >= 13)
    for line in lines { #expect(page.contains("\n" + line.dropFirst(8) + "\n"), "\(line)") }
  }

  @Test("The documentation shows each example file as it is, apart from comments")
  func examples() throws {
    let shown = try Self.documents().map { resource(try Self.text($0)) }
    let files = try Self.files(below: "examples", ".conf")
    #expect(files.count >= 9)
    for file in files {
      let example = resource(try Self.text(file))
      #expect(shown.contains { $0.contains(example) }, "\(file): \(example)")
    }
  }

  @Test(
    "The documentation names the known faults and limits of the daemons",
    arguments: [
      ("docs/bareos.md", "| `Exclude Dir Containing` | Bareos ignores it"), ("docs/bareos.md", "| `Size` | Bareos ignores it"),
      ("docs/bareos.md", "| `Check File Changes` | Bareos looks for each file on the disk of the file daemon's host"),
      ("docs/bareos.md", "| `1` or `5` in the option `Accurate` | Bareos reads the file on the disk"),
      ("docs/bareos.md", "`PKI Signatures = yes` without `PKI Encryption` ends the file daemon"),
      ("docs/bareos.md", "A FileSet with `File =` and `Plugin =`: the restore of a full and an incremental job fails"),
      ("docs/bareos.md", "Two hard links to one symbolic link are restored as two symbolic links"),
      ("docs/bareos.md", "`bextract` restores neither ACLs nor extended attributes"),
      ("docs/bareos.md", "A part of a volume on a `dplcompat` device is lost: a restore from it waits for ever"),
      ("docs/bareos.md", "`purge volume action=truncate` on a `dplcompat` device leaves the director with another size"),
      ("docs/bareos.md", "Always Incremental with consolidation, virtual full, copy jobs, verify"),
      ("docs/bacula.md", "A job that is stopped and started again (`stop`, `restart`) loses hard links across the cut"),
      ("docs/bacula.md", "In `Accurate` options leave the checksums (`1`, `5`) out"),
      ("docs/bacula.md", "`Exclude Dir Containing` has no effect"),
    ])
  func faults(_ document: String, _ sentence: String) throws {
    #expect(try Self.text(document).replacing(/\n */, with: " ").contains(sentence))
  }

  @Test("Each test that the documentation names exists")
  func tests() throws {
    let files = try Self.files(below: "Tests", ".swift")
    let sources = try files.map { try Self.text($0) }.joined()
    for document in try Self.documents() {
      for match in try Self.text(document).matches(of: /`([A-Z]\w+Tests)(?:\.(\w+))?`/) {
        #expect(sources.contains("struct \(match.1) ") || files.contains { $0.contains("/\(match.1)/") }, "\(document): \(match.0)")
        if let function = match.2 { #expect(sources.contains("func \(function)("), "\(document): \(match.0)") }
      }
    }
  }

  @Test("Each file and folder that the documentation names exists")
  func paths() throws {
    for document in try Self.documents() {
      for match in try Self.text(document).matches(of: /`((?:Sources|Tests|packaging|fixtures|examples)\/[\w\/.+-]+)`/) {
        let path = Fixtures.package.appendingPathComponent(String(match.1)).path
        #expect(FileManager.default.fileExists(atPath: path), "\(document): \(match.0)")
      }
    }
  }

  @Test("Each link in the documentation leads to an existing file and heading")
  func links() throws {
    for document in try Self.documents() {
      let folder = (document as NSString).deletingLastPathComponent
      for match in try Self.text(document).matches(of: /\]\(([^)#:]*)(?:#([^)]*))?\)/) {
        let target =
          match.1.isEmpty ? document : ((folder as NSString).appendingPathComponent(String(match.1)) as NSString).standardizingPath
        let path = Fixtures.package.appendingPathComponent(target).path
        #expect(FileManager.default.fileExists(atPath: path), "\(document): \(match.0)")
        guard let anchor = match.2 else { continue }
        let headings = try Self.text(target).split(separator: "\n").filter { $0.hasPrefix("#") }.map {
          $0.drop { $0 == "#" || $0 == " " }.lowercased().replacing(/[^\w\- ]/, with: "").replacing(" ", with: "-")
        }
        #expect(headings.contains(String(anchor)), "\(document): \(match.0)")
      }
    }
  }
}
