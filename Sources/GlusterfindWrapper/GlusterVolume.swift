import Glibc
import GlusterCommand
import GlusterfindList
import Programs

/// A volume, as the command `gluster` describes it.
struct GlusterVolume: Sendable {
  let name: String
  /// The volume's identity. A volume that is made later under the same name has another one.
  let identity: String
  let bricks: [Brick]
  /// The options that glusterfind needs and that are off.
  let missingOptions: [String]
  /// Seconds after which a brick begins a new changelog. glusterfind does not list the changes in the open one.
  let rollover: Int
  /// A counter that glusterd increases whenever an option is set or the volume is started or stopped, but not when a brick or a node ends
  /// and comes back (10.3, 11.1). Nil if unknown.
  let version: Int?
  /// The directory in which the bricks keep their changelogs (`changelog.changelog-dir`); nil if each uses its own `.glusterfs/changelogs`.
  let changelogFolder: String?

  struct Brick: CustomStringConvertible, Sendable {
    let host: String
    let path: String
    /// True if the brick is on this node.
    let isHere: Bool

    var description: String { "\(host):\(path)" }
  }

  init(_ name: String) async throws {
    self.name = name
    let info = try await GlusterCommand.ask("volume", "info", name, "--xml")
    guard info.isWell else {
      throw Failure(
        "GFD-102",
        "gluster volume info \(name): \(info.lines.joined(separator: " ")): is this a node of the volume, and glusterd running?")
    }
    let answer = try GlusterCommand.answer(info.output, of: "gluster volume info \(name)")
    let uuid = try await GlusterCommand.ask("system::", "uuid", "get", "--xml")
    let here =
      uuid.isWell ? try GlusterCommand.answer(uuid.output, of: "gluster system:: uuid get").elements("uuid").first?.text : nil
    bricks = try Self.bricks(of: name, answer, here: here)
    identity = answer.elements("id").first?.text ?? name
    var missing: [String] = []
    for option in ChangelogOptions.names where try await !ChangelogOptions.isOn(GlusterCommand.value(of: option, ofVolume: name)) {
      missing.append(option)
    }
    missingOptions = missing
    rollover = try await Int(GlusterCommand.value(of: "changelog.rollover-time", ofVolume: name)) ?? 15
    version = Self.version(of: name)
    let folder = try await GlusterCommand.value(of: "changelog.changelog-dir", ofVolume: name)
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

  /// Returns the bricks of a started volume.
  ///
  /// - Parameters:
  ///   - info: the answer of `gluster volume info --xml`.
  ///   - here: the identity of this node; nil if unknown.
  /// - Throws: ``Failure`` if there is no such volume, or it is not started.
  static func bricks(of name: String, _ info: XMLDocument, here: String?) throws(Failure) -> [Brick] {
    guard let status = info.elements("statusStr").first?.text else { throw Failure("GFD-103", "there is no volume \(name)") }
    guard status == "Started" else { throw Failure("GFD-103", "the volume \(name) is not started (gluster volume start \(name))") }
    return info.elements("brick").compactMap { brick in
      // Split at the first ":/": an IPv6 address has colons of its own, and a brick's path is absolute.
      guard let name = brick.elements("name").first?.text, let colon = name.firstRange(of: ":/")?.lowerBound else { return nil }
      return Brick(
        host: String(name[..<colon]), path: String(name[name.index(after: colon)...]),
        isHere: here != nil && brick.elements("hostUuid").first?.text == here)
    }
  }

  /// The key with which glusterfind logs in to the other nodes when it is asked by time. glusterfind makes the key when it is first asked.
  private var key: String { "/var/lib/glusterd/glusterfind/default/\(name)/default_\(name)_secret.pem" }

  /// True if the nodes of all bricks can be asked.
  var canAskOtherNodes: Bool { bricks.allSatisfy(\.isHere) || access(key, R_OK) == 0 }

  /// Runs a program on the node of a brick. On another node it is run by ssh with glusterfind's own key, as glusterfind does.
  ///
  /// - Parameters:
  ///   - file: the file that takes standard output; nil: the result has it.
  ///   - seconds: the time limit.
  func run(
    _ program: String, _ arguments: [String], onNodeOf brick: Brick, into file: String? = nil, within seconds: Int
  ) async throws -> ProgramResult {
    if brick.isHere { return try await runProgram(program, arguments, into: file, within: seconds) }
    // Set the time limit on the other node: a program there would go on after ssh has ended.
    let command = ["timeout"] + timeoutArguments(seconds) + [program] + arguments
    return try await runProgram(
      "ssh",
      [
        "-oNumberOfPasswordPrompts=0", "-oStrictHostKeyChecking=no", "-oConnectTimeout=30", "-oLogLevel=ERROR", "-i", key,
        "root@\(brick.host)",
      ] + command.map(Self.quoted),
      into: file)
  }

  /// Quotes a word for the shell of another node.
  static func quoted(_ word: String) -> String { "'" + word.replacing("'", with: "'\\''") + "'" }
}
