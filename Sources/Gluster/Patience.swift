import Glibc
import Locks
import struct Synchronization.Atomic

/// How long calls wait for a volume that is away: its client answers them at once, with an error, until it is connected again.
///
/// What a volume that is there does not answer is another matter: the client gives that up by itself, after
/// `network.ping-timeout`, and from then on the volume is away.
public final class Patience: Sendable {
  /// How long after its beginning a call that fails for that reason is made again, in seconds.
  public let seconds: Int
  private let state = Mutex(State())
  /// A call has waited in vain, and none has been answered since: no other waits.
  private let isExhausted = Atomic(false)

  private struct State {
    var waiting = 0
    var isOver = false
  }

  /// - Parameter seconds: how long; 0: such an error is an error at once.
  public init(seconds: Int) { self.seconds = seconds }

  /// Whether a call waits just now.
  public var isNeeded: Bool { state.withLock { $0.waiting > 0 } }

  /// Has no call wait any more, from any thread.
  public func end() { state.withLock { $0.isOver = true } }

  /// Makes a call, and makes it again as long as the volume is away.
  ///
  /// - Parameter call: is told whether it has been made before: that one may have been carried out, and only its answer lost.
  /// - Throws: the call's last error.
  public func run<T>(_ call: (_ again: Bool) throws -> T) throws -> T {
    guard seconds > 0 else { return try call(false) }
    let deadline = ContinuousClock.now + .seconds(seconds)
    func answer(_ again: Bool) throws -> T {
      let result = try call(again)
      if isExhausted.load(ordering: .relaxed) { isExhausted.store(false, ordering: .relaxed) }
      return result
    }
    do { return try answer(false) } catch let error as GlusterError where error.meansVolumeIsAway {
      if isExhausted.load(ordering: .relaxed) { throw error }
      state.withLock { $0.waiting += 1 }
      defer { state.withLock { $0.waiting -= 1 } }
      var last = error
      while ContinuousClock.now < deadline, !state.withLock(\.isOver) {
        usleep(200_000)
        do { return try answer(true) } catch let error as GlusterError where error.meansVolumeIsAway { last = error }
      }
      isExhausted.store(true, ordering: .relaxed)
      throw last
    }
  }
}
