import Foundation
import Testing
import TestSupport

/// The jobs of images that scripts/bareos and scripts/bacula add.
struct Machines {
  /// An additional line for the options of the FileSet.
  var option = ""
  var encrypts = false

  var environment: String { "MACHINES=1 MACHINES_OPTION='\(option)' ENCRYPTION='\(encrypts ? "1" : "")'" }
}

/// An image on the sharded volume, in a tree with a small file, and what it contained after each job.
private struct Image {
  /// What was backed up: the digest of the image, and a time after the job and before the next change.
  struct Moment {
    let digest: String
    let time: String
  }

  let local: String
  let path: String
  private(set) var moments: [Moment] = []

  init(_ name: String = #function) throws {
    (local, path) = try Scratch.folder(on: "sharded", name)
    try change("mkdir $d/tree; echo small > $d/tree/small\n" + writeRandomly(30_000_000, at: 0))
  }

  var tree: String { path + "/tree" }

  /// Runs shell commands in which `$e` is the image and `$d` the folder.
  func change(_ script: String) throws {
    let result = try run("sh", "-ec", "d='\(local)'; e=$d/tree/image\n\(script)")
    guard result.status == 0 else { throw TestError(result.output) }
    nextSecond()
  }

  private static func digest(_ file: String) throws -> String {
    let result = try run("sha256sum", file)
    return result.status == 0 ? String(result.output.prefix(64)) : "\(result.output)"
  }

  /// Notes what the image contains now, after a job.
  mutating func note() throws {
    nextSecond()
    let time = try run("date", "+%F %T").output.trimmingCharacters(in: .whitespacesAndNewlines)
    nextSecond()
    // See `writeRandomly`.
    try Scratch.remount("sharded")
    moments.append(Moment(digest: try Self.digest(local + "/tree/image"), time: time))
  }

  /// Returns true if a restored image, below a folder beside the tree, is that of a moment.
  func has(_ moment: Int, in folder: String) throws -> Bool {
    try Scratch.remount("sharded")
    return try Self.digest("\(local)/\(folder)\(tree)/image") == moments[moment].digest
  }

  /// Returns true if an image was restored below a folder beside the tree.
  func isThere(in folder: String) throws -> Bool {
    try Scratch.remount("sharded")
    return FileManager.default.fileExists(atPath: "\(local)/\(folder)\(tree)/image")
  }

  /// Five changes: random writes, growth, truncation, holes, growth by a hole with a write into it.
  static let changes = [
    writeRandomly(3000, at: 5_000_000) + "\n" + writeRandomly(40_000, at: 100) + "\n" + writeRandomly(9, at: 29_000_000),
    writeRandomly(6_000_000, at: 30_000_000), "truncate -s 20000001 $e",
    "fallocate -p -o 8388608 -l 4194304 $e; fallocate -p -o 70000 -l 30000 $e",
    "truncate -s 40000000 $e\n" + writeRandomly(70, at: 38_000_000),
  ]
}

/// The real daemons of one family.
private struct Daemons {
  /// Runs commands of the console, waits for the job that they start, and returns its number and its log.
  let run: ([String]) throws -> (id: Int, log: String)
  /// Runs commands of the console and returns its output.
  let console: ([String]) throws -> String
  let fileSet: String

  func job(_ commands: [String]) throws -> String { try run(commands).log }

  /// The number of the job that commands have started.
  static func id(_ output: String) throws -> Int {
    try #require(output.matches(of: /Job queued\. JobId=(\d+)/).last.flatMap { Int($0.1) }, "\(output)")
  }

  func backUp(_ level: String, job name: String = "machines") throws -> String { try job(["run job=\(name) level=\(level) yes"]) }

  /// Restores the whole tree.
  func restoreAll(_ image: Image, to folder: String, _ which: String = "current") throws -> String {
    try job(["restore client=client restorejob=restore fileset=\(fileSet) where=\(image.path)/\(folder) \(which) select all done yes"])
  }

  /// Restores the whole tree, or only the image, as of a time.
  func restore(_ image: Image, to folder: String, before time: String, only: Bool = false) throws -> String {
    let start = "restore client=client restorejob=restore fileset=\(fileSet) where=\(image.path)/\(folder) before=\"\(time)\" select"
    return try job(only ? [start, "cd \(image.tree)", "mark image", "done", "yes"] : [start + " all done yes"])
  }
}

@Suite("Images of virtual machines in jobs of real daemons", .serialized)
struct MachineTests {
  private func bareos(_ bareos: Bareos) -> Daemons {
    Daemons(
      run: { commands in
        let log = try bareos.console(commands + ["wait", "messages"])
        return (try Daemons.id(log), log)
      }, console: bareos.console, fileSet: "GlusterMachines")
  }

  private func bacula(_ bacula: Bacula) -> Daemons {
    Daemons(
      run: { commands in
        let output = try bacula.console(commands)
        let id = try Daemons.id(output)
        return (id, output + (try bacula.finish(id).text))
      }, console: bacula.console, fileSet: "Machines")
  }

  private static func line(_ path: String) -> String { #"gfapi:volume=gluster\\://scratch/sharded"# + path }

  @Test("Bareos restores an image as of each of six jobs", arguments: Bareos.trees)
  func bareosMoments(_ tree: String) throws {
    let image = try Image()
    try moments(
      image, bareos(try Bareos(tree, line: Self.line(image.tree), machines: Machines(option: "compression = GZIP", encrypts: true))))
  }

  @Test("Bacula restores an image as of each of six jobs")
  func baculaMoments() throws {
    let image = try Image()
    let daemons = try Bacula(Self.line(image.tree), machines: Machines(option: "compression = GZIP", encrypts: true))
    try moments(image, bacula(daemons))
    try daemons.end()
  }

  private func moments(_ start: Image, _ daemons: Daemons) throws {
    var image = start
    func expectWell(_ log: String, _ words: String...) {
      #expect(log.contains("Backup OK") && !log.contains("Warning: ") && !log.contains("Error: "), "\(log)")
      for word in words { #expect(log.contains(word), "\(log)") }
    }
    expectWell(try daemons.backUp("Full"), "of several shards 1 files whole, 0 as deltas")
    try image.note()
    for change in Image.changes {
      try image.change(change)
      expectWell(try daemons.backUp("Incremental"), "of several shards 0 files whole, 1 as deltas")
      try image.note()
    }
    let (last, middle) = (image.moments.count - 1, 2)
    for (number, moment) in image.moments.enumerated() {
      let every = [("whole-\(number)", false), ("file-\(number)", true), ("over", number % 2 == 0)]
      let some = number == last ? [every[0], every[2]] : number == middle ? [every[1], every[2]] : number == 0 ? [every[2]] : []
      for (folder, only) in Soak.cases(some, of: every) {
        let log = try daemons.restore(image, to: folder, before: moment.time, only: only)
        #expect(log.contains("Restore OK") && !log.contains("Warning: ") && !log.contains("Error: "), "\(log)")
        #expect(try image.has(number, in: folder), "moment \(number), \(folder)")
      }
    }
  }

  // MARK: Jobs that the director makes of others

  private func expectRestored(
    _ daemons: Daemons, _ image: Image, _ moment: Int, to folder: String, _ which: String = "current",
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    let log = try daemons.restoreAll(image, to: folder, which)
    let isWell = log.contains("Restore OK") && !log.contains("Warning: ") && !log.contains("Error: ")
    #expect(isWell, "\(log)", sourceLocation: sourceLocation)
    #expect(try image.has(moment, in: folder), "\(folder): \(log)", sourceLocation: sourceLocation)
  }

  @Test("An image is restored from a virtual full backup, from copies, and after both", arguments: Bareos.trees)
  func virtualFull(_ tree: String) throws {
    var image = try Image()
    let daemons = bareos(try Bareos(tree, line: Self.line(image.tree), machines: Machines()))
    var ids: [Int] = []
    func backUp(_ level: String) throws -> String {
      let job = try daemons.run(["run job=machines level=\(level) yes"])
      #expect(job.log.contains("Backup OK"), "\(job.log)")
      ids.append(job.id)
      try image.note()
      return job.log
    }
    _ = try backUp("Full")
    for change in Image.changes[..<2] {
      try image.change(change)
      #expect(try backUp("Incremental").contains("1 as deltas"))
    }
    let merged = try daemons.run(["run job=machines level=VirtualFull yes"])
    #expect(merged.log.contains("Backup OK"), "\(merged.log)")
    try expectRestored(daemons, image, 2, to: "merged", "jobid=\(merged.id)")
    for change in Image.changes[2..<4] {
      try image.change(change)
      #expect(try backUp("Incremental").contains("1 as deltas"))
      try expectRestored(daemons, image, image.moments.count - 1, to: "after")
    }
    let copied = try daemons.run(["run job=copies yes"])
    #expect(copied.log.contains("Copying OK"), "\(copied.log)")
    for id in ids { _ = try daemons.console(["delete jobid=\(id) yes"]) }
    try expectRestored(daemons, image, 4, to: "copied")
    try image.change(Image.changes[4])
    _ = try backUp("Incremental")
    try expectRestored(daemons, image, 5, to: "copied")
  }

  @Test("An image that is always saved incrementally is restored after each consolidation", arguments: Bareos.trees)
  func consolidated(_ tree: String) throws {
    var image = try Image()
    let daemons = bareos(try Bareos(tree, line: Self.line(image.tree), machines: Machines()))
    for (number, change) in (["true"] + Image.changes).enumerated() {
      try image.change(change)
      let job = try daemons.run(["run job=always level=Incremental yes"])
      #expect(job.log.contains("Backup OK") && job.log.contains(number == 0 ? "1 files whole" : " as deltas"), "\(job.log)")
      try image.note()
      if number >= 2 {
        let log = try daemons.job(["run job=consolidate yes"])
        #expect(log.contains("Backup OK") && !log.contains("Error: "), "\(log)")
      }
      try expectRestored(daemons, image, number, to: "restored")
    }
  }

  @Test("The jobs after one that was cancelled or deleted build on what the catalog has: Bareos", arguments: Bareos.trees)
  func bareosGaps(_ tree: String) throws {
    let image = try Image()
    try gaps(image, bareos(try Bareos(tree, line: Self.line(image.tree), machines: Machines())))
  }

  @Test("The jobs after one that was cancelled or deleted build on what the catalog has: Bacula", .soak)
  func baculaGaps() throws {
    let image = try Image()
    let daemons = try Bacula(Self.line(image.tree), machines: Machines())
    try gaps(image, bacula(daemons))
    try daemons.end()
  }

  private func gaps(_ start: Image, _ daemons: Daemons) throws {
    var image = start
    func backUp(_ level: String = "Incremental") throws -> Int {
      let job = try daemons.run(["run job=machines level=\(level) yes"])
      #expect(job.log.contains("Backup OK"), "\(job.log)")
      try image.note()
      return job.id
    }
    _ = try backUp("Full")
    try image.change(Image.changes[0])
    _ = try backUp()
    // Cancelled while the shards are read.
    try image.change(Image.changes[1])
    try Scratch.withDelay(of: 1_000_000, for: "read", on: "sharded") {
      let id = try Daemons.id(try daemons.console(["run job=machines level=Incremental yes"]))
      let isReading = try eventually { try daemons.console(["status client=client"]).contains("JobId \(id) ") }
      #expect(isReading)
      let end = try daemons.console(["cancel jobid=\(id) yes", "wait jobid=\(id)", "list jobid=\(id)"])
      #expect(end.contains(/\| A +\||jobstatus: A/), "\(end)")
    }
    try image.change(Image.changes[2])
    _ = try backUp()
    try expectRestored(daemons, image, 2, to: "after-cancel")
    // The last job is deleted: the next one builds on the one before it.
    try image.change(Image.changes[3])
    let last = try backUp()
    _ = try daemons.console(["delete jobid=\(last) yes"])
    try image.change(Image.changes[4])
    let next = try backUp()
    try expectRestored(daemons, image, 4, to: "after-delete")
    // A job in the middle is deleted: the director leaves out what builds on it, and says so.
    try image.change(writeRandomly(100, at: 1_000_000))
    _ = try backUp()
    _ = try daemons.console(["delete jobid=\(next) yes"])
    let log = try daemons.restoreAll(image, to: "gap")
    #expect(log.contains("Something is wrong with the Delta sequence of image"), "\(log)")
    #expect(try image.has(2, in: "gap"), "\(log)")
    // The director gives the file daemon a single record: the plugin says which job it needs.
    let alone = try daemons.job([
      "restore client=client restorejob=restore fileset=\(daemons.fileSet) where=\(image.path)/alone file=\(image.tree)/image current done yes"
    ])
    #expect(alone.contains("of the file, and builds on delta "), "\(alone)")
    #expect(try !image.isThere(in: "alone"))
    // A full backup begins a new chain.
    _ = try backUp("Full")
    try image.change(writeRandomly(100, at: 2_000_000))
    _ = try backUp()
    try expectRestored(daemons, image, image.moments.count - 1, to: "new")
  }
}
