import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import GlusterfindList

/// The list of changes cannot be used.
package struct ListFailure: JobEndingError, CustomStringConvertible {
  package let message: JobMessage
  package var description: String { message.text }
}

/// Reads a list into ``TouchedPaths``, some lines at a time, and checks whether the list can be trusted.
final class ListLoader: @unchecked Sendable {
  // Used by one call at a time.

  /// How many unreadable lines are reported one by one.
  private static let reportedProblems = 20

  private let terms: ListTerms
  private let reader: LineReader
  private let base: VolumePath
  private let isSharded: Bool
  let touched: TouchedPaths
  private var header: ListHeader?
  private var lines = 0
  private var isEnded = false
  private var lastParent: VolumePath?
  private(set) var counts = ListCounts()
  /// True if the list was written as one of everything on the volume.
  var hasEverything: Bool { header?.isFull ?? false }
  /// Why the volume is to be crawled instead; nil if the list is to be used.
  private(set) var crawlReason: String?

  /// - Parameter isSharded: true if the volume keeps shards of files in `/.shard`.
  init(_ terms: ListTerms, base: VolumePath, isSharded: Bool) throws {
    self.terms = terms
    self.base = base
    self.isSharded = isSharded
    do {
      reader = try LineReader(terms.file)
    } catch {
      throw Self.failure(
        terms, "GFD-020",
        "cannot be read: \(error): did bareos-glusterfind-wrapper prebackup run before this job? Its output says why not")
    }
    touched = try TouchedPaths()
  }

  /// Reads up to `limit` lines.
  ///
  /// - Returns: messages about unreadable lines, and true if the list is at its end.
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
        if counts.unreadable <= Self.reportedProblems {
          problems.append("line \(line.number) of the list is left out: \(error): \(printable(line.bytes.prefix(200)))")
        }
        if counts.unreadable == Self.reportedProblems { problems.append("further lines like this are only counted") }
      }
    }
    return (problems, false)
  }

  private func nextLine() throws -> LineReader.Line? {
    let line: LineReader.Line?
    do { line = try reader.next() } catch { throw failure("GFD-021", "cannot be read: \(error)") }
    if let line, line.isCutOff {
      throw failure("GFD-022", "is cut off in line \(line.number): what follows is not known; write it again")
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

  private func failure(_ code: String, _ text: String) -> ListFailure { Self.failure(terms, code, text) }

  private static func failure(_ terms: ListTerms, _ code: String, _ text: String) -> ListFailure {
    ListFailure(message: JobMessage(code, "the list \(printable(terms.file)) \(text)"))
  }

  private func take(_ directive: ListHeader.Directive, _ number: Int) throws {
    switch directive {
    case .comment: break
    case .begin(let header):
      self.header = header
      if terms.isFull, !header.isFull {
        throw failure("GFD-023", "tells only changes, and this job is a full backup: run the wrapper with -l %l, the level of the job")
      }
      if !header.isFull, header.since > terms.since {
        throw failure(
          "GFD-024",
          "begins at \(header.since), and this job needs what changed since \(terms.since) (seconds since 1970): run the wrapper with -s %m, the job's since time"
        )
      }
      try refuseOld(header.until)
    case .crawl(let reason): crawlReason = reason
    case .end(let count):
      guard count == lines else { throw failure("GFD-022", "has \(lines) lines and should have \(count): write it again") }
      isEnded = true
    case .unknown: throw failure("GFD-026", "has a line \(number) of another version: the wrapper and the plugin must be of one version")
    }
  }

  /// Checks the list as a whole, at its end.
  private func judge() throws {
    if header != nil, !isEnded { throw failure("GFD-022", "has no end, and what is missing is not known: write it again") }
    if header == nil { try refuseOld(reader.modified) }
    guard counts.changes == 0, crawlReason == nil else { return }
    if terms.isFull { throw failure("GFD-027", "names nothing, and this job is a full backup") }
    counts.isUnexplainedlyEmpty = header == nil
  }

  private func refuseOld(_ made: Int) throws {
    if !terms.isFull, made < terms.since {
      throw failure(
        "GFD-025",
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

  /// - Parameter name: a path of a ``Change``, which is normalized.
  private func add(_ name: [UInt8], _ marks: TouchedPaths.Marks) throws {
    let path = VolumePath(normalized: name)
    var marks = marks
    switch InternalName(path, isSharded: isSharded) {
    case .ofBricks: return
    case .shard(let gfid): return try touched.addIdentity(gfid, hasChanged: marks.contains(.listed) || marks.contains(.removed))
    case .identity(let gfid):
      try touched.addIdentity(gfid, hasChanged: marks.contains(.listed))
      // A user may have made a file of this name. Otherwise the name does not exist, and that is no error.
      marks.insert(.guess)
    case nil: break
    }
    // If a directory above the base directory is new or deleted, so is everything in it.
    let place = path.contains(base) ? base : path
    guard base.contains(place) else {
      counts.outside += 1
      return
    }
    if marks.contains(.removed) { counts.removed += 1 }
    try touched.add(place, marks)
    let parent = place.parent
    if parent != lastParent, base.contains(parent) {
      lastParent = parent
      try touched.add(parent, .parent)
    }
  }
}

/// The numbers of lines and names in a list.
package struct ListCounts: Sendable {
  /// Lines that contain a change.
  package var changes = 0
  package var unreadable = 0
  /// Names that are not in the base directory.
  package var outside = 0
  /// Names in the base directory that were deleted or renamed.
  package var removed = 0
  /// True if the list contains no change, and nothing confirms that this is right.
  package var isUnexplainedlyEmpty = false
}
