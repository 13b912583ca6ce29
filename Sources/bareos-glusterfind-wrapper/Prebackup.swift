import Glibc
import GlusterfindList

/// Writes the list before a job.
struct Prebackup {
  let volume: String
  let level: Wrapper.Level
  /// Seconds since 1970; 0: all is wanted.
  let since: Int
  let session: String?
  let isStrict: Bool
  let list: ListFile

  /// Beside the changelogs' roll-over: what the clocks of two hosts may differ, in seconds.
  private static let margin = 5

  func run() async throws {
    // The list of an earlier job is worse than none.
    try list.remove()
    let folder = try list.makeFolder()
    defer { ListFile.removeFolder(folder) }
    let now = time(nil)
    var header = ListHeader(isFull: level == .full || since == 0, since: level == .full ? 0 : since, until: now)
    do {
      let volume = try await GlusterVolume(volume)
      if level != .full, since == 0 { print("the time since when changes are wanted is 0: everything is listed") }
      if !header.isFull, !volume.missingOptions.isEmpty {
        print(
          "\(volume.missingOptions.joined(separator: ", ")) of \(volume.name) was off, so changes since then are not known: everything is listed. glusterfind turns it on now")
        header = ListHeader(isFull: true, since: 0, until: now)
      }
      let parts: [String]
      do {
        parts = try await header.isFull ? everything(in: folder) : changes(in: folder, volume)
      } catch let error as Glusterfind.Untrusted where error.isTooYoung && !header.isFull {
        // Not only what has changed, but nothing is missed.
        print("\(error.reason): everything is listed")
        header = ListHeader(isFull: true, since: 0, until: now)
        parts = try await everything(in: folder)
      }
      let lines = try write(parts, header, in: folder)
      print(
        header.isFull
          ? "\(lines) names listed in \(list.path)"
          : "\(lines) changes since \(header.since) (seconds since 1970) listed in \(list.path)")
    } catch let error as Glusterfind.Untrusted {
      guard !isStrict else { throw Failure("there is no list that can be trusted: \(error.reason)") }
      try list.write(in: folder, header) { try $0.directive(ListHeader.crawlLine(error.reason)) }
      complain(
        "WARNING: there is no list that can be trusted, and the volume \(volume) is crawled instead, which takes longer: \(error.reason)")
    }
  }

  // MARK: glusterfind

  private func everything(in folder: String) async throws -> [String] {
    let file = folder + "/full"
    if let session {
      if Glusterfind.time(of: session, volume) == nil {
        try await Glusterfind.create(session, volume)
        print("the session \(session) has been made")
      }
      try await Glusterfind(volume: volume).ask(.sessionEverything(session), into: file)
    } else {
      try await Glusterfind(volume: volume).ask(.everything, into: file)
    }
    return [file]
  }

  /// Two lists, since one alone is not enough (GlusterFS 10): asked for all kinds of changes, glusterfind leaves out the deletion and the renaming of
  /// what was modified as well; asked for changes of names, it leaves out what was modified.
  private func changes(in folder: String, _ volume: GlusterVolume) async throws -> [String] {
    let glusterfind = Glusterfind(volume: volume.name)
    let session = coveringSession()
    let start = try await volume.changelogStart()
    guard since >= start else {
      throw Glusterfind.Untrusted(
        reason: "the volume logs its changes only since \(start) (seconds since 1970), and they are wanted since \(since)", isTooYoung: true)
    }
    let since = max(since - volume.rollover - Self.margin, start)
    var files: [String] = []
    for namesOnly in [true, false] {
      let file = folder + (namesOnly ? "/names" : "/changes")
      if let session {
        try await glusterfind.ask(.sessionChanges(session, namesOnly: namesOnly), into: file)
      } else {
        try await glusterfind.ask(.changes(since: since, namesOnly: namesOnly), into: file)
      }
      files.append(file)
    }
    return files + (try await changelogs(of: volume, since: since, in: folder))
  }

  /// What the bricks of this node have logged themselves: see ``Changelogs``.
  private func changelogs(of volume: GlusterVolume, since: Int, in folder: String) async throws -> [String] {
    let here = volume.bricks.filter(\.isHere)
    if here.isEmpty {
      complain("WARNING: no brick of \(volume.name) is on this node: directories of which only mode, owner, ACL or attributes changed are not listed, glusterfind leaves them out")
    }
    var files: [String] = []
    for (number, brick) in here.enumerated() {
      let file = folder + "/brick\(number)"
      let result = try await runProgram("/proc/self/exe", ["changelogs", brick.path, file, "--since", "\(since)"])
      guard result.isWell else {
        throw Glusterfind.Untrusted(reason: "the changelogs of \(brick.path): \(result.lines.suffix(2).joined(separator: " | "))")
      }
      files.append(file)
    }
    return files
  }

  /// The session, if it reaches back to the time since when changes are wanted.
  private func coveringSession() -> String? {
    guard let session else { return nil }
    guard level == .incremental, let time = Glusterfind.time(of: session, volume), time <= since else { return nil }
    return session
  }

  // MARK: The list

  /// Writes what glusterfind wrote. Returns the number of changes.
  private func write(_ parts: [String], _ header: ListHeader, in folder: String) throws -> Int {
    var lines = 0
    try list.write(in: folder, header) { writer in
      for part in parts {
        do {
          let reader = try LineReader(Array(part.utf8))
          while let line = try reader.next() {
            guard !line.isCutOff, !line.isTooLong else {
              throw Glusterfind.Untrusted(reason: "what glusterfind wrote is cut off in line \(line.number)")
            }
            if ListHeader.directive(line.bytes) == nil { try writer.add(line: line.bytes) }
          }
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
