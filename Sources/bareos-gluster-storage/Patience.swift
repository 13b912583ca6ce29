import Glibc
import PartStore
import Synchronization

/// Ends the process when the volume has not answered for too long: libgfapi's calls cannot be interrupted.
final class Patience: Sendable {
  private let nanoseconds: UInt64
  private let deadline = Atomic<UInt64>(.max)
  private let action = Mutex<StaticString>("")
  private let setback = Mutex<StoreError?>(nil)
  private let giveUp: @Sendable (StaticString, StoreError?) -> Never

  /// - Parameters:
  ///   - seconds: how long each call may take.
  ///   - giveUp: ends the process; is told what was being done, and what it had failed with before it was tried again.
  init(seconds: Int, giveUp: @escaping @Sendable (StaticString, StoreError?) -> Never) {
    nanoseconds = UInt64(seconds) * 1_000_000_000
    self.giveUp = giveUp
    var thread = pthread_t()
    pthread_create(
      &thread, nil,
      {
        Unmanaged<Patience>.fromOpaque($0!).takeRetainedValue().watch()
        return nil
      }, Unmanaged.passRetained(self).toOpaque())
    pthread_detach(thread)
  }

  /// A call on the volume follows.
  func begin(_ action: StaticString) {
    self.action.withLock { $0 = action }
    setback.withLock { $0 = nil }
    deadline.store(Self.now + nanoseconds, ordering: .releasing)
  }

  /// What was being done has failed, and is tried again: why.
  func note(_ setback: StoreError) { self.setback.withLock { $0 = setback } }

  /// Has `body` wait for something else than the volume, as long as it takes.
  func pause<T>(_ body: () throws -> T) rethrows -> T {
    deadline.store(.max, ordering: .releasing)
    return try body()
  }

  private func watch() {
    while true {
      let (now, deadline) = (Self.now, deadline.load(ordering: .acquiring))
      if now >= deadline { giveUp(action.withLock { $0 }, setback.withLock { $0 }) }
      // A deadline that is set meanwhile is later than this.
      let wait = min(deadline - now, nanoseconds)
      var time = timespec(tv_sec: Int(wait / 1_000_000_000), tv_nsec: Int(wait % 1_000_000_000))
      nanosleep(&time, nil)
    }
  }

  private static var now: UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }
}
