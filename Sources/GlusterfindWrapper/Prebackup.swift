import Glibc
import GlusterCommand
import GlusterfindList

/// Writes the list before a job.
struct Prebackup: Sendable {
  let volume: String
  let level: Wrapper.Level
  /// The time since which changes are wanted, in seconds since 1970. 0: everything is wanted; nil: the time is unknown.
  let since: Int?
  let session: String?
  let isStrict: Bool
  let trustsGlusterfind: Bool
  /// True if the bricks are not scanned for the changes that they do not log.
  let trustsChangelogs: Bool
  /// The time limit for one call of glusterfind, in seconds.
  let timeout: Int
  let list: ListFile
  /// The snapshot that the job reads.
  var snapshot = JobMoment(nil)
  /// The directory with the records of the bricks that volumes had (``KnownBricks``).
  var knownBricks = KnownBricks.folder

  /// The difference that is allowed between the clocks of two hosts, in seconds.
  static let margin = 5

  /// The content of the list.
  enum Wanted: Equatable {
    /// Everything on the volume, with the reason why not only changes are listed; nil for a full backup.
    case everything(String?)
    /// The changes since a time in seconds since 1970. With a session, the time is when the session was moved on.
    case changes(since: Int, session: String? = nil)

    var isEverything: Bool { if case .everything = self { true } else { false } }

    func header(_ now: Int) -> ListHeader {
      switch self {
      case .everything: ListHeader(isFull: true, since: 0, until: now)
      case .changes(let since, _): ListHeader(isFull: false, since: since, until: now)
      }
    }
  }

  /// Writes the list, and has the snapshot taken.
  ///
  /// No change is missed, whenever it is made. The snapshot is taken before the bricks are asked for their changes, so that the list has
  /// all changes that the snapshot has. Changes after the snapshot are in the next job's list: that begins when this job began or, with a
  /// session, when glusterfind was asked, which is before the snapshot.
  func run() async throws {
    // Remove the list of an earlier job first: an outdated list is worse than none.
    try list.remove()
    let folder = try ListFile.makeFolder(list.path)
    defer { ListFile.removeFolder(folder) }
    let now = time(nil)
    var wanted = wanted(sessionTime: session.flatMap { Glusterfind.time(of: $0, self.volume) }, now: now)
    let volume = try await GlusterVolume(self.volume)
    let known = KnownBricks.read(recordsFile(volume))
    if case .changes(let since, let session) = wanted {
      // glusterfind sets a session to the moment when it was asked, less the time after which a brick begins a new changelog.
      let last = session == nil ? since : since + volume.rollover
      wanted = .changes(since: min(known.begin(ofList: list.path, before: last), since), session: session)
    }
    do {
      let parts: [String]
      do {
        parts = try await ask(for: wanted, volume, known, in: folder)
      } catch let error as Glusterfind.Untrusted where error.isTooYoung {
        wanted = .everything(error.reason)
        parts = try await ask(for: wanted, volume, known, in: folder)
      }
      let lines = try write(parts, wanted.header(now), in: folder)
      if case .everything(let reason) = wanted {
        if let reason { print("everything is listed: \(reason)") }
        print("\(lines) names listed in \(list.path)")
      } else {
        print("\(lines) changes since \(wanted.header(now).since) (seconds since 1970) listed in \(list.path)")
      }
    } catch let error as Glusterfind.Untrusted {
      guard !isStrict else { throw Failure("GFD-101", "no complete list can be made: \(error.reason)") }
      wanted = .everything(error.reason)
      try list.write(in: folder, wanted.header(now)) { try $0.directive(ListHeader.crawlLine(error.reason)) }
      complain(
        "GFD-101",
        "WARNING: no complete list can be made, and the volume \(volume.name) is crawled instead, which takes longer: \(error.reason)"
      )
    }
    try await snapshot.reach()
    remember(volume, isEverything: wanted.isEverything, now)
  }

  private func recordsFile(_ volume: GlusterVolume) -> String { "\(knownBricks)/bricks-\(volume.identity)" }

  /// Records which bricks the volume has now.
  private func remember(_ volume: GlusterVolume, isEverything: Bool, _ now: Int) {
    // Another job may have added a record meanwhile.
    let file = recordsFile(volume)
    var known = KnownBricks.read(file)
    known.add(
      KnownBricks.Record(
        time: now, isEverything: isEverything, version: volume.version ?? 0, rollover: volume.rollover, list: list.path,
        bricks: Set(volume.bricks.map(\.description))))
    do { try known.write(file) } catch {
      complain("GFD-104", "WARNING: the names of the bricks cannot be saved, and the next list has every entry: \(error)")
    }
  }

  /// Decides what the list contains.
  ///
  /// - Parameter sessionTime: the time up to which the session has been listed; nil if there is no session.
  func wanted(sessionTime: Int?, now: Int) -> Wanted {
    if level == .full { return .everything(nil) }
    // A session moves on with each job, so it cannot list the changes since the time that a differential backup needs.
    if level == .incremental, let session, let time = sessionTime, time <= since ?? .max, since != 0 {
      return .changes(since: time, session: session)
    }
    switch since {
    case nil: return .everything("the start time of the list is not known (-s, or --session for an incremental backup)")
    case 0: return .everything("the start time of the list is 0")
    case let since? where since > now + Self.margin:
      return .everything("the start time of the list, \(since), is later than now, \(now) (seconds since 1970)")
    case let since?: return .changes(since: since)
    }
  }

  // MARK: glusterfind

  /// Collects the parts of the list. Returns the files that were written.
  private func ask(for wanted: Wanted, _ volume: GlusterVolume, _ known: KnownBricks, in folder: String) async throws -> [String] {
    switch wanted {
    case .everything: try await everything(in: folder)
    case .changes(let since, let session): try await changes(volume, known, since: since, session, in: folder)
    }
  }

  private func everything(in folder: String) async throws -> [String] {
    let file = folder + "/full"
    if let session, Glusterfind.time(of: session, volume) == nil {
      try await Glusterfind.create(session, volume)
      print("the session \(session) has been made")
    }
    try await Glusterfind(volume: volume, timeout: timeout).ask(.everything, session: session, into: file)
    return [file]
  }

  /// Collects the changes since a time, from the bricks and from glusterfind. Returns the files that were written.
  ///
  /// glusterfind is asked for two lists, because one is not enough (GlusterFS 10). Asked for all kinds of changes, it leaves out the
  /// deletion and the renaming of entries that were modified as well. Asked for changes of names, it leaves out modifications. The bricks
  /// add the changes that neither list has.
  private func changes(
    _ volume: GlusterVolume, _ known: KnownBricks, since: Int, _ session: String?, in folder: String
  ) async throws -> [String] {
    guard volume.missingOptions.isEmpty else {
      throw Glusterfind.Untrusted(
        reason:
          "\(volume.missingOptions.joined(separator: ", ")) of the volume \(volume.name) was off, so what changed is not known (glusterfind turns it on now)",
        isTooYoung: true)
    }
    if let folder = volume.changelogFolder {
      throw Glusterfind.Untrusted(
        reason: "the bricks of \(volume.name) keep their changelogs in \(folder) (changelog.changelog-dir), where they are not looked for",
        isTooYoung: true)
    }
    let glusterfind = Glusterfind(volume: volume.name, timeout: timeout)
    if !volume.canAskOtherNodes {
      // This call makes glusterfind create its key. The list is not used.
      try? await glusterfind.ask(.changes(since: since, namesOnly: true), into: folder + "/key")
    }
    let pause = known.longestPause(since: since, version: volume.version, rollover: volume.rollover)
    // glusterfind knows itself since when a session wants changes.
    let asked = session == nil ? nil : try await ask(glusterfind, since: since, session, in: folder)
    try await snapshot.reach()
    let (changelogs, early) = try await changelogs(of: volume, since: since, longestPause: pause, in: folder)
    let bricks = Set(volume.bricks.map(\.description))
    if let doubt = known.doubt(since: since, bricks: bricks) {
      throw Glusterfind.Untrusted(reason: doubt, isTooYoung: true)
    }
    let (files, problem) = if let asked { asked } else { try await ask(glusterfind, since: early, nil, in: folder) }
    if let problem {
      // glusterfind needs the process of each brick, and a closed changelog.
      guard changelogs.count == volume.bricks.count else { throw problem }
      print("glusterfind cannot be asked, and is not needed: \(problem.reason)")
    }
    return files + changelogs
  }

  /// Asks glusterfind for both of its lists.
  ///
  /// - Returns: the files that were written, and the reason if there are less than two: a list is not needed if the changelogs of all
  ///   bricks are read without glusterfind.
  private func ask(
    _ glusterfind: Glusterfind, since: Int, _ session: String?, in folder: String
  ) async throws -> (files: [String], problem: Glusterfind.Untrusted?) {
    var files: [String] = []
    var problem: Glusterfind.Untrusted?
    for namesOnly in [true, false] {
      let file = folder + (namesOnly ? "/names" : "/changes")
      do {
        try await glusterfind.ask(.changes(since: since, namesOnly: namesOnly), session: session, into: file)
        files.append(file)
      } catch let error as Glusterfind.Untrusted where error.isBrickDown || error.isTooYoung {
        problem = error
      }
    }
    return (files, problem)
  }

  /// Collects the changes that the bricks have logged (``Changelogs``) and those that they do not log (``BrickScan``).
  ///
  /// This program runs on the node of each brick. The bricks of one node are read one after another.
  ///
  /// - Returns: the files that were written, and the time since which the changes of all bricks were read.
  private func changelogs(
    of volume: GlusterVolume, since: Int, longestPause: Int?, in folder: String
  ) async throws -> (files: [String], since: Int) {
    let program = try Self.ownPath()
    let nodes = Dictionary(grouping: volume.bricks.enumerated(), by: \.element.host).values
    return try await withThrowingTaskGroup(of: [(file: String, since: Int)].self) { group in
      for node in nodes {
        group.addTask {
          var read: [(file: String, since: Int)] = []
          for (number, brick) in node {
            guard let brick = try await changelogs(of: brick, volume, since: since, longestPause, program, into: folder + "/brick\(number)")
            else {
              continue
            }
            read.append(brick)
          }
          return read
        }
      }
      let read = try await group.reduce(into: []) { $0 += $1 }
      return (read.map(\.file).sorted(), read.map(\.since).max() ?? since - Self.margin)
    }
  }

  /// Collects the changes of one brick.
  ///
  /// - Returns: the file that was written, and the time since which changes were read; nil if they cannot be read and glusterfind alone is
  ///   trusted.
  private func changelogs(
    of brick: GlusterVolume.Brick, _ volume: GlusterVolume, since: Int, _ longestPause: Int?, _ program: String, into file: String
  ) async throws -> (file: String, since: Int)? {
    let began = time(nil)
    let result = try await retried {
      try await volume.run(
        program,
        ["changelogs", brick.path, "/dev/stdout", "--since", "\(since)", "--now", "\(time(nil))"]
          + (longestPause.map { ["--longest-pause", "\($0)"] } ?? []) + (trustsChangelogs ? ["--trust-changelogs"] : []), onNodeOf: brick,
        into: file, within: timeout)
    }
    let words = result.lines.suffix(2).map { $0.replacing(/bareos-glusterfind-wrapper: (GFD-[0-9]+ )?/, with: "") }.joined(separator: " | ")
    if result.status == Wrapper.gap { throw Glusterfind.Untrusted(reason: words, isTooYoung: true) }
    if result.isWell, let header = Self.header(of: file) {
      if header.until < began - Self.margin {
        complain("GFD-105", "WARNING: the clock of \(brick.host) is \(began - header.until) s behind: that node is asked for as much more")
      }
      return (file, header.since)
    }
    let reason =
      "the changelogs of \(brick) cannot be read (\(program) is needed on each node of the volume): "
      + (result.isTimedOut ? "no answer within \(timeout) s, three times" : words)
    guard trustsGlusterfind, !brick.isHere else { throw Glusterfind.Untrusted(reason: reason) }
    complain("GFD-106", "WARNING: \(reason): glusterfind alone is trusted, and some changes on that brick are missed")
    return nil
  }

  private static func header(of file: String) -> ListHeader? {
    guard let line = try? LineReader(Array(file.utf8)).next(), case .begin(let header) = ListHeader.directive(line.bytes) else {
      return nil
    }
    return header
  }

  private static func ownPath() throws -> String {
    var path = [CChar](repeating: 0, count: 4097)
    guard readlink("/proc/self/exe", &path, 4096) > 0 else { throw Failure("GFD-108", "cannot find the path of this program") }
    return path.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  // MARK: The list

  /// Writes the list from its parts. Returns the number of changes.
  func write(_ parts: [String], _ header: ListHeader, in folder: String) throws -> Int {
    var lines = 0
    try list.write(in: folder, header) { writer in
      for part in parts {
        do {
          let reader = try LineReader(Array(part.utf8))
          var begins = false
          var ends = false
          while let line = try reader.next() {
            guard !line.isCutOff, !line.isTooLong else {
              throw Glusterfind.Untrusted(reason: "what glusterfind wrote is cut off in line \(line.number)")
            }
            switch ListHeader.directive(line.bytes) {
            case nil: try writer.add(line: line.bytes)
            case .begin: begins = true
            case .end: ends = true
            default: throw Glusterfind.Untrusted(reason: "the program on another node is of another version than the one on this")
            }
          }
          guard begins == ends else { throw Glusterfind.Untrusted(reason: "the changelogs of a brick have not been read to their end") }
        } catch let error as LineReader.Failure {
          throw Glusterfind.Untrusted(reason: "what glusterfind wrote cannot be read: \(error)")
        }
      }
      lines = writer.lines
      guard !header.isFull || lines > 0 else {
        throw Glusterfind.Untrusted(reason: "glusterfind lists nothing on the whole volume")
      }
    }
    return lines
  }
}
