import Glibc
import Gluster
import Locks
import PartStore

/// Ends the process when the volume has not answered for too long: libgfapi's calls cannot be interrupted.
final class Patience: Sendable {
  struct State {
    /// On the monotonic clock, in nanoseconds.
    var deadline = UInt64.max
    var action: StaticString = ""
    var setback: StoreError?
    var giveUp: (@Sendable () -> Never)?
  }

  private let nanoseconds: UInt64
  private let state = Mutex(State())
  private let now: @Sendable () -> UInt64

  /// - Parameters:
  ///   - seconds: how long each call may take.
  ///   - giveUp: ends the process; is told what was being done, and what it had failed with before it was tried again.
  convenience init(seconds: Int, giveUp: @escaping @Sendable (StaticString, StoreError?) -> Never) {
    self.init(seconds: seconds, now: Self.monotonic)
    onOwnThread { self.watch(giveUp) }
  }

  /// Nobody watches.
  ///
  /// - Parameter now: the time, in nanoseconds.
  init(seconds: Int, now: @escaping @Sendable () -> UInt64) {
    nanoseconds = UInt64(seconds) * 1_000_000_000
    self.now = now
  }

  /// A call on the volume follows.
  ///
  /// - Parameters:
  ///   - action: what it does.
  ///   - giveUp: ends the process, in place of what all calls have in common.
  func begin(_ action: StaticString, giveUp: (@Sendable () -> Never)? = nil) {
    state.withLock { $0 = State(deadline: now() + nanoseconds, action: action, giveUp: giveUp) }
  }

  /// What was being done has failed, and is tried again: why.
  func note(_ setback: StoreError) { state.withLock { $0.setback = setback } }

  /// Has `body` wait for something else than the volume, as long as it takes.
  func pause<T>(_ body: () throws -> T) rethrows -> T {
    state.withLock { $0.deadline = .max }
    return try body()
  }

  /// What is to be done now.
  enum Step {
    /// End the process: the volume has not answered in time.
    case end(State)
    /// Look again after so many nanoseconds.
    case wait(UInt64)
  }

  func step() -> Step {
    let (now, state) = (now(), state.withLock { $0 })
    if now >= state.deadline { return .end(state) }
    // A deadline that is set meanwhile is later than this.
    return .wait(min(state.deadline - now, nanoseconds))
  }

  private func watch(_ giveUp: @Sendable (StaticString, StoreError?) -> Never) -> Never {
    while true {
      switch step() {
      case .end(let state): state.giveUp?() ?? giveUp(state.action, state.setback)
      case .wait(let wait):
        var time = timespec(tv_sec: Int(wait / 1_000_000_000), tv_nsec: Int(wait % 1_000_000_000))
        nanosleep(&time, nil)
      }
    }
  }

  private static func monotonic() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
