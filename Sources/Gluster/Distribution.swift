import Locks
import SystemPackage

/// Tells whether all subvolumes of a distributed volume can be reached.
///
/// Where one cannot, Gluster (10.3) answers as if it had never been there. Directory listings leave out what is on it, and what stands
/// there is not seen, or stale. Making what belongs onto it, or setting attributes of a directory, is an I/O error or an invalid
/// argument, and goes on being one in a directory that was looked up meanwhile, until that is looked up again.
public final class Distribution: Sendable {
  /// What the distributing translator knows of its subvolumes.
  public struct State: Equatable, Sendable {
    /// Changes whenever a subvolume comes back.
    public let generation: Int
    /// How many subvolumes there are.
    public let count: Int
    /// Names of the subvolumes that cannot be reached.
    public let missing: [String]

    /// - Parameter text: lines of `key = value`: `subvolumes[0] = type.name`, `subvolume_status[0] = 1`, `gen = 3` …
    public init(_ text: String) {
      var values: [Substring: Substring] = [:]
      for line in text.split(separator: "\n") {
        let parts = line.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
        // Names come twice, first with their type in front.
        if parts.count == 2, values[parts[0][...]] == nil { values[parts[0][...]] = parts[1][...] }
      }
      generation = values["gen"].flatMap { Int($0) } ?? 0
      let statuses = values.filter { $0.key.hasPrefix("subvolume_status[") }
      count = statuses.count
      missing = statuses.filter { $0.value == "0" }.keys.sorted().map { key in
        let index = key.drop { $0 != "[" }
        let name = values["subvolumes\(index)"] ?? key
        return String(name.split(separator: ".").dropFirst().joined(separator: "."))
      }
    }
  }

  private let volume: Volume
  /// What the translator tells of itself, in the client's present graph.
  private let file: Mutex<Object>
  /// The state in which all subvolumes were there, the last time that it was waited for, and since when that is known; not for the first
  /// state.
  private let whole = Mutex<(state: State, since: ContinuousClock.Instant?)?>(nil)

  /// Finds the translator; nil where the volume has none, or does not tell.
  public init?(_ volume: Volume) {
    guard let file = Self.find(volume) else { return nil }
    self.volume = volume
    self.file = Mutex(file)
  }

  /// Waits until all subvolumes can be reached.
  ///
  /// - Throws: ``GlusterError`` with the subvolume, if the volume's patience is at its end.
  public func waitUntilWhole() throws -> State {
    let state = try volume.patience.run { _ in try check() }
    whole.withLock { whole in
      if whole?.state != state { whole = (state, whole == nil ? nil : .now) }
    }
    return state
  }

  /// The state in which all subvolumes were there, the last time that it was waited for.
  public var lastWhole: State? { whole.withLock { $0?.state } }

  /// Whether a subvolume came back less than a time before `instant`, or after it.
  public func hasJustComeBack(_ instant: ContinuousClock.Instant, within time: Duration) -> Bool {
    whole.withLock { whole in whole?.since.map { instant - $0 < time } ?? false }
  }

  /// Whether all subvolumes have been there since then.
  public func isWhole(since state: State?) -> Bool { state != nil && (try? check()) == state }

  /// Makes a call. What it does not find may be on a subvolume that is away, or was: it waits for that one, and makes the call again.
  ///
  /// - Throws: what `call` does; ``GlusterError`` with the subvolume, if that does not come back.
  public func sure<T>(_ call: () throws -> T) throws -> T {
    while true {
      let before = lastWhole
      do { return try call() } catch let error as GlusterError where error.meansMissing && !isWhole(since: before) {
        _ = try waitUntilWhole()
      }
    }
  }

  private static func find(_ volume: Volume) -> Object? {
    let translators = try? volume.translatorDirectories()
    return try? translators?.first { $0.type == "cluster/distribute" }?.object.lookUp("private".utf8).object
  }

  /// Asks the translator, in this process: no call on the network. Throws `ENOTCONN` if a subvolume cannot be reached.
  public func check() throws -> State {
    let state = State(try text())
    if !state.missing.isEmpty {
      throw GlusterError(errno: .socketNotConnected, call: "subvolume \(state.missing.joined(separator: ", "))")
    }
    return state
  }

  /// An option that is set, or a brick that is added, makes a new graph of translators: the file of the old one is stale then.
  private func text() throws -> String {
    do { return try file.withLock { $0 }.virtualText() } catch let error as GlusterError where error.meansMissing {
      guard let found = Self.find(volume) else { throw error }
      file.withLock { $0 = found }
      return try found.virtualText()
    }
  }

  /// Asks again: throws `ENOTCONN` if a subvolume cannot be reached, or could not meanwhile.
  public func check(since before: State) throws {
    guard try check() == before else {
      throw GlusterError(errno: .socketNotConnected, call: "a subvolume went away and came back")
    }
  }
}

extension Object {
  /// Content of a small file of `/.meta`, which has no size of its own.
  func virtualText() throws -> String {
    let file = try openForReading()
    var text: [UInt8] = []
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 16 << 10, alignment: 1)
    defer { piece.deallocate() }
    while text.count < 1 << 20 {
      let count = try file.read(into: piece, at: text.count)
      if count == 0 { break }
      text += piece[..<count]
    }
    try file.close()
    return String(decoding: text, as: UTF8.self)
  }
}
