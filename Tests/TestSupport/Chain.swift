import FDPluginABI
import Foundation
import MiniDaemon
import Testing

/// A full backup and the incremental and differential ones after it, merged as in a daemon's catalog: the entries that a restore of the
/// last state would restore.
public struct Chain {
  public let line: String
  public let abi: ABI
  public private(set) var items: [MemoryBackup.Item] = []
  /// The entries of the full backup, with which a differential one is compared.
  private var fullItems: [MemoryBackup.Item] = []
  /// The messages of the last job.
  public private(set) var messages: [MiniJob.Message] = []
  /// The paths that the last job backed up, and those that it reported as deleted.
  public private(set) var backedUp: [String] = []
  public private(set) var deleted: [String] = []
  /// Called for each record of a job before its data.
  public var onBegin: ((SavedEntry) -> Void)?
  /// A finished job: the time of its start and its unique name.
  private typealias Job = (began: Int, name: String)
  private var last: Job?
  private var full: Job?
  private let name = UUID().uuidString
  private var count = 0

  /// The level of a job after the full one.
  public enum Level {
    case incremental, differential
  }

  public init(_ line: String, abi: ABI = .bareos26) {
    self.line = line
    self.abi = abi
  }

  /// Runs a job. The first job is a full backup.
  ///
  /// - Parameters:
  ///   - more: text to append to the plugin line, such as a list.
  ///   - level: the level of every job but the first.
  ///   - accurate: true: the daemon passes its entries to the job, and drops those that the job reports as deleted.
  ///   - fails: true: the daemon treats the job as failed, so it has no effect on the chain.
  ///   - change: changes the options of the job, before its start time is taken.
  public mutating func backUp(
    _ more: String = "", _ level: Level = .incremental, accurate: Bool = true, fails: Bool = false,
    _ change: (inout MiniJob.Options) throws -> Void = { _ in }
  ) throws {
    var options = options(level)
    let known = level == .differential ? fullItems : items
    if !items.isEmpty, accurate {
      options.accurate = Dictionary(
        known.map { item in
          let (entry, status) = (item.entry, item.entry.status)
          return (Self.name(of: entry), (mtime: status.st_mtim.tv_sec, size: Int(status.st_size), delta: entry.delta))
        }, uniquingKeysWith: { $1 })
    }
    count += 1
    // The form in which both daemons make the name of a run unique.
    options.jobName = "\(name).2026-11-27_21.05.00_\(count)"
    try change(&options)
    // Both daemons set the start time of a job after the programs that run before it.
    let began = Int(Date().timeIntervalSince1970)
    let job = (began: began, name: options.jobName ?? "")
    let backup = MemoryBackup()
    backup.onBegin = onBegin
    // Some messages are only sent at the end of the job.
    messages = try withJob(options, abi: abi) { job throws in
      _ = try job.backup(line + more, to: backup)
      deleted = job.hasFailed ? [] : job.deleted.map { String(decoding: $0, as: UTF8.self) }
      return job
    }.messages
    backedUp = backup.paths
    guard !fails else { return }
    last = job
    full = full ?? job
    let gone = Set(deleted.map { Array($0.utf8) })
    // A restore tree has one node for a path: an entry replaces an earlier one of another type. (A daemon does not notice that a file is gone
    // if a directory has its name now.) A delta leaves what it builds on.
    let new = Dictionary(backup.items.map { (Self.path(of: $0.entry), $0.entry.delta) }, uniquingKeysWith: { $1 })
    items =
      known.filter { item in
        !gone.contains(Self.name(of: item.entry)) && new[Self.path(of: item.entry)].map { item.entry.delta < $0 } ?? true
      } + backup.items
    if fullItems.isEmpty { fullItems = items }
  }

  private func options(_ level: Level) -> MiniJob.Options {
    var options = MiniJob.Options()
    options.level = UInt8(ascii: items.isEmpty ? "F" : level == .incremental ? "I" : "D")
    let base = level == .incremental ? last : full
    (options.since, options.previousJobName) = (base?.began ?? 0, base?.name)
    return options
  }

  /// The paths that an incremental job would back up now, according to an estimate.
  public func estimate() throws -> Set<String> {
    var paths = Set<String>()
    try withJob(options(.incremental), abi: abi) { job throws in
      _ = job.estimate(line) { paths.insert(String(decoding: $0.path, as: UTF8.self)) }
    }
    return paths
  }

  private static func path(of entry: SavedEntry) -> [UInt8] {
    Array(entry.path.last == UInt8(ascii: "/") ? entry.path.dropLast() : entry.path[...])
  }

  /// The name of an entry as in the list of accurate mode: a directory ends with a slash.
  private static func name(of entry: SavedEntry) -> [UInt8] {
    entry.status.st_mode & S_IFMT == S_IFDIR && entry.path.last != UInt8(ascii: "/")
      ? entry.path + [UInt8(ascii: "/")] : entry.path
  }

  /// Restores into a directory of the volume and compares the result with the tree that was backed up.
  ///
  /// - Returns: the messages of the restore and the differences; empty if there are none.
  ///
  /// - Parameter target: the kind of volume to restore to; nil: that of the backup.
  public func difference(
    _ kind: String, from local: String, _ path: String, onto target: String? = nil, in folder: (local: String, path: String)
  ) throws -> String {
    var restore = RestoreOptions()
    restore.prefix = Array(folder.path.utf8)
    let messages = try withJob(abi: abi) { job throws in
      _ = try MemoryBackup(items).restore(job, target.map { Scratch.line($0) } ?? line, restore)
      return job.messages.filter { $0.severity != .info }
    }
    if kind.hasPrefix("sharded") { try Scratch.remount(kind) }
    let comparison = try run(Scratch.script("compare-trees"), (abi.isBacula ? [] : ["--bareos"]) + [local, folder.local + path])
    return messages.map(\.text).joined(separator: "\n") + (comparison.status == 0 ? "" : comparison.output)
  }
}
