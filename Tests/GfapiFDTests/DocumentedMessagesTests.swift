import Foundation
import Testing
import TestSupport

/// Checks that docs/troubleshooting.md lists every message that a user can see.
///
/// The check does not look at the call that a text is passed to. It takes every string literal with a blank and a word of three letters
/// for a message, except help texts, cures and the ``exceptions``. So a message has at least two words, or one word beside a blank.
@Suite("The messages in docs/troubleshooting.md")
struct DocumentedMessagesTests {
  /// Folders of `Sources` with texts that only developers see.
  static let otherFolders = ["gfapi-fd-bench", "gfapi-fd-fuzz"]

  /// The code before a help text or a cure. The manual pages contain the help texts; a cure is printed together with its message.
  static let otherArguments = ["help:", "abstract:", "discussion:", "ArgumentHelp(", "cure:"]

  /// Texts that are not messages: the file, the text with `…` for each interpolation, and the reason. A text that ends with `*`
  /// stands for all texts that begin like this.
  static let exceptions: [(file: String, text: String, reason: String)] = [
    ("StateDatabase.swift", "PRAGMA *", sql), ("StateDatabase.swift", "CREATE TABLE *", sql),
    ("StateDatabase.swift", "SELECT *", sql), ("StateDatabase.swift", "INSERT *", sql), ("StateDatabase.swift", "UPDATE *", sql),
    ("StateDatabase.swift", "BEGIN IMMEDIATE", sql),
    ("DeltaMemory.swift", "CREATE *", sql), ("DeltaMemory.swift", "SELECT *", sql), ("DeltaMemory.swift", "INSERT *", sql),
    ("DeltaStates.swift", "SELECT *", sql), ("DeltaStates.swift", "INSERT *", sql), ("DeltaStates.swift", "UPDATE *", sql),
    ("DeltaStates.swift", "DELETE *", sql),
    ("DeltaMemory.swift", "UPDATE *", sql), ("DeltaMemory.swift", "DELETE *", sql),
    ("DeltaMemory.swift", "\n      CREATE *", sql), ("DeltaMemory.swift", "\n      SELECT *", sql),
    ("StateDatabase.swift", "PRIMARY KEY *", sql), ("Database.swift", "no memory", "SQLite's own reason when it has none"),
    ("TouchedPaths.swift", "PRAGMA *", sql), ("TouchedPaths.swift", "CREATE TABLE *", sql),
    ("TouchedPaths.swift", "INSERT *", sql), ("TouchedPaths.swift", "SELECT *", sql),
    ("ShardTimes.swift", "size of the file's shards", "the call of an error"),
    ("ShardTimes.swift", "listing of shards", "the call of an error that ends a job which has been cancelled"),
    ("ListHeader.swift", "#begin … level=… since=… until=… ", listFormat), ("ListHeader.swift", "#crawl … ", listFormat),
    ("ListHeader.swift", "#end … ", listFormat),
    ("ConnectionLog.swift", "certificate verify failed", otherProgram),
    ("ConnectionLog.swift", "SETVOLUME on remote-host failed", otherProgram),
    ("ConnectionLog.swift", "Authentication failed", otherProgram),
    ("ConnectionLog.swift", "failed to get the port number for remote subvolume", otherProgram),
    ("Glusterfind.swift", "Traceback (most recent call last)", otherProgram),
    ("Glusterfind.swift", " failed; stdout", otherProgram), ("Glusterfind.swift", "Command query failed", otherProgram),
    ("Glusterfind.swift", "Command pre failed", otherProgram),
    ("Glusterfind.swift", "Historical Changelogs not available", otherProgram),
    ("Glusterfind.swift", "Changelog register failed", otherProgram),
    ("Glusterfind.swift", "No module named 'xattr", otherProgram),
    ("Glusterfind.swift", "Failed to copy public key", otherProgram),
    ("Glusterfind.swift", "Permission denied (publickey", otherProgram),
    ("Glusterfind.swift", "No space left on device", otherProgram),
    ("BareosRelease.swift", "21.1.2 (01 March 2022)", version), ("BareosRelease.swift", "25.0.0 (01 December 2025)", version),
    ("BareosRelease.swift", "26.0.0 (01 December 2026)", version),
    ("JobSnapshot.swift", "taken by gfapi-fd for the job … of the client …", "the description of a snapshot"),
    ("JobSnapshot.swift", "already exists", otherProgram), ("JobSnapshot.swift", "already activated", otherProgram),
    ("JobSnapshot.swift", "does not exist", otherProgram), ("JobSnapshot.swift", "Snapshot command failed", otherProgram),
    ("JobSnapshot.swift", "thin provisioned", otherProgram), ("JobSnapshot.swift", "maximum limit", otherProgram),
    ("JobSnapshot.swift", "Commit failed", otherProgram), ("JobSnapshot.swift", "Snapshots not supported", otherProgram),
    ("JobSnapshot.swift", "onnection failed", otherProgram),
    ("JobSnapshot.swift", "not started", otherProgram), ("JobSnapshot.swift", "gluster volume status", command),
    ("JobSnapshot.swift", "gluster snapshot info volume …", command), ("XML.swift", "no reason", "glusterd gives one"),
    ("Repeat.swift", "Another transaction", otherProgram), ("Repeat.swift", "in progress", otherProgram),
    ("Repeat.swift", "Locking failed on", otherProgram), ("Repeat.swift", "changelog notify failed", otherProgram),
    ("Repeat.swift", "Request timed out", otherProgram),
    ("ChangelogFile.swift", "GlusterFS Changelog | version: v1.2 | encoding : 2", changelog),
    ("ChangelogFile.swift", "GlusterFS Changelog | version: v1.1 | encoding : 2", changelog),
    ("ChangelogFile.swift", "encoding : 1", changelog), ("ChangelogReach.swift", "ls -1 …/htime && du -sk …", command),
    ("GlusterVolume.swift", "gluster system:: uuid get", command), ("ChangelogReach.swift", "gluster volume rebalance … status", command),
    ("GlusterfindNeeds.swift", "import xattr", command),
    ("PluginDefinition.swift", "\n    the form is gfapi:volume=URI*", "the grammar, which docs/reference.md shows"),
    ("BaculaBackup.swift", "\n    # Plugin configuration file\n*", "the questions of Bacula's console"),
    ("EntryPoints.swift", "gfapi-fd maintainers", information),
    ("JobMetrics.swift", "When the last *", metric), ("JobMetrics.swift", "1 if the last job *", metric),
    ("JobMetrics.swift", "How long the last job *", metric), ("JobMetrics.swift", "Entries that the last job *", metric),
    ("JobMetrics.swift", "Bytes of data that *", metric), ("JobMetrics.swift", "# HELP *", metric),
    ("Common.swift", "The plugin line, as in a FileSet, or *", "a help text"),
    ("EntryPoints.swift", "Backup and restore of GlusterFS volumes through libgfapi", information),
    ("PacketDaemon.swift", "I/O function …", errorNumber),
    ("PacketDaemon.swift", "I/O packet without a buffer for … bytes", errorNumber),
    ("PacketDaemon.swift", "no backup is running", errorNumber),
    ("TargetDirectory.swift", "there is a last attempt", "the end of a loop that always returns"),
    ("TargetEntry.swift", "there is a last attempt", "the end of a loop that always returns"),
    ("VolumeURI.swift", " (default port)", uriInWords), ("VolumeURI.swift", ", volume …", uriInWords),
    ("VolumeURI.swift", ", directory …", uriInWords),
    ("Check.swift", "see that the volume is started *", cure),
    (
      "Check.swift", "(49152 and up), that auth.allow admits it, and that the directory exists; *",
      cure
    ),
    ("Check.swift", "here, and /var/lib/glusterd/secure-access as on the servers", cure),
    ("Check.swift", "the bricks' file system must be mounted with ACLs and extended attributes (XFS has both)", cure),
    ("ClientState.swift", "connected = 0 ", otherProgram),
    ("Estimate.swift", "additional hard links", "a row of the table that the command prints"),
    ("Estimate.swift", "symbolic links", "a row of the table that the command prints"),
    ("LogFile.swift", "… E bareos-gluster-storage[…]: … ", "a line in the log"),
    ("Wrapper.swift", "YYYY-MM-DD HH:MM:SS", "its length is counted"),
  ]

  private static let sql = "a command for SQLite"
  private static let listFormat = "a line of the list"
  private static let version = "a version as Bareos tells it"
  private static let changelog = "the first line of a changelog"
  private static let otherProgram = "a sign in the output of another program"
  private static let command = "a command"
  private static let information = "what the plugin tells a daemon about itself"
  private static let metric = "the description of a metric"
  private static let errorNumber = "only the error's number reaches the daemon"
  private static let uriInWords = "a URI in words"
  private static let cure = "a cure"

  static func isText(_ literal: StringLiteral) -> Bool {
    let text = literal.parts.joined(separator: " \u{0} ")
    return literal.parts.contains { $0.contains(" ") } && text.contains(/\p{L}{3}/)
      && !otherArguments.contains { literal.before.hasSuffix($0) }
  }

  private static func isLike(_ text: String, _ exception: String) -> Bool {
    exception.last == "*" ? text.hasPrefix(exception.dropLast()) : text == exception
  }

  /// The parts of a text that contain a word, as the document writes them.
  static func words(of literal: StringLiteral) -> [String] {
    literal.parts.map {
      $0.replacing(/\s+/, with: " ").trimmingCharacters(in: CharacterSet(charactersIn: " :,;()."))
    }.filter { $0.contains(/\p{L}{3}/) }
  }

  /// The code spans of each line of the document, joined with NUL.
  static func codes(in document: String) -> [String] {
    document.split(separator: "\n").map { line in line.matches(of: /`([^`]+)`/).map { String($0.1) }.joined(separator: "\u{0}") }
  }

  /// Returns true if one line of the document has all of these words in its code spans, in this order.
  static func documents(_ codes: [String], _ words: [String]) -> Bool {
    codes.contains { code in
      var rest = code[...]
      for word in words {
        guard let range = rest.firstRange(of: word) else { return false }
        rest = rest[range.upperBound...]
      }
      return true
    }
  }

  /// The message codes that stand before the messages in a line of the document.
  static func messageCodes(in line: some StringProtocol) -> [String] {
    String(line.prefix { $0 != "`" }).matches(of: /GFD-[0-9]{3}/).map { String($0.0) }
  }

  /// The codes of the storage program's exit statuses: 200 plus the status.
  static let exitStatusCodes = (201...206).map { "GFD-\($0)" }

  @Test("docs/troubleshooting.md explains each message under the message's own code")
  func codes() throws {
    let lines = try DocumentsTests.text("docs/troubleshooting.md").split(separator: "\n")
    var used = Set(Self.exitStatusCodes)
    for file in try DocumentsTests.files(below: "Sources", ".swift") {
      for literal in StringLiteral.all(in: try DocumentsTests.text(file)) {
        // The code is either the argument before the text or the beginning of the text.
        let argument = literal.before.suffix(10).wholeMatch(of: /"(GFD-[0-9]{3})",/)
        guard let match = argument?.1 ?? literal.parts[0].prefixMatch(of: /GFD-[0-9]{3}/)?.0 else { continue }
        let code = String(match)
        used.insert(code)
        var words = Self.words(of: literal)
        words = words.map { $0.replacing(#/^GFD-[0-9]{3} ?/#, with: "") }.filter { $0.contains(/\p{L}{3}/) }
        let rows = lines.filter { Self.messageCodes(in: $0).contains(code) }
        let isThere = Self.documents(Self.codes(in: rows.joined(separator: "\n")), words)
        #expect(isThere, "\(file): \(code) \(words.joined(separator: " … "))")
      }
    }
    // One code has one meaning: its rows stand in one table.
    var tables: [String: Set<Int>] = [:]
    var table = 0
    for line in try DocumentsTests.text("docs/troubleshooting.md").split(separator: "\n", omittingEmptySubsequences: false) {
      if !line.hasPrefix("|") { table += 1 }
      for code in Self.messageCodes(in: line) { tables[code, default: []].insert(table) }
    }
    for (code, tables) in tables { #expect(tables.count == 1, "\(code) is in several tables") }
    let explained = Set(lines.flatMap { Self.messageCodes(in: $0) })
    #expect(explained == used, "\(explained.symmetricDifference(used).sorted())")
  }

  static func texts(in source: String) -> [StringLiteral] { StringLiteral.all(in: source).filter(isText) }

  @Test("docs/troubleshooting.md lists each message of the module and of the programs")
  func complete() throws {
    let codes = Self.codes(in: try DocumentsTests.text("docs/troubleshooting.md"))
    var count = 0
    var used = Set<Int>()
    for file in try DocumentsTests.files(below: "Sources", ".swift") {
      guard !Self.otherFolders.contains(where: { file.hasPrefix("Sources/\($0)/") }) else { continue }
      for literal in Self.texts(in: try DocumentsTests.text(file)) {
        let text = literal.parts.joined(separator: "…")
        if let exception = Self.exceptions.firstIndex(where: { file.hasSuffix("/" + $0.file) && Self.isLike(text, $0.text) }) {
          used.insert(exception)
          continue
        }
        count += 1
        let words = Self.words(of: literal).map { $0.replacing(#/^GFD-[0-9]{3} ?/#, with: "") }.filter { !$0.isEmpty }
        let isThere = Self.documents(codes, words)
        #expect(isThere, "\(file): \(words.joined(separator: " … "))")
      }
    }
    #expect(count > 200)
    for (index, exception) in Self.exceptions.enumerated() {
      #expect(used.contains(index), "no such text any more: \(exception.file): \(exception.text)")
    }
  }

  @Test(
    "The check of messages finds a message regardless of the form of the call",
    arguments: [
      (#"daemon.tell(.error, "it is broken")"#, ["it is broken"]),
      ("daemon.tell(\n  .error,\n  \"it is broken\"\n)", ["it is broken"]),
      (#"tell(.error, isOld ? "it is old" : "it is new")"#, ["it is old", "it is new"]),
      (#"static let words = "it is broken""#, ["it is broken"]),
      (#"fail("\(path("a")): is broken")"#, ["\u{0}: is broken"]),
      (#"fail("\(name): refused")"#, ["\u{0}: refused"]),
      (#"fail("it ends" + "\(isOld ? "after all" : "now"), alas")"#, ["it ends", "after all", "\u{0}, alas"]),
      ("fail(\"\"\"\n  it is\n  broken\n  \"\"\")", ["\n  it is\n  broken\n  "]),
      (##"fail(#"it is "broken" \(now)"#)"##, [#"it is "broken" \(now)"#]),
      (#"// "no message at all""# + "\n/* \"none /* at all\" */ */", []),
      (#"@Option(help: "What it does.")"#, []),
      (#"let key = "volume=""#, []),
    ])
  func shapes(source: String, texts: [String]) {
    #expect(Self.texts(in: source).map { $0.parts.joined(separator: "\u{0}") } == texts)
  }
}
