import GfapiBackup
import Gluster

/// Answers the daemon's questions, in an accurate job, about entries that the job's backups have not passed to it.
struct UnseenAnswers {
  /// The places that the job's backups could not read.
  private var unread = UnreadPlaces()
  /// The paths in the lists of the job's backups. They decide about entries that were not passed to the daemon.
  private var listed: [any UnseenEntries] = []
  /// True if the daemon knows entries by paths without their first components (Strip Path); nil: not known.
  private var stripsPaths: Bool?
  /// The number of entries that the daemon has asked for and that are in no base directory of a list, and whether it has asked for one that
  /// is in such a directory.
  private var asked = (outside: 0, inside: false)

  /// Returns true if an entry that no backup of this job has passed to the daemon may exist all the same.
  ///
  /// - Parameters:
  ///   - name: as the daemon passes it, in raw bytes: the path of a directory ends with a slash.
  ///   - backup: the backup that is running; nil: none is.
  mutating func mayExist(_ name: [UInt8], _ backup: BackupRun?) -> Bool {
    // A name without a slash in front is of another plugin. Only what stands for everything contains it.
    let path = VolumePath(absolute: name)
    if unread.contain(path) || backup?.unread.contain(path) ?? false { return true }
    let stripsPaths = backup?.options.stripsPaths ?? stripsPaths
    // The daemon's paths differ from the volume's, so the unread places cannot be compared with them.
    if stripsPaths == true, !unread.isEmpty || backup?.unread.isEmpty == false { return true }
    let lists = listed + (backup?.unseen.map { [$0] } ?? [])
    if lists.contains(where: { path.map($0.base.contains) ?? $0.base.isRoot }) {
      asked.inside = true
    } else if !lists.isEmpty, stripsPaths == nil, !asked.inside {
      // The entry is in another part of the FileSet, or in this one and without its first components. Keep it: an entry too many is better
      // than one too few.
      asked.outside += 1
      return true
    }
    return lists.contains { path.map($0.keep) ?? $0.base.isRoot }
  }

  /// Adds a backup that has ended.
  mutating func add(_ backup: BackupRun) {
    unread.add(backup.unread)
    stripsPaths = backup.options.stripsPaths
    if let entries = backup.unseen { listed.append(entries) }
  }

  /// The number of entries that the daemon has asked for since the last call, if none of them is in the base directory of a list; nil: one
  /// is, or it has asked for none.
  mutating func takeOutside() -> Int? {
    defer { asked = (0, false) }
    return asked.outside > 0 && !asked.inside ? asked.outside : nil
  }
}
