import Glibc
import GlusterfindList

/// The changelogs of a brick of this node.
///
/// They are read as the brick writes them, and not by libgfchangelog: what a brick had open when it was stopped or killed is renamed when
/// it starts, and at times not entered into its list of changelogs (GlusterFS 10.3), so that the library never reads it, nor what is open
/// now. They have what glusterfind (10.3) leaves out:
///
/// - a directory whose mode, owner, times, ACL or extended attributes changed (every brick logs that),
/// - what was moved out of a directory that was then deleted,
/// - a name with a comma, with control characters, or with blanks at its end,
/// - the other names of a file that got or lost one,
/// - what was moved to another brick.
struct Changelogs {
  /// The changelogs do not have all changes since a time, and why.
  struct Gap: Error, Equatable {
    let reason: String
  }

  let brick: String
  /// The longest time for which a brick that runs and logs closes no changelog, in seconds; nil: nobody has set an option of the volume,
  /// stopped or started it, so that a brick that closed none was away.
  let longestPause: Int?

  /// The changelogs of this volume.
  private var folder: String { brick + "/.glusterfs/changelogs" }

  // MARK: What there is

  /// A changelog that the brick has closed, and when, in seconds since 1970 by its node's clock: it has what changed before that time and
  /// since the one before it.
  struct Closed: Equatable {
    let path: String
    let time: Int
  }

  /// A line of the brick's list of its changelogs, which has one whenever the brick closes one.
  struct Entry: Equatable {
    let time: Int
    /// Nothing was in it, and it is not kept.
    let isEmpty: Bool
  }

  /// Since when the brick logs, in seconds since 1970: a new list `htime/HTIME.SECONDS` begins when logging is turned on.
  ///
  /// - Throws: ``Gap`` where it does not log.
  func start() throws -> Int {
    let names = try Self.names(in: folder + "/htime")
    guard let start = names.compactMap({ Self.start(inList: $0) }).max() else {
      throw Gap(reason: "the brick \(brick) has no list of changelogs in \(folder)/htime")
    }
    return start
  }

  /// When the list of a name begins; nil: it is none.
  static func start(inList name: some StringProtocol) -> Int? { number(name, after: "HTIME.") }

  private static func names(in folder: String) throws -> [String] {
    guard let directory = opendir(folder) else { throw Failure("cannot read \(folder): \(String(cString: strerror(errno)))") }
    defer { closedir(directory) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(directory) else { break }
      names.append(
        withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } })
    }
    guard errno == 0 else { throw Failure("cannot read \(folder): \(String(cString: strerror(errno)))") }
    return names.filter { $0 != "." && $0 != ".." }
  }

  private static func number(_ name: some StringProtocol, after prefix: String) -> Int? {
    guard name.hasPrefix(prefix) else { return nil }
    let digits = name.dropFirst(prefix.count)
    return digits.utf8.allSatisfy { 0x30...0x39 ~= $0 } ? Int(digits) : nil
  }

  /// The brick's list, in its order: `FOLDER/YYYY/MM/DD/CHANGELOG.SECONDS`, or `changelog.SECONDS` of an empty one, each with a zero byte
  /// after it. Bricks of GlusterFS before 9 have no folders for days.
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
          throw Gap(reason: "the list of the changelogs of \(brick) has an entry that is not known: \(name.prefix(100))")
        }
      }
    } catch is FieldReader.CutOff {
      // The brick is about to write it.
    }
    return entries
  }

  /// The closed changelogs on disk of a time and later, also those that the brick's list does not have.
  private func closed(since: Int) throws -> [Closed] {
    var found: [Closed] = []
    // Folders are named by the day, in UTC; a day more is looked at.
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

  // MARK: What is to be read

  /// The changelogs that have the changes since a time.
  ///
  /// - Throws: ``Gap`` where they do not have all.
  private func files(since: Int, margin: Int) throws -> [Closed] {
    // In this order: what the list has is on disk before, and what is closed meanwhile is in the later answer.
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

  /// The part of a brick's list that a time needs.
  struct History {
    private let since: Int
    private let margin: Int
    private let wanted: ArraySlice<Entry>
    /// The entry before what is wanted.
    private let before: Entry?

    /// - Parameters:
    ///   - entries: the brick's list, in its order: a clock may have been set back.
    ///   - margin: by how much the time is earlier than the one for which all must be known, in seconds.
    init(_ entries: [Entry], since: Int, margin: Int = 0) {
      self.margin = margin
      let first = entries.firstIndex { $0.time >= since } ?? entries.count
      self.since = since
      wanted = entries[first...]
      before = first > 0 ? entries[first - 1] : nil
    }

    /// Of the first changelog that is of interest.
    var earliest: Int { wanted.reduce(min(since, before?.time ?? since)) { min($0, $1.time) } }

    /// The changelogs to be read.
    ///
    /// - Parameters:
    ///   - closed: on disk, since `earliest`.
    ///   - isOpen: there is a changelog that the brick writes to, or wrote to when it ended.
    ///   - longestPause: see ``Changelogs``.
    ///   - now: in seconds since 1970.
    /// - Throws: ``Gap`` where something is missing.
    func files(_ closed: [Closed], isOpen: Bool, longestPause: Int?, now: Int) throws(Gap) -> [Closed] {
      let onDisk = Set(closed.map(\.time))
      let kept = wanted.filter { !$0.isEmpty }
      let gone = kept.filter { !onDisk.contains($0.time) }
      if let first = gone.first {
        throw Gap(reason: "\(gone.count) changelogs, the first of them of \(first.time) (seconds since 1970), are not there any more")
      }
      // Two that are closed in one second have one name: the later one takes the place of the other.
      let first = wanted.reduce(since) { min($0, $1.time) }
      let counts = Dictionary(kept.map { ($0.time, 1) }, uniquingKeysWith: +)
      if let twice = counts.filter({ $0.value > 1 && (first < since || $0.key >= since + margin) }).keys.min() {
        throw Gap(reason: "a changelog of \(twice) (seconds since 1970) was replaced by another of the same second")
      }
      // While a brick runs and logs it closes a changelog again and again, also an empty one.
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

  /// Tells the changes since a time, by the clock of this node.
  ///
  /// - Parameter margin: by how much the time is earlier than the one for which all must be known, in seconds.
  /// - Throws: ``Gap``, ``Failure``.
  func read(since: Int, margin: Int = 0, into names: inout BrickNames, _ tell: (Change) throws -> Void) throws {
    // Before the others are looked for: it may be closed meanwhile, and is read to its end all the same.
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
