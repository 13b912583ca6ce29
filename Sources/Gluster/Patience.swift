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
  private let now: @Sendable () -> ContinuousClock.Instant
  private let pause: @Sendable () -> Void
  private let state = Mutex(State())
  /// A call has waited in vain for a volume that is gone: no other waits. Not even after an answer, which the client may have
  /// given itself.
  private let isExhausted = Atomic(false)
  /// A call has waited in vain for an entry of a volume that answers: no other waits for one.
  private let givesUpEntries = Atomic(false)
  /// Ask the volume for something else, each by a connection of its own.
  private let probes = Mutex<[@Sendable () -> Bool]>([])

  /// The causes for which calls have been refused; true: the job has its message.
  private let causes = Mutex<[VolumeCause: Bool]>([:])

  private struct State {
    var waiting = 0
    var isOver = false
    /// Until when those that wait do. Nil: none does, or one has been answered.
    var deadline: ContinuousClock.Instant?
  }

  /// - Parameter seconds: how long; 0: such an error is an error at once.
  public convenience init(seconds: Int) { self.init(seconds: seconds, now: { .now }, pause: { usleep(200_000) }) }

  /// - Parameters:
  ///   - now: the time.
  ///   - pause: waits between two calls.
  init(seconds: Int, now: @escaping @Sendable () -> ContinuousClock.Instant, pause: @escaping @Sendable () -> Void) {
    (self.seconds, self.now, self.pause) = (seconds, now, pause)
  }

  /// Whether a call waits just now.
  public var isNeeded: Bool { state.withLock { $0.waiting > 0 } }

  /// Whether no call waits any more: the job has ended.
  public var isOver: Bool { state.withLock { $0.isOver } }

  /// Has no call wait any more, from any thread.
  public func end() { state.withLock { $0.isOver = true } }

  /// - Parameter probe: whether the volume answers. Asked, by any thread, after a call that says that it does not.
  func ask(_ probe: @escaping @Sendable () -> Bool) { probes.withLock { $0.append(probe) } }

  /// What an error means: an entry of a volume that answers has no copy that can be reached.
  private func judged(_ error: GlusterError) -> GlusterError {
    error.meansVolumeIsGone && probes.withLock({ $0 }).contains { $0() } ? error.ofEntry : error
  }

  /// Makes a call, and makes it again as long as the volume is away.
  ///
  /// - Parameter call: is told whether it has been made before: that one may have been carried out, and only its answer lost.
  /// - Throws: the call's last error.
  public func run<T>(_ call: (_ again: Bool) throws -> T) throws -> T {
    do { return try repeated(call) } catch {
      if let error = error as? GlusterError, let cause = VolumeCause(error) { causes.withLock { $0[cause] = $0[cause] ?? false } }
      throw error
    }
  }

  /// Why calls have been refused; what was returned before is left out.
  public func newCauses() -> [VolumeCause] {
    causes.withLock { causes in
      let new = causes.filter { !$0.value }.map(\.key)
      for cause in new { causes[cause] = true }
      return new
    }
  }

  private func repeated<T>(_ call: (_ again: Bool) throws -> T) throws -> T {
    guard seconds > 0 else {
      do { return try call(false) } catch let error as GlusterError where error.meansVolumeIsGone { throw judged(error) }
    }
    let own = now() + .seconds(seconds)
    do { return try call(false) } catch let error as GlusterError where error.meansVolumeIsAway {
      if isExhausted.load(ordering: .relaxed) { throw error }
      if givesUpEntries.load(ordering: .relaxed), case let error = judged(error), error.isOfEntry { throw error }
      state.withLock { $0.waiting += 1 }
      defer {
        state.withLock { state in
          state.waiting -= 1
          if state.waiting == 0 { state.deadline = nil }
        }
      }
      /// All wait as long as the one that began first: a brick that does not answer is away only after some time, and what
      /// was called meanwhile would wait for that much longer.
      func goesOn() -> Bool {
        state.withLock { state in
          let deadline = min(state.deadline ?? own, own)
          state.deadline = deadline
          return now() < deadline && !state.isOver
        }
      }
      var last = error
      while goesOn() {
        pause()
        do {
          let result = try call(true)
          state.withLock { $0.deadline = nil }
          return result
        } catch let error as GlusterError where error.meansVolumeIsAway { last = error }
      }
      last = judged(last)
      if last.isOfEntry { givesUpEntries.store(true, ordering: .relaxed) }
      if last.meansVolumeIsGone { isExhausted.store(true, ordering: .relaxed) }
      throw last
    }
  }
}
