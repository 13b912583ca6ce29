import GfapiBackup
import GfapiJob
import GfapiRestore

extension JobMetrics.Numbers {
  init(_ backup: BackupRun, isCancelled: Bool) {
    self.init()
    let counts = backup.counts
    hasSucceeded = backup.isComplete && !isCancelled
    entries = [
      ("file", counts.files), ("directory", counts.directories), ("symlink", counts.symbolicLinks), ("special", counts.special),
    ]
    (bytes, unchanged, failed) = (counts.bytes, counts.unchanged, counts.failed)
  }

  init(_ restore: RestoreRun, isCancelled: Bool) {
    self.init()
    let counts = restore.counts
    hasSucceeded = !restore.isGone && !isCancelled
    (entries, bytes, failed) = ([("any", counts.restored)], counts.bytes, counts.failed)
  }
}
