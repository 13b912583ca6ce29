import Glibc
import GlusterfindList

/// Which bricks a volume had when lists were written: a brick that was removed is asked no more, and what was changed on it before is in no
/// other changelog, because moving a file to another brick is not logged.
///
/// Kept in a file for each volume, `/var/lib/gfapi-fd/bricks-IDENTITY`, a line for each list that was written, oldest first:
///
///     SECONDS changes|everything VERSION ROLLOVER HOST:PATH HOST:PATH …
///
/// with blanks and the like as in a list (``ListFormat``).
struct KnownBricks {
  struct Record: Equatable {
    /// When the list was begun, in seconds since 1970.
    let time: Int
    /// The job has all that was on the volume then, or all that a crawl finds.
    let isEverything: Bool
    /// See ``GlusterVolume/version``; 0: not known.
    let version: Int
    /// Seconds after which a new changelog was begun.
    let rollover: Int
    let bricks: Set<String>
  }

  static let folder = "/var/lib/gfapi-fd"
  /// How long a job may take from its start, which is the next one's since time, until its list is begun, in seconds.
  private static let longestStart = 3600
  /// How long records are kept, in seconds: 400 days.
  private static let longestSince = 400 * 86_400

  private(set) var records: [Record] = []

  init(_ records: [Record] = []) { self.records = records }

  /// Why it is not known that the bricks of now have all changes since a time; nil: they have.
  func doubt(since: Int, bricks: Set<String>) -> String? {
    let after = records.firstIndex { $0.time >= since } ?? records.count
    /// The records from one on are of the bricks of now.
    func isSame(from index: Int) -> Bool { records[index...].allSatisfy { $0.bricks == bricks } }
    if after > 0, isSame(from: after - 1) { return nil }
    // The job of that time has what was there when its list was begun.
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

  /// The longest time for which a brick that ran and logged closed no changelog since a time, in seconds; nil: no option was set since
  /// then, so that logging cannot have been off.
  func longestPause(since: Int, version: Int?, rollover: Int) -> Int? {
    let after = records.firstIndex { $0.time >= since } ?? records.count
    let since = records[max(after - 1, 0)...]
    if let version, !since.isEmpty, since.allSatisfy({ $0.version == version }) { return nil }
    return since.map(\.rollover).reduce(rollover, min) + Self.delay
  }

  /// By how much a brick may be late with closing a changelog, in seconds.
  private static let delay = 3

  mutating func add(_ record: Record) {
    records.append(record)
    records.removeAll { $0.time < record.time - Self.longestSince }
  }

  // MARK: The file

  /// Reads a file. Of one that is not there, or damaged, nothing is known.
  static func read(_ file: String) -> KnownBricks {
    guard let reader = try? LineReader(Array(file.utf8)) else { return KnownBricks() }
    var records: [Record] = []
    while let line = try? reader.next() {
      let words = line.bytes.split(separator: UInt8(ascii: " ")).map { ListFormat().decode($0).map { String(decoding: $0, as: UTF8.self) } }
      guard !line.isCutOff, words.count > 4, !words.contains(nil), let time = words[0].flatMap({ Int($0) }), let kind = words[1],
        ["changes", "everything"].contains(kind), let version = words[2].flatMap({ Int($0) }), let rollover = words[3].flatMap({ Int($0) })
      else { return KnownBricks() }
      records.append(
        Record(
          time: time, isEverything: kind == "everything", version: version, rollover: rollover,
          bricks: Set(words.dropFirst(4).compactMap { $0 })))
    }
    return KnownBricks(records)
  }

  /// - Throws: ``Failure``.
  func write(_ file: String) throws {
    let lines = records.map { record in
      let bricks = record.bricks.sorted().map { String(decoding: ListFormat.encode(Array($0.utf8)), as: UTF8.self) }
      let kind = record.isEverything ? "everything" : "changes"
      return "\(record.time) \(kind) \(record.version) \(record.rollover) \(bricks.joined(separator: " "))\n"
    }
    let folder = String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)])
    if mkdir(folder, 0o700) != 0, errno != EEXIST { throw Failure("cannot make \(folder): \(ListFile.words())") }
    let working = try ListFile.makeFolder(file)
    defer { ListFile.removeFolder(working) }
    try ListFile.make(working + "/new") { try ListWriter.write(Array(lines.joined().utf8), to: $0) }
    guard rename(working + "/new", file) == 0 else { throw Failure("cannot write \(file): \(ListFile.words())") }
  }
}
