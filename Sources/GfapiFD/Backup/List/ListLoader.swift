import Glibc
import Gluster
import GlusterfindList

/// What a job asks of a list of changes.
package struct ListTerms: Sendable {
  /// The file, absolute path.
  package let file: [UInt8]
  package let format: ListFormat
  /// The job is a full backup.
  package let isFull: Bool
  /// Seconds since 1970 after which changes are wanted; 0: all.
  package let since: Int

  package init(file: [UInt8], format: ListFormat, isFull: Bool, since: Int) {
    self.file = file
    self.format = format
    self.isFull = isFull
    self.since = since
  }
}

/// A list cannot be used. Its words are a fatal job message.
package struct ListFailure: Error, CustomStringConvertible {
  package let description: String
}

/// Reads a list into ``TouchedPaths``, some lines at a time, and judges whether it can be trusted.
final class ListLoader {
  /// How many lines that cannot be read are told one by one.
  private static let tellsProblems = 20

  private let terms: ListTerms
  private let reader: LineReader
  private let base: BaseDirectory
  private let isSharded: Bool
  let touched: TouchedPaths
  private var header: ListHeader?
  private var lines = 0
  private var isEnded = false
  private var lastParent: ArraySlice<UInt8> = []
  private(set) var counts = ListCounts()
  /// Why the volume is to be crawled instead; nil: it is not.
  private(set) var crawlReason: String?

  /// - Parameter isSharded: the volume keeps pieces of files in `/.shard`.
  init(_ terms: ListTerms, base: BaseDirectory, isSharded: Bool) throws {
    self.terms = terms
    self.base = base
    self.isSharded = isSharded
    do {
      reader = try LineReader(terms.file)
    } catch {
      throw ListFailure(
        description: "the list \(printable(terms.file)) cannot be read: \(error): did bareos-glusterfind-wrapper prebackup "
          + "run before this job? Its output says why not")
    }
    touched = try TouchedPaths()
  }

  /// Reads up to so many lines.
  ///
  /// - Returns: what is wrong with lines, in words, and whether the list is at its end.
  func load(lines limit: Int) throws -> (problems: [String], atEnd: Bool) {
    var problems: [String] = []
    for _ in 0..<limit {
      guard let line = try nextLine() else {
        try judge()
        return (problems, true)
      }
      do {
        try take(line)
      } catch let error as Change.Unreadable {
        counts.unreadable += 1
        if counts.unreadable <= Self.tellsProblems {
          problems.append("line \(line.number) of the list is left out: \(error): \(printable(line.bytes.prefix(200)))")
        }
        if counts.unreadable == Self.tellsProblems { problems.append("further lines like this are only counted") }
      }
    }
    return (problems, false)
  }

  private func nextLine() throws -> LineReader.Line? {
    let line: LineReader.Line?
    do { line = try reader.next() } catch { throw failure("cannot be read: \(error)") }
    if let line, line.isCutOff {
      throw failure("is cut off in line \(line.number): what follows is not known; write it again")
    }
    return line
  }

  private func take(_ line: LineReader.Line) throws {
    guard !line.isTooLong else { throw Change.Unreadable("it is longer than \(LineReader.longestLine) bytes") }
    if let directive = ListHeader.directive(line.bytes) { return try take(directive, line.number) }
    lines += 1
    for change in try Change.read(line.bytes, terms.format) { try add(change) }
    counts.changes += 1
  }

  // MARK: Trust

  private func failure(_ text: String) -> ListFailure {
    ListFailure(description: "the list \(printable(terms.file)) \(text)")
  }

  private func take(_ directive: ListHeader.Directive, _ number: Int) throws {
    switch directive {
    case .comment: break
    case .begin(let header):
      self.header = header
      if terms.isFull, !header.isFull {
        throw failure("tells only changes, and this job is a full backup: run the wrapper with -l %l, the level of the job")
      }
      if !header.isFull, header.since > terms.since {
        throw failure(
          "begins at \(header.since), and this job needs what changed since \(terms.since) (seconds since 1970): run the wrapper with -s %m, the job's since time"
        )
      }
      try refuseOld(header.until)
    case .crawl(let reason): crawlReason = reason
    case .end(let count):
      guard count == lines else { throw failure("has \(lines) lines and should have \(count): write it again") }
      isEnded = true
    case .unknown: throw failure("has a line \(number) of another version: the wrapper and the plugin must be of one version")
    }
  }

  /// At the end of the list.
  private func judge() throws {
    if header != nil, !isEnded { throw failure("has no end, and what is missing is not known: write it again") }
    if header == nil { try refuseOld(reader.modified) }
    guard counts.changes == 0, crawlReason == nil else { return }
    if terms.isFull { throw failure("names nothing, and this job is a full backup") }
    counts.isUnexplainedlyEmpty = header == nil
  }

  private func refuseOld(_ made: Int) throws {
    if !terms.isFull, made < terms.since {
      throw failure(
        "was written at \(made), before the time since when this job needs changes, \(terms.since) (seconds since 1970): write it again before each job"
      )
    }
  }

  // MARK: Changes

  private func add(_ change: Change) throws {
    let guess: TouchedPaths.Marks = change.isGuess ? .guess : []
    switch change.kind {
    case .new: try add(change.path, [.listed, .new])
    case .modify: try add(change.path, .listed)
    case .look: try add(change.path, .look)
    case .delete: try add(change.path, .removed)
    case .rename:
      try add(change.path, guess.union(.removed))
      try add(change.newPath!, guess.union([.listed, .new]))
    }
  }

  private func add(_ path: [UInt8], _ marks: TouchedPaths.Marks) throws {
    var marks = marks
    switch Internal(path, isSharded: isSharded) {
    case .ofBricks: return
    case .shard(let gfid): return try touched.addIdentity(gfid, isListed: marks.contains(.listed) || marks.contains(.removed))
    case .identity(let gfid):
      try touched.addIdentity(gfid, isListed: marks.contains(.listed))
      // Unless somebody has a file of such a name there is none.
      marks.insert(.guess)
    case nil: break
    }
    // A directory above the base directory that is new or gone: so is all in it.
    let path = base.isInside(path) ? base.path : path
    guard base.contains(path) else {
      counts.outside += 1
      return
    }
    if marks.contains(.removed) { counts.removed += 1 }
    try touched.add(path, marks)
    let parent = parent(of: path)
    if parent != lastParent, base.contains(parent) {
      lastParent = parent
      try touched.add(Array(parent), .parent)
    }
  }
}

/// What a list holds, in numbers.
package struct ListCounts: Sendable {
  /// Lines that tell a change.
  package var changes = 0
  package var unreadable = 0
  /// Names that are not in the base directory.
  package var outside = 0
  /// Names in it that went away.
  package var removed = 0
  /// Nothing is listed, and nothing tells that this is right.
  package var isUnexplainedlyEmpty = false
}

/// The base directory, and what is in it.
package struct BaseDirectory: Sendable {
  /// Absolute; `/` for the root.
  package let path: [UInt8]

  package init(_ path: [UInt8]) { self.path = path }

  /// The directory that a plugin line names.
  package init(of uri: VolumeURI) { self.init(uri.directory.isEmpty ? [UInt8(ascii: "/")] : uri.directory) }

  /// Whether `other` is this directory or below it, by whole components.
  package func contains(_ other: some Collection<UInt8>) -> Bool {
    if path.count == 1 { return true }
    return other.starts(with: path)
      && (other.count == path.count || other.dropFirst(path.count).first == UInt8(ascii: "/"))
  }

  /// Whether this directory is below `other`.
  func isInside(_ other: [UInt8]) -> Bool { path != other && BaseDirectory(other).contains(path) }
}

/// The directory that a path is in; the root is in itself.
func parent(of path: [UInt8]) -> ArraySlice<UInt8> {
  let slash = path.lastIndex(of: UInt8(ascii: "/")) ?? 0
  return path[..<max(slash, 1)]
}

/// A name that bricks have and clients never see, so that no crawl tells it, or that stands for another.
private enum Internal {
  /// A piece of a file of a sharded volume, `/.shard/GFID.NUMBER`: only the pieces that were written to are listed.
  case shard(of: [UInt8])
  /// What the wrapper has no name for, `/.gfid/GFID`: another brick has it now, or it is gone.
  case identity([UInt8])
  /// Gluster's own.
  case ofBricks

  /// nil: the name is an entry's.
  init?(_ path: [UInt8], isSharded: Bool) {
    let components = path.split(separator: UInt8(ascii: "/"), maxSplits: 2)
    guard let first = components.first.map(Array.init) else { return nil }
    if isSharded, first == Array(".shard".utf8) {
      let gfid = components.count == 2 ? GFID(components[1].prefix { $0 != UInt8(ascii: ".") }) : nil
      self = gfid.map { .shard(of: $0.bytes) } ?? .ofBricks
    } else if first == Array(".gfid".utf8), components.count == 2, let gfid = GFID(components[1]) {
      self = .identity(gfid.bytes)
    } else if first == Array(".glusterfs".utf8) || Self.isAnonymous(first) {
      self = .ofBricks
    } else {
      return nil
    }
  }

  /// Of a replicated volume, for what is deleted while it is healed: `.glusterfs-anonymous-inode-UUID`.
  private static func isAnonymous(_ name: [UInt8]) -> Bool {
    let prefix = Array(".glusterfs-anonymous-inode-".utf8)
    return name.starts(with: prefix) && GFID(name.dropFirst(prefix.count)) != nil
  }
}

/// Gluster's identity of an entry, as text `0123abcd-0123-…` with 32 hexadecimal digits.
struct GFID {
  let bytes: [UInt8]

  init?(_ text: some Collection<UInt8>) {
    let digits = text.filter { $0 != UInt8(ascii: "-") }
    // A sign is no digit, but UInt8's initializer takes one.
    guard text.count == 36, digits.count == 32, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }) else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: 32, by: 2) {
      guard let byte = UInt8(String(decoding: digits[index..<(index + 2)], as: UTF8.self), radix: 16) else { return nil }
      bytes.append(byte)
    }
    self.bytes = bytes
  }
}
