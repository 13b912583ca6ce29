import GfapiJob
import Glibc
import Gluster
import Version

/// What a job says before its first entry.
struct JobIntroduction {
  private var hasReportedUser = false
  /// The volumes and directories of the job's plugin lines so far.
  private var backedUp: [VolumeURI] = []

  /// Reports what a job does, on which volume, and the versions of the plugin and libgfapi.
  ///
  /// - Parameter how: text to append.
  func reportBeginning(_ daemon: any Daemon, _ what: String, _ volume: JobVolume, _ traits: VolumeTraits, _ how: String = "") {
    daemon.inform(
      "gfapi-fd \(Version.version), libgfapi \(Volume.clientVersion): \(what) \(volume.definition.volume) (\(VolumeReport.type(traits)))\(how)"
    )
  }

  /// Warns if two volumes in one FileSet have overlapping directories: the daemons' catalogs identify entries by their paths alone.
  mutating func reportSameNames(_ daemon: any Daemon, _ uri: VolumeURI) {
    let other = backedUp.first {
      $0.volume != uri.volume && ($0.directory.contains(uri.directory) || uri.directory.contains($0.directory))
    }
    backedUp.append(uri)
    guard let other else { return }
    daemon.report(
      .warning, "GFD-014",
      "\(other) and \(uri) are in one FileSet: of two entries with the same path, a restore can select only one: use a FileSet for each")
  }

  /// Warns, once, if the daemon does not run as root.
  mutating func reportUser(_ daemon: any Daemon) {
    guard geteuid() != 0, !hasReportedUser else { return }
    hasReportedUser = true
    daemon.report(
      .warning, "GFD-013",
      "the file daemon runs as user \(geteuid()), not as root: it saves only what this user may read, and a restore cannot set owners")
  }
}
