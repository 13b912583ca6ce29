import Glibc
import GlusterfindList

/// The changelogs of a brick on this node.
///
/// The files are read directly, as the brick writes them, without libgfchangelog. When a brick that was stopped or killed starts again, it
/// renames the changelog that was open, but at times does not enter it into its list of changelogs (GlusterFS 10.3). The library never
/// reads such a changelog, and it does not read the one that is open now.
///
/// The changelogs have changes that glusterfind (10.3) leaves out:
///
/// - a directory whose mode, owner, times, ACL or extended attributes changed (every brick logs that),
/// - an entry that was moved out of a directory that was then deleted,
/// - a name with a comma, with control characters, or with blanks at its end,
/// - the other names of a file that got or lost a name,
/// - an entry that was moved to another brick.
struct Changelogs {
  /// Thrown if the changelogs do not have all changes since a time. `reason` says why.
  struct Gap: Error, Equatable {
    let reason: String
  }

  let brick: String
  /// The longest time, in seconds, for which a running brick with logging turned on closes no changelog.
  ///
  /// Nil: no option of the volume was set, and the volume was neither stopped nor started. A brick that closed no changelog was then not
  /// running.
  let longestPause: Int?

  /// The directory of the brick's changelogs.
  private var folder: String { brick + "/.glusterfs/changelogs" }

  // MARK: Changelogs on disk

  /// A changelog that the brick has closed.
  ///
  /// `time` is when it was closed, in seconds since 1970 by the clock of the brick's node. The changelog has the changes before that time,
  /// back to the time of the changelog before it.
  struct Closed: Equatable {
    let path: String
    let time: Int
  }

  /// An entry of the brick's list of its changelogs. The brick adds one whenever it closes a changelog.
  struct Entry: Equatable {
    let time: Int
    /// True if the changelog had no records. The brick does not keep such a file.
    let isEmpty: Bool
  }

  /// Returns the time since which the brick logs its changes, in seconds since 1970.
  ///
  /// The brick begins a new list `htime/HTIME.SECONDS` when logging is turned on.
  ///
  /// - Throws: ``Gap`` if the brick does not log.
  func start() throws -> Int {
    let names = try Self.names(in: folder + "/htime")
    guard let start = names.compactMap({ Self.start(inList: $0) }).max() else {
      throw Gap(reason: "the brick \(brick) has no list of changelogs in \(folder)/htime")
    }
    return start
  }

  /// Returns the time at which a list of changelogs begins, from its file name; nil if the name is not that of a list.
  static func start(inList name: some StringProtocol) -> Int? { number(name, after: "HTIME.") }

  private static func names(in folder: String) throws -> [String] {
    guard let directory = opendir(folder) else { throw Failure("GFD-107", "cannot read \(folder): \(String(cString: strerror(errno)))") }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else { break }
      names.append(
        withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } })
    }
    guard errno == 0 else { throw Failure("GFD-107", "cannot read \(folder): \(String(cString: strerror(errno)))") }
    return names.filter { $0 != "." && $0 != ".." }
  }

  private static func number(_ name: some StringProtocol, after prefix: String) -> Int? {
    guard name.hasPrefix(prefix) else { return nil }
    let digits = name.dropFirst(prefix.count)
    return digits.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int(digits) : nil
  }

  /// Returns the brick's list, in its order.
  ///
  /// An entry is `FOLDER/YYYY/MM/DD/CHANGELOG.SECONDS`, or `changelog.SECONDS` for an empty changelog. A zero byte follows each entry.
  /// Bricks of GlusterFS before 9 have no directories for days.
  private func entries(_ start: Int) throws -> [Entry] {
    let reader = try FieldReader("\(folder)/htime/HTIME.\(start)")
    var entries: [Entry] = []
    do {
      while let field = try reader.next() {
        let name = String(decoding: field[(field.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...], as: UTF8.self)
        if let time = Self.number(name, after: "CHANGELOG.") {
          entries.append(Entry(time: time, isEmpty: false))
        } else if let time = Self.number(name, after: "changelog.") {
          entries.append(Entry(time: time, isEmpty: true))
        } else {
          throw Gap(reason: "the list of the changelogs of \(brick) has an unknown entry: \(name.prefix(100))")
        }
      }
    } catch is FieldReader.CutOff {
      // The brick is writing the last entry at this moment.
    }
    return entries
  }

  /// Returns the closed changelogs on disk from a time on, including those that are not in the brick's list.
  private func closed(since: Int) throws -> [Closed] {
    var found: [Closed] = []
    // Directories are named by the day, in UTC. The search includes one day more.
    var (time, day) = (since - 86_400, tm())
    gmtime_r(&time, &day)
    let earliest = [Int(day.tm_year) + 1900, Int(day.tm_mon) + 1, Int(day.tm_mday)]
    func collect(_ folder: String, _ date: [Int]) throws {
      for name in try Self.names(in: folder) {
        if let time = Self.number(name, after: "CHANGELOG.") {
          if time >= since { found.append(Closed(path: "\(folder)/\(name)", time: time)) }
        } else if date.count < 3, let number = Self.number(name, after: "") {
          let date = date + [number]
          if !date.lexicographicallyPrecedes(earliest.prefix(date.count)) { try collect("\(folder)/\(name)", date) }
        }
      }
    }
    try collect(folder, [])
    return found
  }

  // MARK: Changelogs to read

  /// Returns the changelogs that have the changes since a time.
  ///
  /// - Throws: ``Gap`` if they do not have all changes.
  private func files(since: Int, margin: Int) throws -> [Closed] {
    // Read the list first, then the directories. A changelog that is in the list is on disk already, and one that is closed in between
    // is found on disk.
    let entries = try entries(start())
    let history = Self.History(entries, since: since, margin: margin)
    let isOpen = access(folder + "/CHANGELOG", F_OK) == 0
    do {
      return try history.files(
        try closed(since: history.earliest), isOpen: isOpen, longestPause: longestPause, now: time(nil))
    } catch let gap as Gap {
      throw Gap(reason: "\(gap.reason) on the brick \(brick)")
    }
  }

  /// The part of a brick's list that is needed for the changes since a time.
  struct History {
    private let since: Int
    private let margin: Int
    private let wanted: ArraySlice<Entry>
    /// The entry before `wanted`.
    private let before: Entry?

    /// Selects the entries for the changes since a time.
    ///
    /// - Parameters:
    ///   - entries: the brick's list, in its own order. Times may decrease, because a clock may have been set back.
    ///   - since: in seconds since 1970.
    ///   - margin: how many seconds `since` is earlier than the time from which all changes must be known.
    init(_ entries: [Entry], since: Int, margin: Int = 0) {
      self.margin = margin
      let first = entries.firstIndex { $0.time >= since } ?? entries.count
      self.since = since
      wanted = entries[first...]
      before = first > 0 ? entries[first - 1] : nil
    }

    /// The time of the earliest changelog that may be needed, in seconds since 1970.
    var earliest: Int { wanted.reduce(min(since, before?.time ?? since)) { min($0, $1.time) } }

    /// Returns the changelogs to read.
    ///
    /// - Parameters:
    ///   - closed: the closed changelogs on disk, from `earliest` on.
    ///   - isOpen: true if there is a changelog that the brick writes to, or wrote to when it ended.
    ///   - longestPause: see ``Changelogs/longestPause``.
    ///   - now: in seconds since 1970.
    /// - Throws: ``Gap`` if a part of the log is missing.
    func files(_ closed: [Closed], isOpen: Bool, longestPause: Int?, now: Int) throws(Gap) -> [Closed] {
      let onDisk = Set(closed.map(\.time))
      let kept = wanted.filter { !$0.isEmpty }
      let gone = kept.filter { !onDisk.contains($0.time) }
      if let first = gone.first {
        throw Gap(reason: "\(gone.count) changelogs, the first of them of \(first.time) (seconds since 1970), are not there any more")
      }
      // Two changelogs that are closed within the same second have the same name, and the later one replaces the other.
      let first = wanted.reduce(since) { min($0, $1.time) }
      let counts = Dictionary(kept.map { ($0.time, 1) }, uniquingKeysWith: +)
      if let twice = counts.filter({ $0.value > 1 && (first < since || $0.key >= since + margin) }).keys.min() {
        throw Gap(reason: "a changelog of \(twice) (seconds since 1970) was replaced by another of the same second")
      }
      // A running brick with logging turned on closes changelogs again and again, even empty ones.
      if let longestPause {
        let times = (before.map { [$0.time] } ?? []) + wanted.map(\.time) + [now]
        for (time, next) in zip(times, times.dropFirst()) where next - time > longestPause {
          throw Gap(
            reason:
              "nothing was logged between \(time) and \(next) (seconds since 1970), and options were set or the volume stopped meanwhile,")
        }
      } else if !isOpen, let last = wanted.last ?? before, now - last.time > 60 {
        throw Gap(reason: "nothing is logged since \(last.time) (seconds since 1970)")
      }
      return closed.filter { $0.time >= first }.sorted { ($0.time, $0.path) < ($1.time, $1.path) }
    }
  }

  /// Reports the changes since a time.
  ///
  /// - Parameters:
  ///   - since: in seconds since 1970, by the clock of this node.
  ///   - margin: how many seconds `since` is earlier than the time from which all changes must be known.
  ///   - names: finds the names of the entries.
  ///   - tell: called with each change.
  /// - Throws: ``Gap`` if the changelogs do not have all changes, ``Failure`` if a file cannot be read.
  func read(since: Int, margin: Int = 0, into names: inout BrickNames, _ tell: (Change) throws -> Void) throws {
    // Open the current changelog before the search for the closed ones. The brick may close it in the meantime, and it can still be read
    // to its end.
    let path = folder + "/CHANGELOG"
    let open = access(path, F_OK) == 0 ? try ChangelogFile(path, isOpen: true) : nil
    func read(_ file: ChangelogFile) throws {
      while let record = try file.next() {
        for change in try names.changes(record) { try tell(change) }
      }
    }
    for file in try files(since: since, margin: margin) { try read(ChangelogFile(file.path)) }
    if let open { try read(open) }
  }
}
