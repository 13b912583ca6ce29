import Locks
import SystemPackage

/// Checks whether all subvolumes of a distributed volume can be reached.
///
/// If a subvolume is unreachable, Gluster (10.3) answers as if the subvolume had never existed:
///
/// - Directory listings leave out the entries on the subvolume.
/// - Calls on these entries do not find them, or find them stale.
/// - Creating an entry that belongs on the subvolume, and setting attributes of a directory, fail with an I/O error or an invalid argument.
///   In a directory that was looked up meanwhile these calls keep failing after the subvolume is back, until the directory is looked up
///   again.
public final class Distribution: Sendable {
  /// The state of the subvolumes, as the distributing translator reports it.
  public struct State: Equatable, Sendable {
    /// Changes whenever a subvolume comes back.
    public let generation: Int
    /// Number of subvolumes.
    public let count: Int
    /// Names of the unreachable subvolumes.
    public let missing: [String]

    /// - Parameter text: lines of `key = value`: `subvolumes[0] = type.name`, `subvolume_status[0] = 1`, `gen = 3` …
    public init(_ text: String) {
      var values: [Substring: Substring] = [:]
      for line in text.split(separator: "\n") {
        let parts = line.split(separator: "=", maxSplits: 1).map { $0.filter { $0 != " " } }
        // Each name comes twice. The first one has its type in front, and is the one that is kept.
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
  /// The virtual file in which the translator describes itself, in the client's current graph.
  private let file: Mutex<Object>
  /// The last state that ``waitUntilWhole()`` returned, and the time since which this state is known. The first state of all has no time.
  private let whole = Mutex<(state: State, since: ContinuousClock.Instant?)?>(nil)

  /// Finds the distributing translator. Returns nil if the volume has none, or if the client does not show it.
  public init?(_ volume: Volume) {
    guard let file = Self.find(volume) else { return nil }
    self.volume = volume
    self.file = Mutex(file)
  }

  /// Waits until all subvolumes can be reached.
  ///
  /// - Returns: the state in which all subvolumes can be reached.
  /// - Throws: ``GlusterError`` that names the subvolume, if it is still unreachable when the time of the volume's ``OutageRetry`` is over.
  public func waitUntilWhole() throws(GlusterError) -> State {
    let state = try volume.retry.run { _ throws(GlusterError) in try check() }
    whole.withLock { whole in
      if whole?.state != state { whole = (state, whole == nil ? nil : .now) }
    }
    return state
  }

  /// The last state that ``waitUntilWhole()`` returned; nil if it has not returned yet.
  public var lastWhole: State? { whole.withLock { $0?.state } }

  /// Returns true if a subvolume came back less than `time` before `instant`, or after `instant`.
  public func hasJustComeBack(_ instant: ContinuousClock.Instant, within time: Duration) -> Bool {
    whole.withLock { whole in whole?.since.map { instant - $0 < time } ?? false }
  }

  /// Returns true if all subvolumes have been reachable since `state` was read.
  public func isWhole(since state: State?) -> Bool { state != nil && (try? check()) == state }

  /// Makes a call, and repeats it if an unreachable subvolume may be the reason why an entry was not found.
  ///
  /// An entry that `call` does not find may be on a subvolume that is unreachable, or that was unreachable during the call. In that case
  /// this function waits for the subvolume and makes the call again.
  ///
  /// - Throws: the error of `call`; ``GlusterError`` that names the subvolume, if the subvolume does not come back.
  public func sure<T>(_ call: () throws(GlusterError) -> T) throws(GlusterError) -> T {
    while true {
      let before = lastWhole
      do { return try call() } catch let error where error.meansMissing && !isWhole(since: before) {
        _ = try waitUntilWhole()
      }
    }
  }

  private static func find(_ volume: Volume) -> Object? {
    let translators = try? volume.translatorDirectories()
    return try? translators?.first { $0.type == "cluster/distribute" }?.object.lookUp("private".utf8).object
  }

  /// Reads the state of the subvolumes. The client answers in this process, without a call on the network.
  ///
  /// - Throws: ``GlusterError``; `ENOTCONN` if a subvolume is unreachable.
  public func check() throws(GlusterError) -> State {
    let state = State(try text())
    if !state.missing.isEmpty {
      throw GlusterError(errno: .socketNotConnected, call: "subvolume \(state.missing.joined(separator: ", "))")
    }
    return state
  }

  /// Setting an option or adding a brick makes a new graph of translators, and the file of the old graph becomes stale. The file is then
  /// looked up in the new graph.
  private func text() throws(GlusterError) -> String {
    do { return try file.withLock { $0 }.virtualText() } catch let error where error.meansMissing {
      guard let found = Self.find(volume) else { throw error }
      file.withLock { $0 = found }
      return try found.virtualText()
    }
  }

  /// Reads the state again. Throws `ENOTCONN` if a subvolume is unreachable, or was unreachable at some time since `before` was read.
  public func check(since before: State) throws(GlusterError) {
    guard try check() == before else {
      throw GlusterError(errno: .socketNotConnected, call: "a subvolume went away and came back")
    }
  }
}

extension Object {
  /// Content of a small file of `/.meta`. Such a file reports no size, so it is read to its end.
  func virtualText() throws(GlusterError) -> String {
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
