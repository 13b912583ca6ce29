import Glibc
import Locks
import struct Synchronization.Atomic

/// Repeats calls on an unreachable volume for a limited time.
///
/// While a volume is unreachable, its client answers each call at once with an error, until the client is connected again.
///
/// A call that a connected volume does not answer is a different case: the client gives the call up after `network.ping-timeout`, and from
/// then on the volume is unreachable.
public final class OutageRetry: Sendable {
  /// Seconds, from the beginning of a call, for which the call is repeated while the volume is unreachable.
  public let seconds: Int
  private let now: @Sendable () -> ContinuousClock.Instant
  private let pause: @Sendable () -> Void
  private let state = Mutex(State())
  /// True after a call has waited in vain for an unreachable volume. From then on no other call waits, even if a call was answered
  /// meanwhile: the client may have given that answer itself.
  private let isExhausted = Atomic(false)
  /// True after a call has waited in vain for an unreachable entry of a volume that answers. From then on no other call waits for such an
  /// entry.
  private let givesUpEntries = Atomic(false)
  /// Functions that check whether the volume answers. Each uses a connection of its own.
  private let probes = Mutex<[@Sendable () -> Bool]>([])

  /// The causes for which the volume has refused calls. The value is true if ``newCauses()`` has already returned the cause.
  private let causes = Mutex<[VolumeCause: Bool]>([:])

  private struct State {
    var waiting = 0
    var isOver = false
    /// Time at which the waiting calls give up. Nil if no call waits, or if one of them has been answered.
    var deadline: ContinuousClock.Instant?
  }

  /// - Parameter seconds: how long a call is repeated; 0: the error of an unreachable volume is thrown at once.
  public convenience init(seconds: Int) { self.init(seconds: seconds, now: { .now }, pause: { usleep(200_000) }) }

  /// - Parameters:
  ///   - now: returns the current time.
  ///   - pause: called between two tries of a call, to wait.
  init(seconds: Int, now: @escaping @Sendable () -> ContinuousClock.Instant, pause: @escaping @Sendable () -> Void) {
    (self.seconds, self.now, self.pause) = (seconds, now, pause)
  }

  /// True while a call waits for the volume.
  public var isNeeded: Bool { state.withLock { $0.waiting > 0 } }

  /// True after ``end()``: no call waits any more, because the job has ended.
  public var isOver: Bool { state.withLock { $0.isOver } }

  /// Makes all waiting calls give up, and prevents later ones from waiting. May be called on any thread.
  public func end() { state.withLock { $0.isOver = true } }

  /// Registers a check of the volume.
  ///
  /// - Parameter probe: returns true if the volume answers. Called on any thread, after a call whose error says that the volume does not
  ///   answer.
  func ask(_ probe: @escaping @Sendable () -> Bool) { probes.withLock { $0.append(probe) } }

  /// Returns the error, marked as ``GlusterError/isOfEntry`` if the volume answers: then it is only this entry that has no reachable copy.
  private func judged(_ error: GlusterError) -> GlusterError {
    error.meansVolumeIsGone && probes.withLock({ $0 }).contains { $0() } ? error.ofEntry : error
  }

  /// Makes a call, and repeats it while the volume is unreachable.
  ///
  /// - Parameter call: makes the call. `again` is true if the call is repeated: the earlier try may have been carried out, and only its
  ///   answer lost.
  /// - Throws: the error of the last try.
  public func run<T>(_ call: (_ again: Bool) throws(GlusterError) -> T) throws(GlusterError) -> T {
    do { return try repeated(call) } catch {
      if let cause = VolumeCause(error) { causes.withLock { $0[cause] = $0[cause] ?? false } }
      throw error
    }
  }

  /// The causes for which the volume has refused calls, without those that were returned before.
  public func newCauses() -> [VolumeCause] {
    causes.withLock { causes in
      let new = causes.filter { !$0.value }.map(\.key)
      for cause in new { causes[cause] = true }
      return new
    }
  }

  private func repeated<T>(_ call: (_ again: Bool) throws(GlusterError) -> T) throws(GlusterError) -> T {
    guard seconds > 0 else {
      do { return try call(false) } catch let error where error.meansVolumeIsGone { throw judged(error) }
    }
    let own = now() + .seconds(seconds)
    do { return try call(false) } catch let error where error.meansVolumeIsAway {
      if isExhausted.load(ordering: .relaxed) { throw error }
      if givesUpEntries.load(ordering: .relaxed), case let error = judged(error), error.isOfEntry { throw error }
      state.withLock { $0.waiting += 1 }
      defer {
        state.withLock { state in
          state.waiting -= 1
          if state.waiting == 0 { state.deadline = nil }
        }
      }
      /// Returns true if this call shall go on waiting.
      ///
      /// All waiting calls give up together with the one that began first. A brick that does not answer counts as unreachable only after
      /// some time, and calls that were made during that time would otherwise wait that much longer.
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
        } catch let error where error.meansVolumeIsAway { last = error }
      }
      last = judged(last)
      if last.isOfEntry { givesUpEntries.store(true, ordering: .relaxed) }
      if last.meansVolumeIsGone { isExhausted.store(true, ordering: .relaxed) }
      throw last
    }
  }
}
