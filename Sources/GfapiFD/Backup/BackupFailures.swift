import GfapiDefinition
import GfapiJob
import Glibc
import Gluster

/// Reports the entries of a backup that fail, counts them, and ends the backup if the volume is unreachable.
final class BackupFailures {
  private unowned let daemon: any Daemon
  private let calls: JobCalls
  /// The number of entries that failed.
  var count = 0
  private(set) var unread = UnreadPlaces()
  /// True if the volume is unreachable. A message has reported this.
  private var isGone = false
  private var hasReportedShardsProblem = false
  private var hasReportedTrash = false

  /// The path of the volume's trash, if the trash is at its default place.
  private static let trash = VolumePath(components: [".trashcan".utf8])

  init(_ daemon: any Daemon, _ calls: JobCalls) { (self.daemon, self.calls) = (daemon, calls) }

  /// Returns the record for an entry that the source could not read.
  func record(of failure: SourceFailure) throws -> SaveRecord {
    try endIfGone(failure.error)
    unread.add(failure.path)
    let (kind, message) = failure.recordKindAndMessage
    let isLong = failure.kind == .pathTooLong
    report(isLong ? message.about(failure.path.bytes.prefix(200) + Array("...".utf8)) : message.about(failure.path), failure.path)
    var status = stat()
    if failure.kind == .directory { status.st_mode = S_IFDIR }
    return SaveRecord(kind: kind, path: failure.path, status: status)
  }

  /// Reports an entry that is not saved.
  func report(_ message: JobMessage, _ path: VolumePath) {
    count += 1
    daemon.report(.notSaved, message)
    calls.reportCauses()
    if !hasReportedTrash, path != Self.trash, Self.trash.contains(path) {
      hasReportedTrash = true
      daemon.report(
        .info, "GFD-053", "\(printable(Self.trash.bytes)) is the trash of the volume (features.trash): exclude it in the FileSet")
    }
  }

  /// Reports, once, that the shards of the volume cannot be listed.
  func report(shards problem: GlusterError) {
    guard !hasReportedShardsProblem else { return }
    hasReportedShardsProblem = true
    daemon.report(
      .warning, "GFD-040",
      "files of more than one shard count as changed: their times are those of the first shard, and the others cannot be listed: \(problem)"
    )
  }

  /// Makes a call, unless the volume is gone.
  func orEnd<T>(_ body: () throws -> T) throws -> T {
    guard !isGone else { throw JobCalls.Ended(message: nil) }
    return try body()
  }

  /// Ends the backup if an error says that the volume is unreachable.
  func endIfGone(_ error: GlusterError) throws {
    guard error.meansVolumeIsGone else { return }
    isGone = true
    calls.volume.retry.end()
    unread.addEverything()
    throw JobCalls.Ended(
      message: JobMessage("GFD-007", "the volume is unreachable, the backup ends: \(calls.volume.definition.volume): \(error)"))
  }
}
