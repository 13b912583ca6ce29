import Foundation
import GlusterfindList
import HostFiles
import Testing
import TestSupport

@Suite("The lines of a list of changes")
struct ChangeTests {
  /// Converts a text to bytes; `\xHH` in it stands for one byte.
  static func bytes(_ text: some StringProtocol) -> [UInt8] {
    var result: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let first = rest.popFirst() {
      if first == UInt8(ascii: "\\"), rest.first == UInt8(ascii: "x") {
        result.append(UInt8(String(decoding: rest.dropFirst().prefix(2), as: UTF8.self), radix: 16)!)
        rest = rest.dropFirst(3)
      } else {
        result.append(first)
      }
    }
    return result
  }

  private static func change(_ text: Substring) -> Change {
    let words = text.split(separator: " ")
    return Change(Change.Kind(rawValue: String(words[0]))!, bytes(words[1]), to: words.count > 2 ? bytes(words[2]) : nil)
  }

  @Test("Each line of a list is read as its change, or rejected with the reason", arguments: try Fixtures.rows("list-lines.txt"))
  func lines(_ row: [String]) throws {
    let format = ListFormat(encoding: try #require(ListFormat.Encoding(rawValue: row[1])), separator: Self.bytes(row[2]))
    let line = Self.bytes(row[0])
    if row[3].hasPrefix("!") {
      #expect { try Change.read(line, format) } throws: { "\($0)".contains(row[3].dropFirst()) }
    } else {
      let wanted = row[3].components(separatedBy: " or ").map { Self.change($0[...]) }
      let found = try Change.read(line, format)
      #expect(found.map { Change($0.kind, $0.path, to: $0.newPath) } == wanted)
      #expect(found.allSatisfy { $0.isGuess == (wanted.count > 1) })
    }
  }

  @Test("The lists in fixtures/lists/good can be read", arguments: ["glusterfind-10.3.list", "glusterfind-10.3-full.list", "wrapper.list"])
  func lists(_ name: String) throws {
    let reader = try LineReader(Array(Fixtures.package.appendingPathComponent("fixtures/lists/good/\(name)").path.utf8))
    var changes = 0
    while let line = try reader.next() {
      #expect(!line.isCutOff && !line.isTooLong)
      if ListHeader.directive(line.bytes) == nil { changes += try Change.read(line.bytes, ListFormat()).count }
    }
    #expect(changes > 3)
  }

  @Test("A change that is written as a line is read as the same change")
  func roundTrip() throws {
    let names = [Array("/".utf8), Array("/a b/c%d\ne+f".utf8), [0x2f, 0xff, 0xfe], Array("/ü".utf8)]
    for name in names {
      for change in [Change(.new, name), Change(.delete, name), Change(.rename, name, to: names[0])] {
        #expect(try Change.read(change.line.dropLast(), ListFormat()) == [change])
      }
    }
  }

  @Test("The directives of the wrapper are recognized")
  func directives() {
    let header = ListHeader(isFull: false, since: 17, until: 42)
    #expect(ListHeader.directive(Array(header.line.utf8.dropLast())) == .begin(header))
    #expect(ListHeader.directive(Array("#end 12".utf8)) == .end(lines: 12))
    #expect(ListHeader.directive(Array("#crawl one two".utf8)) == .crawl(reason: "one two"))
    #expect(ListHeader.crawlLine("one\ntwo") == "#crawl one two\n")
    for line in ["#begin 2 level=full since=0 until=0", "#begin 1 level=all since=0 until=0", "#begin", "#end", "#end x"] {
      #expect(ListHeader.directive(Array(line.utf8)) == .unknown, "\(line)")
    }
    #expect(ListHeader.directive(Array("# anything".utf8)) == .comment)
    #expect(ListHeader.directive(Array("NEW #begin".utf8)) == nil)
  }
}

@Suite("Reading a file line by line")
struct LineReaderTests {
  private func lines(_ content: [UInt8]) throws -> [LineReader.Line] {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try Data(content).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let reader = try LineReader(Array(file.path.utf8))
    var found: [LineReader.Line] = []
    while let line = try reader.next() { found.append(line) }
    return found
  }

  @Test("Lines are numbered, and a file that ends within a line is recognized")
  func numbers() throws {
    let found = try lines(Array("a\n\nb".utf8))
    #expect(found.map { String(decoding: $0.bytes, as: UTF8.self) } == ["a", "", "b"])
    #expect(found.map(\.number) == [1, 2, 3])
    #expect(found.map(\.isCutOff) == [false, false, true])
    #expect(try lines([]).isEmpty)
  }

  @Test("A line that is too long is cut at the longest allowed length, and the next one is read")
  func tooLong() throws {
    let found = try lines([UInt8](repeating: 0x61, count: 3 << 20) + Array("\nNEW b\n".utf8))
    #expect(found.map(\.isTooLong) == [true, false])
    #expect(found[0].bytes.count == LineReader.longestLine)
    #expect(found[1].bytes == Array("NEW b".utf8) && found[1].number == 2)
  }

  @Test("Lines that span two read buffers are read whole")
  func pieces() throws {
    let content = (0..<20_000).map { "NEW directory/file-\($0)\n" }.joined()
    let found = try lines(Array(content.utf8))
    #expect(found.count == 20_000 && found.allSatisfy { !$0.isCutOff })
    #expect(found[12_345].bytes == Array("NEW directory/file-12345".utf8))
  }

  @Test("A file that is not a regular file is rejected without waiting for it")
  func others() throws {
    let fifo = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    try #require(mkfifo(fifo, 0o600) == 0)
    defer { unlink(fifo) }
    for path in [fifo, "/dev/null", "/tmp", "/nonexistent"] {
      #expect(throws: LineReader.Failure.self) { try LineReader(Array(path.utf8)) }
    }
  }
}

@Suite("Files of this host that a plugin definition names")
struct HostFileTests {
  /// Opens a file for appending and returns its permissions.
  func opens(_ path: String) throws(HostFile.Failure) -> mode_t {
    let descriptor = try HostFile.open(path.utf8, O_WRONLY | O_APPEND | O_CREAT)
    defer { close(descriptor) }
    var status = stat()
    fstat(descriptor, &status)
    return status.st_mode & 0o7777
  }

  @Test(
    "In a folder that everybody can write to, symbolic links and files of other users are rejected",
    arguments: [0o1777, 0o777, 0o775] as [mode_t])
  func shared(_ mode: mode_t) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    #expect(chmod(folder, mode) == 0)
    #expect(try opens(folder + "/new") == 0o600)
    try FileManager.default.createSymbolicLink(atPath: folder + "/link", withDestinationPath: folder + "/new")
    try FileManager.default.createSymbolicLink(atPath: folder + "/dangling", withDestinationPath: folder + "/nowhere")
    #expect(FileManager.default.createFile(atPath: folder + "/other", contents: Data("NEW file\n".utf8)))
    #expect(chown(folder + "/other", 12_345, 12_345) == 0)
    #expect(mkfifo(folder + "/fifo", 0o600) == 0)
    let isShared = mode & 0o002 != 0
    for (name, words) in [("link", "symbolic link"), ("dangling", "symbolic link"), ("other", "user 12345")] {
      guard isShared else {
        _ = try opens("\(folder)/\(name)")
        continue
      }
      let failure = #expect(throws: HostFile.Failure.self) { try opens("\(folder)/\(name)") }
      #expect(failure?.errno == EPERM && failure?.description.contains(words) == true, "\(name): \(failure as Any)")
      #expect(throws: HostFile.Failure.self) { try LineReader(Array("\(folder)/\(name)".utf8)) }
    }
    #expect(FileManager.default.fileExists(atPath: folder + "/nowhere") == !isShared)
    #expect(throws: HostFile.Failure.self) { try opens(folder + "/fifo") }
    #expect(throws: HostFile.Failure.self) { try opens(folder) }
    #expect(try opens("/dev/null") == 0o666)
  }
}
