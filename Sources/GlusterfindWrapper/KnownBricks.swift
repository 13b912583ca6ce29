import Glibc
import GlusterfindList

/// The bricks that a volume had when its lists were written.
///
/// A brick that was removed from the volume is no longer asked. The changes that were made on it before are in no other changelog, because
/// moving a file to another brick is not logged.
///
/// The records of a volume are kept in the file `/var/lib/gfapi-fd/bricks-IDENTITY`, one line for each list that was written, oldest first:
///
///     SECONDS changes|everything VERSION ROLLOVER LIST HOST:PATH HOST:PATH …
///
/// Blanks and other special characters are encoded as in a list (``ListFormat``).
struct KnownBricks {
  struct Record: Equatable {
    /// The time at which the list was begun, in seconds since 1970.
    let time: Int
    /// True if the job has everything that was on the volume then, or everything that a crawl found.
    let isEverything: Bool
    /// See ``GlusterVolume/version``; 0 if unknown.
    let version: Int
    /// Seconds after which a brick began a new changelog.
    let rollover: Int
    /// The path of the list, which stands for the job.
    let list: String
    let bricks: Set<String>
  }

  static let folder = "/var/lib/gfapi-fd"
  /// The longest time from the start of a job until its list is begun, in seconds. The start is the since time of the next job.
  private static let longestStart = 3600
  /// How long records are kept, in seconds: 400 days.
  private static let longestSince = 400 * 86_400

  private(set) var records: [Record] = []

  init(_ records: [Record] = []) { self.records = records }

  /// Returns the reason why the current bricks may not have all changes since a time; nil if they have all.
  func doubt(since: Int, bricks: Set<String>) -> String? {
    let after = records.firstIndex { $0.time >= since } ?? records.count
    /// Returns true if the records from `index` on have the current bricks.
    func isSame(from index: Int) -> Bool { records[index...].allSatisfy { $0.bricks == bricks } }
    if after > 0, isSame(from: after - 1) { return nil }
    // The job that started at `since` has everything that was on the volume when its list was begun.
    if after < records.count, records[after].isEverything, records[after].time <= since + Self.longestStart, isSame(from: after) {
      return nil
    }
    let others = records[max(after - 1, 0)...].map(\.bricks).filter { $0 != bricks }
    guard !others.isEmpty else {
      return "which bricks the volume had at \(since) (seconds since 1970) is not known on this node: it is kept from the first list on"
    }
    let gone = others.reduce(into: Set()) { $0.formUnion($1) }.subtracting(bricks)
    return gone.isEmpty
      ? "the volume has got bricks since \(since) (seconds since 1970)"
      : "the volume has lost bricks since \(since) (seconds since 1970), and what they logged is not known: \(gone.sorted().joined(separator: ", "))"
  }

  /// Returns the time since which a list must have changes, so that it continues the list of an earlier job.
  ///
  /// The daemons set the start of a job, which is the since time of the next one, after the command that makes the job's list. What changes
  /// between the two is not in that list, so the next list begins when that one was begun.
  ///
  /// - Parameters:
  ///   - list: the path of the list.
  ///   - since: a time after the earlier list was made, and before the next one was begun.
  func begin(ofList list: String, before since: Int) -> Int {
    // If the job had another list, or none, no list that may have been its own was begun later.
    let own =
      records.last { $0.list == list && $0.time <= since } ?? records.first { (since - Self.longestStart...since).contains($0.time) }
    return own?.time ?? since
  }

  /// Returns the longest time, in seconds, for which a running brick with logging turned on closed no changelog since a time.
  ///
  /// - Returns: nil if no option was set since then, so that logging cannot have been off.
  func longestPause(since: Int, version: Int?, rollover: Int) -> Int? {
    let after = records.firstIndex { $0.time >= since } ?? records.count
    let since = records[max(after - 1, 0)...]
    if let version, !since.isEmpty, since.allSatisfy({ $0.version == version }) { return nil }
    return since.map(\.rollover).reduce(rollover, min) + Self.delay
  }

  /// How many seconds late a brick may close a changelog.
  private static let delay = 3

  mutating func add(_ record: Record) {
    records.append(record)
    records.removeAll { $0.time < record.time - Self.longestSince }
  }

  // MARK: The file

  /// Reads the records from a file. Returns no records if the file is missing or damaged.
  static func read(_ file: String) -> KnownBricks {
    guard let reader = try? LineReader(Array(file.utf8)) else { return KnownBricks() }
    var records: [Record] = []
    while let line = try? reader.next() {
      let words = line.bytes.split(separator: UInt8(ascii: " ")).map { ListFormat().decode($0).map { String(decoding: $0, as: UTF8.self) } }
      guard !line.isCutOff, words.count > 5, !words.contains(nil), let time = words[0].flatMap({ Int($0) }), let kind = words[1],
        ["changes", "everything"].contains(kind), let version = words[2].flatMap({ Int($0) }), let rollover = words[3].flatMap({ Int($0) }),
        let list = words[4]
      else { return KnownBricks() }
      records.append(
        Record(
          time: time, isEverything: kind == "everything", version: version, rollover: rollover, list: list,
          bricks: Set(words.dropFirst(5).compactMap { $0 })))
    }
    return KnownBricks(records)
  }

  /// Writes the records to a file.
  ///
  /// - Throws: ``Failure`` if the file cannot be written.
  func write(_ file: String) throws {
    let lines = records.map { record in
      let bricks = record.bricks.sorted().map { String(decoding: ListFormat.encode(Array($0.utf8)), as: UTF8.self) }
      let kind = record.isEverything ? "everything" : "changes"
      let list = String(decoding: ListFormat.encode(Array(record.list.utf8)), as: UTF8.self)
      return "\(record.time) \(kind) \(record.version) \(record.rollover) \(list) \(bricks.joined(separator: " "))\n"
    }
    let folder = String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)])
    if mkdir(folder, 0o700) != 0, errno != EEXIST { throw Failure("GFD-110", "cannot make \(folder): \(ListFile.words())") }
    let working = try ListFile.makeFolder(file)
    defer { ListFile.removeFolder(working) }
    try ListFile.make(working + "/new") { try ListWriter.write(Array(lines.joined().utf8), to: $0) }
    guard rename(working + "/new", file) == 0 else { throw Failure("GFD-110", "cannot write \(file): \(ListFile.words())") }
  }
}
