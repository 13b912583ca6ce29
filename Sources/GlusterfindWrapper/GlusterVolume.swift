import Glibc
import GlusterfindList

/// What `gluster` tells of a volume.
struct GlusterVolume: Sendable {
  let name: String
  /// Its identity, which a volume of the same name made later does not have.
  let identity: String
  let bricks: [Brick]
  /// What glusterfind needs of the volume and is not turned on.
  let missingOptions: [String]
  /// Seconds after which a new changelog is begun: what is in the open one is not listed.
  let rollover: Int
  /// glusterd counts here whenever an option is set or the volume is started or stopped, and not when a brick or a node ends and comes back
  /// (10.3, 11.1); nil: not known.
  let version: Int?
  /// Where the bricks keep their changelogs, if not in their own `.glusterfs/changelogs` (`changelog.changelog-dir`).
  let changelogFolder: String?

  struct Brick: CustomStringConvertible, Sendable {
    let host: String
    let path: String
    /// On this node.
    let isHere: Bool

    var description: String { "\(host):\(path)" }
  }

  init(_ name: String) async throws {
    self.name = name
    let info = try await Self.ask("volume", "info", name, "--xml")
    guard info.isWell else {
      throw Failure(
        "gluster volume info \(name): \(info.lines.joined(separator: " ")): is this a node of the volume, and glusterd running?")
    }
    let here = try await Self.ask("system::", "uuid", "get", "--xml").output.elements("uuid").first
    bricks = try Self.bricks(of: name, info.output, here: here)
    identity = info.output.elements("id").first ?? name
    var missing: [String] = []
    for option in ChangelogOptions.names where try await !ChangelogOptions.isOn(Self.value(of: option, name)) { missing.append(option) }
    missingOptions = missing
    rollover = try await Int(Self.value(of: "changelog.rollover-time", name)) ?? 15
    version = Self.version(of: name)
    let folder = try await Self.value(of: "changelog.changelog-dir", name)
    changelogFolder = folder.contains("{{") || folder.hasPrefix("(") ? nil : folder
  }

  private static func version(of name: String) -> Int? {
    guard let reader = try? LineReader(Array("/var/lib/glusterd/vols/\(name)/info".utf8)) else { return nil }
    while let line = try? reader.next() {
      let text = String(decoding: line.bytes, as: UTF8.self)
      if text.hasPrefix("version=") { return Int(text.dropFirst("version=".count)) }
    }
    return nil
  }

  /// Asks glusterd, again where it is busy.
  static func ask(_ arguments: String...) async throws -> ProgramResult {
    try await retried { try await runProgram("gluster", arguments) }
  }

  /// The bricks of a started volume.
  ///
  /// - Parameters:
  ///   - info: what `gluster volume info --xml` prints.
  ///   - here: the identity of this node; nil: not known.
  static func bricks(of name: String, _ info: String, here: String?) throws(Failure) -> [Brick] {
    guard let status = info.elements("statusStr").first else { throw Failure("there is no volume \(name)") }
    guard status == "Started" else { throw Failure("the volume \(name) is not started (gluster volume start \(name))") }
    return info.elements("brick").compactMap { brick in
      // An IPv6 address has colons of its own; a brick's path is absolute.
      guard let name = brick.elements("name").first, let colon = name.firstRange(of: ":/")?.lowerBound else { return nil }
      return Brick(
        host: String(name[..<colon]), path: String(name[name.index(after: colon)...]),
        isHere: here != nil && brick.elements("hostUuid").first == here)
    }
  }

  /// The value of an option, without the remark that it is the default.
  private static func value(of option: String, _ name: String) async throws -> String {
    let result = try await ask("volume", "get", name, option, "--xml")
    guard result.isWell, let value = value(result.output) else {
      throw Failure("gluster volume get \(name) \(option): \(result.lines.joined(separator: " "))")
    }
    return value
  }

  /// - Parameter output: what `gluster volume get --xml` prints.
  static func value(_ output: String) -> String? { output.elements("Value").first.map { String($0.prefix { $0 != " " }) } }

  /// The key with which glusterfind logs in to the other nodes when it is asked by time. It is made when it is first asked.
  private var key: String { "/var/lib/glusterd/glusterfind/default/\(name)/default_\(name)_secret.pem" }

  /// Whether other nodes can be asked.
  var canAskOtherNodes: Bool { bricks.allSatisfy(\.isHere) || access(key, R_OK) == 0 }

  /// Runs a program on the node of a brick: on another node by ssh with glusterfind's own key, as glusterfind does.
  func run(
    _ program: String, _ arguments: [String], onNodeOf brick: Brick, into file: String? = nil, within seconds: Int
  ) async throws -> ProgramResult {
    if brick.isHere { return try await runProgram(program, arguments, into: file, within: seconds) }
    // There as well: what is left behind when ssh ends would go on.
    let command = ["timeout"] + timeoutArguments(seconds) + [program] + arguments
    return try await runProgram(
      "ssh",
      [
        "-oNumberOfPasswordPrompts=0", "-oStrictHostKeyChecking=no", "-oConnectTimeout=30", "-oLogLevel=ERROR", "-i", key,
        "root@\(brick.host)",
      ] + command.map(Self.quoted),
      into: file)
  }

  /// A word as the shell of another node takes it.
  static func quoted(_ word: String) -> String { "'" + word.replacing("'", with: "'\\''") + "'" }
}

extension String {
  /// The content of the elements of a name, from XML without attributes, as `gluster --xml` writes the ones that are used here.
  func elements(_ name: String) -> [String] {
    var found: [String] = []
    var rest = self[...]
    while let start = rest.firstRange(of: "<\(name)") {
      rest = rest[start.upperBound...]
      // Not a longer name.
      guard let end = rest.first, end == ">" || end == " ", let open = rest.firstIndex(of: ">") else { continue }
      guard let close = rest.firstRange(of: "</\(name)>") else { break }
      found.append(Self.unescaped(rest[rest.index(after: open)..<close.lowerBound]))
      rest = rest[close.upperBound...]
    }
    return found
  }

  /// A text without XML's escapes. The ampersand comes last: what it stands before is no escape.
  private static func unescaped(_ text: Substring) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")].reduce(String(text)) {
      $0.replacing($1.0, with: $1.1)
    }
  }
}
