import Glibc
import GlusterCommand
import GlusterfindList
import Programs

/// Runs glusterfind, and decides whether its list can be trusted.
struct Glusterfind {
  /// Thrown if the list may be incomplete. `reason` says why.
  struct Untrusted: Error {
    let reason: String
    /// True if the changelogs do not reach back to the time that was asked for.
    var isTooYoung = false
    /// True if a brick is not running. glusterfind can read changelogs only with the help of the brick's process.
    var isBrickDown = false
  }

  enum Question {
    case everything
    /// Changes since a time in seconds since 1970, either of names only or of all kinds.
    case changes(since: Int, namesOnly: Bool)
  }

  let volume: String
  /// The time limit for one call, in seconds.
  let timeout: Int

  /// Makes glusterfind write a list.
  ///
  /// - Parameters:
  ///   - session: a session of glusterfind. The list then has the changes since the session was moved on, not since the time in `question`.
  ///   - file: the list.
  /// - Throws: ``Untrusted`` if the list may be incomplete, ``Failure`` if glusterfind cannot be run.
  func ask(_ question: Question, session: String? = nil, into file: String) async throws {
    let arguments = arguments(question, session: session, into: file)
    try judge(
      try await retried {
        try await runProgram("glusterfind", arguments, within: timeout)
      })
    var status = stat()
    guard lstat(file, &status) == 0 else { throw Untrusted(reason: "glusterfind wrote no list") }
  }

  func arguments(_ question: Question, session: String?, into file: String) -> [String] {
    var arguments = session.map { ["pre", $0, volume, file, "--regenerate-outfile"] } ?? ["query", volume, file]
    arguments.append("--disable-partial")
    switch question {
    case .everything: arguments.append("--full")
    case .changes(let since, let namesOnly):
      if session == nil { arguments += ["--since-time", "\(since)"] }
      if namesOnly { arguments.append("--only-namespace-changes") }
    }
    return arguments
  }

  /// Checks how a call of glusterfind ended.
  ///
  /// - Throws: ``Untrusted`` if the list may be incomplete.
  func judge(_ result: ProgramResult) throws(Untrusted) {
    if result.isTimedOut {
      throw Untrusted(reason: "glusterfind has not answered within \(timeout) s, three times (--timeout)")
    }
    // glusterfind reports the failure of a node in its output, whatever its exit status is.
    let failures = result.lines.filter { line in Self.signs.contains { line.contains($0) } }
    guard result.isWell, failures.isEmpty else { throw Self.untrusted(result) }
  }

  private static let signs = ["Traceback (most recent call last)", " failed; stdout", "Command query failed", "Command pre failed"]

  private static func untrusted(_ result: ProgramResult) -> Untrusted {
    let lines = result.lines
    func says(_ text: String) -> Bool { lines.contains { $0.contains(text) } }
    if says("Historical Changelogs not available") {
      return Untrusted(reason: "the volume's changelogs do not reach back to that time", isTooYoung: true)
    }
    let known: [(sign: String, cure: String)] = [
      // The text has no closing quote, because quotes at the end of a line are trimmed.
      ("No module named 'xattr", "a node lacks Python's xattr module: install python3-pyxattr there"),
      ("ssh-keygen", "ssh-keygen is missing: install openssh-client"),
      (
        "Failed to copy public key",
        "the folder of glusterfind's keys is missing: mkdir -p /var/lib/glusterd/glusterfind/.keys on every node"
      ),
      ("UnicodeEncodeError", "a name on the volume is not UTF-8, and glusterfind cannot list it"),
      ("UnicodeDecodeError", "a name on the volume is not UTF-8, and glusterfind cannot list it"),
      ("Permission denied (publickey", "glusterfind cannot log in to a node by ssh as root"),
      ("No space left on device", "a disk is full"),
    ]
    let causes = known.filter { says($0.sign) }.map(\.cure)
    let words = lines.filter { $0.contains("Error") || $0.contains("failed") || $0.contains("Failed") }.suffix(3)
    // "Changelog register failed: [Errno 111] gf_changelog_register: Connection refused", or a message that there is no such socket.
    let isBrickDown = causes.isEmpty && says("Changelog register failed")
    return Untrusted(
      reason: (causes.isEmpty ? "" : causes.joined(separator: "; ") + ". ")
        + "glusterfind said: " + (words.isEmpty ? lines.suffix(3) : words).joined(separator: " | "),
      isBrickDown: isBrickDown)
  }

  // MARK: Sessions

  static let sessions = "/var/lib/glusterd/glusterfind"

  /// Returns the time up to which a session has been listed, in seconds since 1970; nil if there is no such session.
  static func time(of session: String, _ volume: String, in sessions: String = Self.sessions) -> Int? {
    guard let reader = try? LineReader(Array("\(sessions)/\(session)/\(volume)/status".utf8)), let line = try? reader.next()
    else { return nil }
    return Int(String(decoding: line.bytes, as: UTF8.self).trimming(\.isWhitespace))
  }

  /// Returns true if a list of the session has been written, but the session has not been moved on.
  static func hasPending(_ session: String, _ volume: String, in sessions: String = Self.sessions) -> Bool {
    access("\(sessions)/\(session)/\(volume)/status.pre", F_OK) == 0
  }

  static func create(_ session: String, _ volume: String) async throws {
    let result = try await runProgram("glusterfind", ["create", session, volume])
    guard result.isWell else { throw untrusted(result) }
  }

  static func post(_ session: String, _ volume: String) async throws {
    let result = try await runProgram("glusterfind", ["post", session, volume])
    guard result.isWell else {
      throw Failure("GFD-111", "the session \(session) cannot be moved on: \(result.lines.suffix(3).joined(separator: " | "))")
    }
  }
}
