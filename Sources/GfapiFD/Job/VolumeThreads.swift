import DequeModule
import Glibc
import Gluster

/// The threads that make one job's calls on its volume.
///
/// With them, the daemon's thread can stop waiting for a volume that does not answer, and can start calls ahead. libgfapi's calls cannot be
/// interrupted: only the waiting is stopped, and the threads end by themselves when their calls return.
///
/// Calls begin in the order in which they were started; with more than one thread they run in
/// parallel.
package final class VolumeThreads: @unchecked Sendable {
  // Every stored property below is guarded by `mutex`.

  /// The reason why a call has no result.
  package enum Stopped: Error {
    /// The job is cancelled, or the threads end.
    case cancelled
    /// The time has run out.
    case timedOut
    /// This call takes too long, and its thread is left to it. Other calls are still accepted.
    case abandoned
  }

  /// The maximum number of abandoned calls. If there are more, the volume counts as not answering.
  private static let mostAbandoned = 64

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  /// Signals that a task has arrived, or that no more tasks will come.
  private let taskArrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  /// Signals that an awaited result has arrived, or that no more results will come.
  private let resultArrived = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var tasks = Deque<() -> Void>()
  /// The number of threads that have been started and have not ended.
  private var count = 0
  /// The last work, which begins when no other call is under way.
  private var lastWork: (() -> Void)?
  private var isDone = false
  private var ending = false
  private var cancelled = false
  private var stuck = false
  private var abandoned = 0

  /// Starts the first thread.
  package init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(taskArrived, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(resultArrived, &attributes)
    pthread_condattr_destroy(&attributes)
    grow(to: 1)
    stuck = count == 0
  }

  /// Starts threads until there are `threads` of them.
  package func grow(to threads: Int) {
    locked {
      while count < threads {
        // Each thread keeps this object alive until it ends.
        let start = Unmanaged.passRetained(self)
        var thread = pthread_t()
        let result = pthread_create(
          &thread, nil,
          {
            Unmanaged<VolumeThreads>.fromOpaque($0!).takeRetainedValue().serve()
            return nil
          }, start.toOpaque())
        // Fewer threads can do all the work as well.
        guard result == 0 else { return start.release() }
        pthread_detach(thread)
        count += 1
      }
    }
  }

  deinit {
    for condition in [taskArrived, resultArrived] {
      pthread_cond_destroy(condition)
      condition.deallocate()
    }
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  // MARK: Calls

  /// Runs `body` on a thread, before all calls that have not begun, and waits for its result.
  ///
  /// - Parameters:
  ///   - seconds: the longest time to wait; nil: until the result or a cancellation.
  ///   - isCancelled: called a few times a second while waiting.
  /// - Throws: the error of `body`, or ``Stopped``. After a ``Stopped`` no further call is accepted.
  package func run<T>(
    within seconds: Int? = nil, isCancelled: () -> Bool = { false }, _ body: @escaping @Sendable () throws -> T
  ) throws -> T {
    try wait(for: start(isUrgent: true, body), within: seconds, isCancelled: isCancelled)
  }

  /// Starts `body` on a thread.
  ///
  /// - Parameter isUrgent: true to run `body` before all calls that have not begun.
  /// - Returns: the place of the result. There will be no result if the threads end before.
  package func start<T>(isUrgent: Bool = false, _ body: @escaping @Sendable () throws -> T) -> Pending<T> {
    let pending = Pending<T>()
    let task = { [unowned self] in
      locked { pending.began = .now }
      let result = Result { try body() }
      locked {
        pending.result = result
        if pending.isAwaited { pthread_cond_broadcast(resultArrived) }
      }
    }
    locked {
      // No thread would take the task, and the objects that it keeps alive may keep these threads' object alive.
      if ending { return }
      if isUrgent { tasks.prepend(task) } else { tasks.append(task) }
      pthread_cond_signal(taskArrived)
    }
    return pending
  }

  /// Returns true if a result has arrived.
  package func isDone<T>(_ pending: Pending<T>) -> Bool { locked { pending.result != nil } }

  /// Waits for the result of a started call.
  ///
  /// - Parameters:
  ///   - seconds: see ``run(within:isCancelled:_:)``.
  ///   - limit: how long the call itself may take, in seconds.
  ///   - isCancelled: see ``run(within:isCancelled:_:)``.
  /// - Throws: the error of the call, or ``Stopped``.
  package func wait<T>(
    for pending: Pending<T>, within seconds: Int? = nil, limit: Int? = nil, isCancelled: () -> Bool = { false }
  ) throws -> T {
    let deadline = seconds.map { Time.now.adding(milliseconds: $0 * 1000) }
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if cancelled || ending { throw Stopped.cancelled }
    if stuck { throw Stopped.timedOut }
    pending.isAwaited = true
    while true {
      if let result = pending.result { return try result.get() }
      var next = Time.now.adding(milliseconds: 200).spec
      pthread_cond_timedwait(resultArrived, mutex, &next)
      if pending.result != nil { continue }
      // `isCancelled` runs code of the daemon, so call it without the lock.
      pthread_mutex_unlock(mutex)
      let asked = isCancelled()
      pthread_mutex_lock(mutex)
      if cancelled || asked || ending {
        cancelled = true
        tasks.removeAll()
        throw Stopped.cancelled
      }
      if let deadline, deadline <= Time.now, pending.result == nil {
        stuck = true
        throw Stopped.timedOut
      }
      if let limit, let began = pending.began, began.adding(milliseconds: limit * 1000) <= Time.now, pending.result == nil {
        abandoned += 1
        guard abandoned <= Self.mostAbandoned else {
          stuck = true
          throw Stopped.timedOut
        }
        // Start another thread in place of the abandoned one.
        pthread_mutex_unlock(mutex)
        grow(to: locked { count + 1 })
        pthread_mutex_lock(mutex)
        throw Stopped.abandoned
      }
    }
  }

  /// Makes the waiting call and every later call throw. Can be called by any thread.
  package func cancel() {
    locked {
      cancelled = true
      pthread_cond_broadcast(resultArrived)
    }
  }

  /// Makes the threads end as soon as their current calls return. Calls that have not begun are dropped.
  ///
  /// - Parameter last: work for the last thread, when no other call is under way.
  package func end(_ last: (@Sendable () -> Void)? = nil) {
    let dropped = locked {
      if !ending { lastWork = last }
      ending = true
      pthread_cond_broadcast(taskArrived)
      pthread_cond_broadcast(resultArrived)
      defer { tasks = [] }
      return tasks
    }
    withExtendedLifetime(dropped) {}
  }

  /// True if the threads have ended, and the last work is done.
  package var hasEnded: Bool { locked { isDone } }

  // MARK: The threads

  private func serve() {
    while let task = nextTask() { task() }
    // Without the lock: the work makes calls on the volume.
    let last = locked {
      count -= 1
      return count == 0 ? lastWork.take() : nil
    }
    last?()
    locked { if count == 0 { isDone = true } }
  }

  private func nextTask() -> (() -> Void)? {
    locked {
      while tasks.isEmpty, !ending { pthread_cond_wait(taskArrived, mutex) }
      return ending ? nil : tasks.popFirst()
    }
  }

  private func locked<R>(_ body: () throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }
}

/// The result of a call that has been started on ``VolumeThreads``.
package final class Pending<Value>: @unchecked Sendable {
  // Guarded by the threads' mutex.
  fileprivate var result: Result<Value, any Error>?
  fileprivate var isAwaited = false
  /// The time when a thread took the call; nil: no thread has taken it.
  fileprivate var began: Time?
}

/// A point in time of the monotonic clock.
struct Time: Comparable {
  var spec: timespec

  static var now: Time {
    var spec = timespec()
    clock_gettime(CLOCK_MONOTONIC, &spec)
    return Time(spec: spec)
  }

  func adding(milliseconds: Int) -> Time {
    let nanoseconds = spec.tv_nsec + milliseconds % 1000 * 1_000_000
    return Time(
      spec: timespec(
        tv_sec: spec.tv_sec + milliseconds / 1000 + nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000))
  }

  static func < (a: Time, b: Time) -> Bool { (a.spec.tv_sec, a.spec.tv_nsec) < (b.spec.tv_sec, b.spec.tv_nsec) }
  static func == (a: Time, b: Time) -> Bool { (a.spec.tv_sec, a.spec.tv_nsec) == (b.spec.tv_sec, b.spec.tv_nsec) }
}
