import Gluster
import Locks

/// Has what a restore does on a distributed volume done again if one of its subvolumes was away meanwhile.
///
/// Gluster (10.3) then answers as if there were no such subvolume: making what belongs there, or setting attributes of a
/// directory, is an I/O error or an invalid argument, and what stands there is not seen.
final class Wholeness: Sendable {
  private let volume: Volume
  private let distribution: Distribution
  /// When all subvolumes were there, the last time that something was done.
  private let whole: Mutex<Distribution.State>

  /// How often something is done: a client looks at a directory anew only when what it knows of it is a second old.
  private static let attempts = 5

  /// Waits until all subvolumes are there. Nil: the volume is not distributed.
  ///
  /// - Throws: ``GlusterError``, if the volume's patience is at its end.
  init?(_ volume: Volume) throws {
    guard let distribution = Distribution(volume) else { return nil }
    (self.volume, self.distribution) = (volume, distribution)
    whole = Mutex(try volume.patience.run { _ in try distribution.check() })
  }

  /// Does something, and does it again when all subvolumes are back, unless they were there all the time.
  ///
  /// - Parameters:
  ///   - prepare: called before it is done again.
  ///   - body: may be done twice.
  /// - Throws: what `body` throws; ``GlusterError`` with the subvolume, if one does not come back.
  func keep<T>(prepare: () throws -> Void, _ body: () throws -> T) throws -> T {
    for attempt in 1... {
      let before = whole.withLock { $0 }
      let result = Result { try body() }
      if attempt == Self.attempts || (try? distribution.check()) == before { return try result.get() }
      let now = try volume.patience.run { _ in try distribution.check() }
      whole.withLock { $0 = now }
      try prepare()
    }
    fatalError("there is a last attempt")
  }
}
