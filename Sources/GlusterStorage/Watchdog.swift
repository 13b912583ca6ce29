import Glibc
import Gluster
import Locks
import PartStore

/// Ends the process if the volume does not answer for too long. A thread of its own does this, because libgfapi's calls cannot be
/// interrupted.
final class Watchdog: Sendable {
  struct State {
    /// Nil: there is no call under way.
    var deadline: SuspendingClock.Instant?
    var action: StaticString = ""
    var setback: StoreError?
    var giveUp: (@Sendable () -> Never)?
  }

  private let limit: Duration
  private let state = Mutex(State())
  // Time while the host is suspended does not count: no volume can answer then. ContinuousClock would count it.
  private let now: @Sendable () -> SuspendingClock.Instant

  /// - Parameters:
  ///   - seconds: how long each call may take.
  ///   - giveUp: ends the process. It is called with the action that was under way, and with the error of that action's last failed try.
  convenience init(seconds: Int, giveUp: @escaping @Sendable (StaticString, StoreError?) -> Never) {
    self.init(seconds: seconds, now: { SuspendingClock.now })
    onOwnThread { self.watch(giveUp) }
  }

  /// Makes a watchdog without the thread that watches.
  ///
  /// - Parameter now: returns the time.
  init(seconds: Int, now: @escaping @Sendable () -> SuspendingClock.Instant) {
    limit = .seconds(seconds)
    self.now = now
  }

  /// Announces a call on the volume, which sets the deadline.
  ///
  /// - Parameters:
  ///   - action: what the call does.
  ///   - giveUp: ends the process, in place of the function that `init` was given.
  func begin(_ action: StaticString, giveUp: (@Sendable () -> Never)? = nil) {
    state.withLock { $0 = State(deadline: now() + limit, action: action, giveUp: giveUp) }
  }

  /// Records why the current action has failed, before it is tried again.
  func note(_ setback: StoreError) { state.withLock { $0.setback = setback } }

  /// Runs `body` without a deadline: it waits for something other than the volume.
  func pause<T>(_ body: () throws -> T) rethrows -> T {
    state.withLock { $0.deadline = nil }
    return try body()
  }

  /// The next step of the thread that watches.
  enum Step {
    /// End the process: the volume has not answered in time.
    case end(State)
    /// Check again after this time.
    case wait(Duration)
  }

  func step() -> Step {
    let (now, state) = (now(), state.withLock { $0 })
    guard let deadline = state.deadline else { return .wait(limit) }
    if now >= deadline { return .end(state) }
    // A deadline that is set during the wait is later than the end of the wait.
    return .wait(min(deadline - now, limit))
  }

  private func watch(_ giveUp: @Sendable (StaticString, StoreError?) -> Never) -> Never {
    while true {
      switch step() {
      case .end(let state): state.giveUp?() ?? giveUp(state.action, state.setback)
      case .wait(let wait):
        let (seconds, attoseconds) = wait.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        nanosleep(&time, nil)
      }
    }
  }
}
