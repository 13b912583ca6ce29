import CGFAPI
import Glibc

// A sharded volume may say of a file that it is missing (`ENOENT`) although it is there. When two calls create the same shard, or Gluster's
// directory for removed shards, at once, the second one finds it before the brick has given it its identity (10.3). A read creates shards as
// well: it creates the shards that it finds missing because they are holes.

/// The pauses before a call is repeated, in microseconds.
private let pauses: [UInt32] = [5_000, 20_000, 75_000, 300_000]

extension Volume {
  /// Makes a call on an entry, and repeats it for less than half a second while the call says that the entry is missing although it is there.
  ///
  /// - Parameter isThere: returns true if the entry exists. Called after an error only.
  /// - Throws: the error of the last try.
  @inline(__always)
  func repeatedIfThere<T>(
    _ isThere: () -> Bool, _ call: () throws(GlusterError) -> T
  ) throws(GlusterError) -> T {
    do { return try call() } catch let error where error.meansMissing {
      var last = error
      for pause in pauses where isThere() && !retry.isOver {
        usleep(pause)
        do { return try call() } catch let error where error.meansMissing { last = error }
      }
      throw last
    }
  }
}

extension Object {
  /// True if this entry exists.
  var isThere: Bool {
    var status = stat()
    return glfs_h_stat(volume.handle, handle, &status) == 0
  }

  /// Returns true if this directory has an entry of this name.
  func hasEntry(_ name: some Collection<UInt8>) -> Bool {
    var status = stat()
    guard let found = name.withCString({ glfs_h_lookupat(volume.handle, handle, $0, &status, 0) }) else { return false }
    glfs_h_close(found)
    return true
  }
}
