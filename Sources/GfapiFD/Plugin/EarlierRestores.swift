import GfapiRestore
import Glibc

/// What the restores of a job's earlier plugin lines leave for the next one.
struct EarlierRestores {
  /// The directories that have been restored on each volume, by the volume's identity: their inode numbers.
  var directories: [String: Set<ino_t>] = [:]
  /// The rebases, by the volume that was backed up and the volume that is restored to.
  var rebases: [String: [Rebase]] = [:]
  /// ``RestoreRun/firstNames`` of the plugin lines that have been restored.
  var firstNames: Set<Int> = []
  /// The files on which deltas may build on each volume, by its identity.
  var images: [String: RestoredImages] = [:]
}
