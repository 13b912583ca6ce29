import Gluster
import Locks

/// Tells a restore onto a distributed volume whether a subvolume has been away, and waits for it.
///
/// While one is, Gluster (10.3) answers as if it had never been there: making what belongs onto it, or setting attributes of a
/// directory, is an I/O error or an invalid argument, and what stands there is not seen. It goes on doing so in a directory that
/// was looked up meanwhile, until that is looked up again.
final class Wholeness: Sendable {
  private let distribution: Distribution
  private let whole: Mutex<Distribution.State>

  /// Waits until all subvolumes are there. Nil: the volume is not distributed.
  ///
  /// - Throws: ``GlusterError``, if the volume's patience is at its end.
  init?(_ volume: Volume) throws {
    guard let distribution = Distribution(volume) else { return nil }
    self.distribution = distribution
    whole = Mutex(try distribution.waitUntilWhole())
  }

  /// When all subvolumes were there, the last time that it was asked for.
  var lastKnown: Distribution.State { whole.withLock { $0 } }

  /// Whether all subvolumes have been there since then.
  func holds(since state: Distribution.State) -> Bool { (try? distribution.check()) == state }

  /// Waits until all are there.
  ///
  /// - Throws: ``GlusterError`` with the subvolume, if one does not come back.
  func wait() throws {
    let state = try distribution.waitUntilWhole()
    whole.withLock { $0 = state }
  }
}
