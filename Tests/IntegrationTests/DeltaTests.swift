import Foundation
import MiniDaemon
import TestSupport
import Testing

/// An image on a sharded volume with shards of 4 MiB, and what it contained at each moment that was backed up.
private struct Image {
  let local: String
  let path: String
  private let state: String
  private let target: (local: String, path: String)
  var chain: Chain
  /// The records and the content at each moment.
  private(set) var moments: [(items: [MemoryBackup.Item], content: Data)] = []

  init(_ name: String, abi: ABI = .bareos26, _ more: String = "") throws {
    (local, path) = try Scratch.folder(on: "sharded", name)
    target = try Scratch.folder(on: "sharded", name + "-restored")
    state = try Scratch.temporaryFolder() + "/" + UUID().uuidString
    chain = Chain(Scratch.line("sharded", path, ":delta=yes:statedir=\(state)\(more)"), abi: abi)
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
  func write(_ count: Int, at offset: Int) throws {
    try change("head -c \(count) /dev/urandom | dd of=$e bs=1M seek=\(offset) oflag=seek_bytes iflag=fullblock conv=notrunc status=none")
  }

  mutating func backUp(_ level: Chain.Level = .incremental, accurate: Bool = true, fails: Bool = false) throws {
    try chain.backUp("", level, accurate: accurate, fails: fails)
    #expect(chain.messages.allSatisfy { $0.severity == .info }, "\(chain.messages)")
    moments.append((chain.items, try Data(contentsOf: URL(fileURLWithPath: file))))
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

  func restore(_ items: [MemoryBackup.Item], _ replace: RestoreOptions.Replace = .always) throws -> [MiniJob.Message] {
    var options = RestoreOptions()
    options.prefix = Array(target.path.utf8)
    options.replace = replace
    return try withJob(abi: chain.abi) { job throws in
      _ = try MemoryBackup(items).restore(job, chain.line, options)
      return job
    }.messages
  }

  func empty() throws { _ = try run("sh", "-c", "rm -rf '\(target.local)'/*") }
}

@Suite("Deltas of files of several shards")
struct DeltaTests {
  @Test("a full backup and five incremental ones restore each of the six moments", arguments: [ABI.bareos26, .bacula9])
  func moments(_ abi: ABI) throws {
    var image = try Image("delta-\(abi)", abi: abi)
    try image.write(42_000_000, at: 0)
    try image.backUp()
    #expect(image.last?.entry.delta == 0 && image.last?.data.count == 42_000_000)
    try image.write(5000, at: 9_000_000)
    try image.write(100, at: 100)
    try image.backUp()
    #expect(image.last?.entry.delta == 1)
    #expect((image.last?.data.count ?? .max) < 100_000)
    try image.write(3_000_000, at: 42_000_000)
    try image.backUp()
    #expect(image.last?.entry.delta == 2)
    try image.change("truncate -s 30000001 $e")
    try image.backUp()
    #expect(image.last?.entry.delta == 3)
    #expect((image.last?.data.count ?? .max) < 100_000)
    try image.change("fallocate -p -o 8388608 -l 4194304 $e; fallocate -p -o 100 -l 20000 $e")
    try image.backUp()
    #expect(image.last?.entry.delta == 4)
    try image.change("truncate -s 60000000 $e")
    try image.write(7, at: 55_000_000)
    try image.backUp()
    #expect(image.last?.entry.delta == 5)
    #expect((image.last?.data.count ?? .max) < 100_000)
    for moment in image.moments.indices {
      try image.empty()
      #expect(try image.wrong(moment) == "", "moment \(moment)")
    }
    for moment in image.moments.indices.reversed() { #expect(try image.wrong(moment) == "", "moment \(moment) over another") }
  }
}
