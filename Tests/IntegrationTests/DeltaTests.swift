import Foundation
import MiniDaemon
import TestSupport
import Testing

/// An image on a sharded volume with shards of 4 MiB, and what it contained at each moment that was backed up.
private struct Image {
  let local: String
  let path: String
  private let volume: String
  private let state: String
  private let target: (local: String, path: String)
  var chain: Chain
  /// The records and the content at each moment.
  private(set) var moments: [(items: [MemoryBackup.Item], content: Data)] = []

  init(_ name: String, abi: ABI = .bareos26, _ more: String = "", on volume: String = "sharded") throws {
    self.volume = volume
    (local, path) = try Scratch.folder(on: volume, name)
    target = try Scratch.folder(on: volume, name + "-restored")
    state = try Scratch.temporaryFolder() + "/" + UUID().uuidString
    chain = Chain(Scratch.line(volume, path, ":delta=yes:statedir=\(state)\(more)"), abi: abi)
  }

  var file: String { local + "/image" }

  /// Runs a shell command in which `$e` is the image.
  func change(_ command: String) throws {
    let result = try run("sh", "-ec", "e='\(file)'\n\(command)")
    guard result.status == 0 else { throw TestError(result.output) }
    // The changes must have earlier times than the start of the next job.
    nextSecond()
  }

  /// Writes random bytes.
  func write(_ count: Int, at offset: Int) throws { try change(writeRandomly(count, at: offset)) }

  /// Runs a job.
  ///
  /// - Parameter said: the beginning of each message that is not information.
  mutating func backUp(
    _ level: Chain.Level = .incremental, accurate: Bool = true, fails: Bool = false, more: String = "", said: [String] = [],
    sourceLocation: SourceLocation = #_sourceLocation
  ) throws {
    try chain.backUp(more, level, accurate: accurate, fails: fails)
    let messages = chain.messages.filter { $0.severity != .info }.map(\.text)
    #expect(
      messages.count == said.count && zip(messages, said).allSatisfy { $0.contains($1) }, "\(messages)", sourceLocation: sourceLocation)
    if !fails { moments.append((chain.items, try content())) }
  }

  /// The content of the image on the volume: see ``writeRandomly(_:at:to:from:)``.
  func content() throws -> Data {
    try Scratch.remount(volume)
    return try Data(contentsOf: URL(fileURLWithPath: file))
  }

  /// Expects that the last job stored the image as a delta, 0 for a whole file, or not at all, and how many bytes at most.
  func expect(_ delta: UInt32?, _ most: Int = .max, sourceLocation: SourceLocation = #_sourceLocation) {
    let isStored = chain.backedUp.contains("\(path)/image")
    #expect((isStored ? last?.entry.delta : nil) == delta, sourceLocation: sourceLocation)
    if isStored { #expect(last.map(\.data.count) ?? 0 <= most, sourceLocation: sourceLocation) }
  }

  /// The record of the image in the last backup; nil: it has none.
  var last: MemoryBackup.Item? { chain.items.last { $0.entry.path == Array("\(path)/image".utf8) } }

  /// Restores the records of a moment, and returns what is wrong; empty: nothing.
  func wrong(_ moment: Int) throws -> String {
    let (items, content) = moments[moment]
    let messages = try restore(items)
    try Scratch.remount("sharded")
    let restored = try? Data(contentsOf: URL(fileURLWithPath: target.local + path + "/image"))
    return messages.filter { $0.severity != .info }.map(\.text).joined(separator: "\n") + (restored == content ? "" : " other content")
  }

  /// Expects that each moment is restored, one over the other.
  func expectEachMoment(sourceLocation: SourceLocation = #_sourceLocation) throws {
    for moment in moments.indices {
      let wrong = try wrong(moment)
      #expect(wrong == "", "moment \(moment)", sourceLocation: sourceLocation)
    }
  }

  func restore(_ items: [MemoryBackup.Item], _ replace: RestoreOptions.Replace = .always) throws -> [MiniJob.Message] {
    var options = RestoreOptions()
    options.prefix = Array(target.path.utf8)
    options.replace = replace
    return try withJob(abi: chain.abi) { job throws in
      _ = try MemoryBackup(items).restore(job, chain.line, options)
      return job
    }.messages
  }

  func isImage(_ item: MemoryBackup.Item) -> Bool { item.entry.path == Array("\(path)/image".utf8) }

  func removeState() throws { try FileManager.default.removeItem(atPath: state) }

  var restoredFolder: String { target.local + path }
  var restoredPrefix: String { target.path }

  /// The names in the folder that was restored.
  func restoredNames() -> [String] { ((try? FileManager.default.contentsOfDirectory(atPath: restoredFolder)) ?? []).sorted() }

  func restoredDigest() throws -> Data { try Data(contentsOf: URL(fileURLWithPath: restoredFolder + "/image")) }

  /// Puts another file in the place to restore to.
  func overwrite(_ text: String, at seconds: Int = 0) throws {
    let result = try run(
      "sh", "-ec",
      "rm -f '\(restoredFolder)/image'; printf '\(text)' > '\(restoredFolder)/image'; touch -d @\(seconds) '\(restoredFolder)/image'")
    guard result.status == 0 else { throw TestError(result.output) }
  }

  /// Runs `body` while another process writes into the image all the time.
  mutating func whileWriting(at offset: Int, _ body: (inout Image) throws -> Void) throws {
    let writer = Process()
    writer.executableURL = URL(fileURLWithPath: "/bin/sh")
    writer.arguments = [
      "-c",
      "while :; do head -c 100 /dev/urandom | dd of='\(file)' bs=1M seek=\(offset) oflag=seek_bytes conv=notrunc,fsync status=none; done",
    ]
    try writer.run()
    let result = Result { try body(&self) }
    // A process that this one starts inherits its signal mask, so the signal must be one that cannot be blocked.
    kill(writer.processIdentifier, SIGKILL)
    writer.waitUntilExit()
    try result.get()
  }

  func empty() throws { _ = try run("sh", "-c", "rm -rf '\(target.local)'/*") }
}

@Suite("Deltas of files of several shards")
struct DeltaTests {
  @Test(
    "a full backup and five incremental ones restore each of the six moments",
    arguments: Soak.cases([ABI.bacula9], of: [.bacula9, .bacula15, .bareos21, .bareos26]))
  func moments(_ abi: ABI) throws {
    var image = try Image("delta-\(abi)", abi: abi)
    try image.write(42_000_000, at: 0)
    try image.backUp()
    image.expect(0, 42_000_000)
    try image.write(5000, at: 9_000_000)
    try image.write(100, at: 100)
    try image.backUp()
    image.expect(1, 70_000)
    try image.write(3_000_000, at: 42_000_000)
    try image.backUp()
    image.expect(2, 3_100_000)
    try image.change("truncate -s 30000001 $e")
    try image.backUp()
    image.expect(3, 20_000)
    try image.change("fallocate -p -o 8388608 -l 4194304 $e; fallocate -p -o 100 -l 20000 $e")
    try image.backUp()
    image.expect(4, 40_000)
    try image.change("truncate -s 60000000 $e")
    try image.write(7, at: 55_000_000)
    try image.backUp()
    image.expect(5, 40_000)
    for moment in image.moments.indices {
      try image.empty()
      let wrong = try image.wrong(moment)
      #expect(wrong == "", "moment \(moment)")
    }
    for moment in image.moments.indices.reversed() { #expect(try image.wrong(moment) == "", "moment \(moment) over another") }
  }

  @Test("a file that was cut and has grown again between two jobs is restored")
  func cutAndGrown() throws {
    var image = try Image("delta-cut")
    try image.write(42_000_000, at: 0)
    try image.backUp()
    try image.change("truncate -s 10000000 $e; truncate -s 42000000 $e")
    try image.backUp()
    image.expect(1, 100_000)
    // The next one must not take the first state's blocks beyond this end for known.
    try image.change("truncate -s 10000000 $e")
    try image.backUp()
    image.expect(2, 40_000)
    try image.write(32_000_000, at: 10_000_000)
    try image.backUp()
    try image.change(writeRandomly(20_000_000, at: 12_000_000, from: "/dev/zero"))
    try image.backUp()
    try image.expectEachMoment()
  }

  @Test("a differential delta builds on the full backup, and the next incremental one on the differential one")
  func differential() throws {
    var image = try Image("delta-differential")
    try image.write(42_000_000, at: 0)
    try image.backUp()
    for offset in [5_000_000, 10_000_000] {
      try image.write(10, at: offset)
      try image.backUp()
    }
    image.expect(2, 20_000)
    try image.write(10, at: 15_000_000)
    try image.backUp(.differential)
    image.expect(1, 60_000)
    #expect(image.chain.items.count { $0.entry.path == Array("\(image.path)/image".utf8) } == 2)
    try image.write(10, at: 20_000_000)
    try image.backUp()
    image.expect(2, 20_000)
    try image.backUp(.differential)
    image.expect(1, 80_000)
    try image.expectEachMoment()
  }

  @Test(
    "deltas are restored onto a volume of another kind",
    arguments: Soak.cases(["dispersed"], of: ["plain", "distributed", "replicated", "dispersed"]))
  func kinds(_ kind: String) throws {
    var image = try Image("delta-onto-\(kind)")
    try image.write(12_000_000, at: 0)
    try image.backUp()
    try image.change("fallocate -p -o 4194304 -l 4194304 $e; fallocate -p -o 100001 -l 300001 $e")
    try image.backUp()
    try image.change("truncate -s 11111111 $e")
    try image.backUp()
    try image.change("truncate -s 20000001 $e")
    try image.write(3, at: 19_999_998)
    try image.backUp()
    image.expect(3)
    let (local, path) = try Scratch.folder(on: kind, "delta-onto")
    var options = MiniJob.Options()
    options.pluginOptions = "gfapi:volume=gluster\\://scratch/\(kind)\(path)"
    let messages = try withJob(options) { job throws in
      _ = try MemoryBackup(image.moments[3].items).restore(job, image.chain.line)
      return job
    }.messages
    #expect(messages.allSatisfy { $0.severity == .info }, "\(messages)")
    try Scratch.remount(kind)
    #expect(try Data(contentsOf: URL(fileURLWithPath: local + "/image")) == image.content())
  }

  @Test("the jobs of a restore may name the servers of the volume differently")
  func servers() throws {
    var image = try Image("delta-servers")
    try image.write(10_000_000, at: 0)
    try image.backUp()
    try image.write(10, at: 9_000_000)
    try image.backUp()
    let items = image.moments[1].items.filter(image.isImage)
    let messages = try withJob { job throws in
      var options = RestoreOptions()
      options.prefix = Array(image.restoredPrefix.utf8)
      var restore = Restore(job, image.chain.line, options)
      for item in items {
        if item.entry.delta == 1 { restore.goOn(with: image.chain.line.replacing("//scratch/", with: "//scratch,localhost/")) }
        _ = try restore.restore(item.entry, length: item.data.count) { write in _ = item.data.withUnsafeBytes { write(0, $0) } }
      }
      _ = restore.end()
      return job
    }.messages
    #expect(messages.allSatisfy { $0.severity == .info }, "\(messages)")
    try Scratch.remount("sharded")
    #expect(try image.restoredDigest() == image.content())
  }

  @Test("delta=yes in the options of a job has no effect, because a restore would not know it")
  func options() throws {
    let (_, path) = try Scratch.folder(on: "sharded", "delta-options")
    var options = MiniJob.Options()
    options.pluginOptions = "gfapi:delta=yes"
    let all = try withJob(options) { job throws in
      _ = try job.backup(Scratch.line("sharded", path), to: MemoryBackup())
      return job
    }.messages
    let messages = all.filter { $0.severity != .info }
    #expect(messages.count == 1 && messages[0].text.contains("GFD-046 delta= in the plugin options of a job has no effect"), "\(messages)")
  }

  /// The shards of all files are listed at the first one.
  @Test(
    "data that a file got after the shards were listed are not taken for a hole",
    arguments: Soak.cases([":readahead=0"], of: ["", ":readahead=0", ":workers=0"]))
  func grownAfterListing(_ more: String) throws {
    var image = try Image("delta-listing", more)
    try image.change("mkdir $(dirname $e)/z\n" + writeRandomly(20_000_000, at: 0, to: "$(dirname $e)/z/later"))
    try image.write(10_000_000, at: 0)
    try image.backUp()
    try image.write(10, at: 100)
    try image.change("printf x >> $(dirname $e)/z/later")
    let later = image.local + "/z/later"
    let path = image.path
    image.chain.onBegin = { entry in
      guard entry.path == Array("\(path)/image".utf8) else { return }
      _ = try? run("sh", "-c", "head -c 20000000 /dev/urandom >> '\(later)'; sync '\(later)'")
    }
    try image.chain.backUp()
    let restored = try image.restore(image.chain.items)
    #expect(restored.allSatisfy { $0.severity == .info || $0.text.contains("GFD-071") }, "\(restored)")
    try Scratch.remount("sharded")
    let (now, then) = (
      try Data(contentsOf: URL(fileURLWithPath: later)), try Data(contentsOf: URL(fileURLWithPath: image.restoredFolder + "/z/later"))
    )
    // The size is that of the moment when the file was found.
    #expect([20_000_001, 40_000_001].contains(then.count) && now.prefix(then.count) == then)
  }

  @Test("jobs with lists of changes store deltas, also of a file that the last list did not name")
  func lists() throws {
    var image = try Image("delta-lists")
    let list = try Scratch.temporaryFile(".list")
    defer { try? FileManager.default.removeItem(atPath: list) }
    func named(_ names: [String]) throws -> String {
      let lines = names.map { "MODIFY \(image.path.dropFirst())/\($0)\n" }.joined()
      try Data(lines.utf8).write(to: URL(fileURLWithPath: list))
      return ":gffilelist=\(list)"
    }
    try image.write(20_000_000, at: 0)
    try image.change("echo other > $(dirname $e)/other")
    try image.backUp()
    try image.write(100, at: 5_000_000)
    try image.backUp(more: named(["image"]))
    image.expect(1, 40_000)
    try image.change("echo more > $(dirname $e)/other")
    try image.backUp(more: named(["other"]))
    image.expect(nil)
    try image.write(100, at: 9_000_000)
    try image.backUp(more: named(["image"]))
    image.expect(2, 40_000)
    try image.expectEachMoment()
  }

  @Test("deltas of snapshots restore the moments of the snapshots")
  func snapshots() throws {
    let volume = "sharded-thin"
    var image = try Image("delta-snapshots", on: volume)
    try image.write(20_000_000, at: 0)
    var contents: [Data] = []
    for number in 0..<4 {
      let name = "delta\(number)"
      try Scratch.gluster("snapshot", "create", name, volume, "no-timestamp")
      defer { _ = try? Scratch.gluster("snapshot", "delete", name) }
      try Scratch.gluster("snapshot", "activate", name)
      contents.append(try image.content())
      // Between the snapshot and the job, and between the job and the next snapshot.
      try image.write(100, at: 5_000_000 * number)
      try image.chain.backUp(":snapshot=\(name)")
      #expect(image.chain.messages.allSatisfy { $0.severity == .info }, "\(image.chain.messages)")
      image.expect(UInt32(number), number == 0 ? .max : 40_000)
      let items = image.chain.items
      let messages = try image.restore(items).filter { $0.severity != .info }
      #expect(messages.isEmpty, "\(messages)")
      try Scratch.remount(volume)
      #expect(try image.restoredDigest() == contents[number], "\(number)")
      try image.write(100, at: 5_000_000 * number + 1_000_000)
    }
  }

  @Test("a job builds on what the daemon has, not on a job that has failed")
  func failed() throws {
    var image = try Image("delta-failed")
    try image.write(42_000_000, at: 0)
    try image.backUp()
    try image.write(10, at: 5_000_000)
    try image.backUp()
    try image.write(10, at: 10_000_000)
    try image.backUp(fails: true)
    try image.write(10, at: 15_000_000)
    try image.backUp()
    image.expect(2, 40_000)
    try image.expectEachMoment()
  }

  @Test("a file that another one has replaced, that was renamed or that has two names is stored whole")
  func others() throws {
    var image = try Image("delta-others")
    try image.write(42_000_000, at: 0)
    try image.backUp()
    try image.write(10, at: 5_000_000)
    try image.backUp()
    image.expect(1)
    // Another file, with the name and the size of the first.
    try image.change(writeRandomly(42_000_000, at: 0, to: "$e.new") + "\nmv $e.new $e")
    try image.backUp()
    image.expect(0)
    try image.write(10, at: 6_000_000)
    try image.backUp()
    image.expect(1, 20_000)
    // A small file has the name for one job.
    try image.change("mv $e $e.away; echo small > $e")
    try image.backUp()
    image.expect(0)
    try image.change("mv $e.away $e")
    try image.backUp()
    image.expect(0)
    try image.change("ln $e $e.second")
    try image.backUp()
    image.expect(0)
    try image.change("rm $e.second")
    try image.backUp()
    image.expect(0)
    try image.write(10, at: 6_000_000)
    try image.backUp()
    image.expect(1, 20_000)
    try image.expectEachMoment()
  }

  @Test("a file of which more than half has changed is stored whole, and one that was only touched in many places is not")
  func half() throws {
    var image = try Image("delta-half")
    try image.write(42_000_000, at: 0)
    try image.backUp()
    for shard in 0..<10 { try image.write(1, at: shard * 4_194_304 + 1000) }
    try image.backUp()
    image.expect(1, 200_000)
    try image.write(20_000_000, at: 0)
    try image.backUp()
    image.expect(2, 21_000_000)
    try image.write(22_000_000, at: 0)
    try image.backUp()
    image.expect(0)
    // All of its shards were written a moment ago, and are compared.
    try image.change("chmod 600 $e")
    try image.backUp()
    image.expect(1, 300)
    #expect(try image.wrong(2) == "")
    #expect(try image.wrong(4) == "")
  }

  @Test("without what the last job noted, a file is stored whole")
  func memory() throws {
    var image = try Image("delta-memory")
    try image.write(10_000_000, at: 0)
    try image.backUp()
    try image.removeState()
    try image.write(1, at: 0)
    try image.backUp(said: ["GFD-037"])
    image.expect(0)
    try image.write(1, at: 0)
    try image.backUp()
    image.expect(1)
    #expect(try image.wrong(2) == "")
  }

  @Test("a job that is not accurate says that it stores whole files")
  func notAccurate() throws {
    var image = try Image("delta-not-accurate")
    try image.write(10_000_000, at: 0)
    try image.backUp()
    try image.write(1, at: 0)
    try image.backUp(accurate: false, said: ["GFD-046 delta=yes has no effect, files are saved whole: the job is not accurate"])
    image.expect(0)
    try image.write(1, at: 0)
    try image.backUp()
    image.expect(1)
    #expect(try image.wrong(2) == "")
  }

  @Test("on a volume without shards a job says that it stores whole files")
  func notSharded() throws {
    let (_, path) = try Scratch.folder(on: "plain", "delta-plain")
    try withJob { job throws in
      _ = try job.backup(Scratch.line("plain", path, ":delta=yes"), to: MemoryBackup())
      let said = job.messages.filter { $0.severity != .info }.map(\.text)
      #expect(said.count == 1 && said[0].contains("GFD-046 delta=yes has no effect, files are saved whole: the volume is not sharded"))
    }
  }

  // MARK: Restores that cannot go well

  /// An image with a full backup and three deltas, each in the log of a job.
  private func threeDeltas(_ name: String) throws -> Image {
    var image = try Image(name)
    try image.write(42_000_000, at: 0)
    try image.backUp()
    for number in 1...3 {
      try image.write(10, at: number * 5_000_000)
      try image.backUp()
    }
    return image
  }

  private func restored(_ image: Image, _ items: [MemoryBackup.Item], _ replace: RestoreOptions.Replace = .always) throws -> [String] {
    let messages = try image.restore(items, replace).filter { $0.severity != .info }.map(\.text)
    try Scratch.remount("sharded")
    return messages
  }

  @Test("a delta whose predecessor is missing is not applied, and the message names the job that is needed")
  func missing() throws {
    let image = try threeDeltas("delta-missing")
    let all = image.moments[3].items
    func without(_ numbers: UInt32...) -> [MemoryBackup.Item] { all.filter { !image.isImage($0) || !numbers.contains($0.entry.delta) } }
    let lacksOne = try restored(image, without(2))
    #expect(lacksOne.count == 1)
    #expect(lacksOne[0].contains("GFD-070") && lacksOne[0].contains("it is delta 3 of the file, and builds on delta 2, of the job "))
    #expect(lacksOne[0].contains(".2026-11-27_21.05.00_3: this restore has another state of the file"))
    #expect(lacksOne[0].hasSuffix("the file is left as image.gfapi-fd-incomplete"))
    #expect(image.restoredNames() == ["image.gfapi-fd-incomplete"])
    try image.empty()
    let lacksWhole = try restored(image, without(0))
    #expect(lacksWhole.count == 3, "\(lacksWhole)")
    #expect(lacksWhole[0].contains("it is delta 1 of the file, and builds on the whole file, of the job "))
    #expect(lacksWhole[0].contains(".2026-11-27_21.05.00_1: this restore does not have it: restore that job as well"))
    #expect(lacksWhole[2].contains("builds on delta 2, of the job ") && lacksWhole[2].hasSuffix("that could not be restored"))
    #expect(image.restoredNames() == [])
    // What is there and was not restored stays as it is.
    #expect(try image.wrong(3) == "")
    _ = try restored(image, without(0))
    #expect(image.restoredNames() == ["image"])
    // In another order.
    try image.empty()
    let deltas = all.filter(image.isImage)
    let wrongOrder = try restored(image, [deltas[0], deltas[2], deltas[1], deltas[3]])
    #expect(wrongOrder.count == 3 && image.restoredNames() == ["image.gfapi-fd-incomplete"], "\(wrongOrder)")
  }

  @Test("a delta that is cut off or damaged leaves no file that looks whole")
  func damaged() throws {
    let image = try threeDeltas("delta-damaged")
    let all = image.moments[3].items
    let size = all.last(where: image.isImage)!.data.count
    func damaged(_ change: (inout [UInt8]) -> Void) throws -> [String] {
      try image.empty()
      return try restored(
        image,
        all.map { item in
          var item = item
          if image.isImage(item), item.entry.delta == 2 { change(&item.data) }
          return item
        })
    }
    for count in [0, 5, 70, 200, size - 1] {
      let messages = try damaged { $0.removeSubrange(count...) }
      #expect(messages.count == 2 && messages[0].contains("the delta in the backup is damaged: it is cut off"), "\(count): \(messages)")
      #expect(image.restoredNames() == ["image.gfapi-fd-incomplete"])
    }
    let changed = try damaged { $0[size / 2] ^= 1 }
    #expect(changed.count == 2 && changed[0].contains("the delta in the backup is damaged: its checksum is wrong"), "\(changed)")
    #expect(changed[0].hasSuffix("the file is left as image.gfapi-fd-incomplete"))
    #expect(image.restoredNames() == ["image.gfapi-fd-incomplete"])
    let foreign = try damaged { $0 = Array("no delta at all".utf8) }
    #expect(foreign.count == 2 && foreign[0].contains("it does not begin as a delta does"), "\(foreign)")
    // The next restore is not hindered by what is left.
    #expect(try image.wrong(3) == "")
  }

  @Test("a replace rule decides about the file once, and its deltas follow")
  func replace() throws {
    let image = try threeDeltas("delta-replace")
    let all = image.moments[3].items
    for rule in [RestoreOptions.Replace.never, .ifNewer, .ifOlder] {
      try image.empty()
      #expect(try restored(image, all, rule) == [], "\(rule)")
      #expect(try image.restoredDigest() == image.content(), "\(rule)")
    }
    try image.overwrite("other")
    #expect(try restored(image, all, .never) == [])
    #expect(try image.restoredDigest() == Data("other".utf8))
    // Older than the last delta, and newer than the whole file.
    try image.overwrite("between", at: Int(all.last(where: image.isImage)!.entry.status.st_mtim.tv_sec))
    let between = try restored(
      image,
      all.map { item in
        var item = item
        if image.isImage(item) { item.entry.status.st_mtim.tv_sec += item.entry.delta == 3 ? 100 : -100 }
        return item
      }, .ifNewer)
    #expect(between.count == 1 && between[0].contains("the restore has kept the file that is there"), "\(between)")
    #expect(try image.restoredDigest() == Data("between".utf8))
  }

  @Test("attributes that a later job has no more are gone after its delta")
  func attributes() throws {
    var image = try Image("delta-attributes")
    try image.write(10_000_000, at: 0)
    try image.change("setfattr -n user.a -v 1 $e; setfattr -n user.b -v 2 $e; setfacl -m u:7:r $e; chmod 600 $e")
    try image.backUp()
    try image.change("setfattr -x user.a $e; setfattr -n user.c -v 3 $e; setfacl -b $e; chmod 640 $e; chown 7:8 $e")
    try image.write(1, at: 0)
    try image.backUp()
    image.expect(1)
    #expect(try image.wrong(1) == "")
    let comparison = try run(Scratch.script("compare-trees"), "--bareos", image.local, image.restoredFolder)
    #expect(comparison.status == 0, "\(comparison.output)")
  }

  /// Gluster never sets a time of a shard back, so such a write leaves the times as they are.
  @Test("a write by a client whose clock is half a minute behind is in the next delta", arguments: [true, false])
  func clocks(isDated: Bool) throws {
    var image = try Image("delta-clocks-\(isDated)")
    try image.write(42_000_000, at: 0)
    try image.backUp()
    image.expect(0)
    if isDated { try image.change("chmod 640 $e") }
    try Scratch.withMount(of: "sharded", clock: -30) { mount in
      let file = mount + image.path + "/image"
      let result = try run(
        "sh", "-ec", "printf changed | dd of='\(file)' bs=1M seek=9000000 oflag=seek_bytes conv=notrunc,fsync status=none")
      #expect(result.status == 0, "\(result.output)")
    }
    try Scratch.remount("sharded")
    try image.backUp()
    image.expect(1, 20_000)
    #expect(try image.wrong(1) == "")
  }

  @Test("a write while a delta is read is reported, and the next delta has it")
  func writtenMeanwhile() throws {
    var image = try Image("delta-meanwhile")
    try image.write(42_000_000, at: 0)
    try image.backUp()
    try image.write(8_000_000, at: 4_194_304)
    try image.whileWriting(at: 5_000_000) { image in
      try image.backUp(said: ["GFD-060"])
    }
    image.expect(1)
    nextSecond()
    try image.backUp()
    image.expect(2)
    #expect(try image.wrong(2) == "")
  }
}
