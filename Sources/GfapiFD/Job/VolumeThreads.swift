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

  // Generic functions are inlinable, and only wrap others that are not generic: a call is made for each entry.

  /// Runs `body` on a thread, before all calls that have not begun, and waits for its result.
  ///
  /// - Parameters:
  ///   - seconds: the longest time to wait; nil: until the result or a cancellation.
  ///   - isCancelled: called a few times a second while waiting.
  /// - Throws: the error of `body`, or ``Stopped``. After a ``Stopped`` no further call is accepted.
  @inlinable package func run<T>(
    within seconds: Int? = nil, isCancelled: () -> Bool = { false }, _ body: @escaping @Sendable () throws -> T
  ) throws -> T {
    let pending = start(isUrgent: true, body)
    try waitUntilDone(pending, within: seconds, isCancelled: isCancelled)
    return try pending.result!.get()
  }

  /// Starts `body` on a thread.
  ///
  /// - Parameter isUrgent: true to run `body` before all calls that have not begun.
  /// - Returns: the place of the result. There will be no result if the threads end before.
  @inlinable package func start<T>(isUrgent: Bool = false, _ body: @escaping @Sendable () throws -> T) -> Pending<T> {
    let pending = Pending<T>()
    submit(pending, isUrgent: isUrgent) { pending.result = Result { try body() } }
    return pending
  }

  /// Starts a call.
  ///
  /// - Parameter body: makes the call, and keeps its result.
  package func submit(_ call: PendingCall, isUrgent: Bool, _ body: @escaping () -> Void) {
    let task = { [unowned self] in
      locked { call.began = .now }
      body()
      locked {
        call.isDone = true
        if call.isAwaited { pthread_cond_broadcast(resultArrived) }
      }
    }
    locked {
      // No thread would take the task, and the objects that it keeps alive may keep these threads' object alive.
      if ending { return }
      if isUrgent { tasks.prepend(task) } else { tasks.append(task) }
      pthread_cond_signal(taskArrived)
    }
  }

  /// Returns true if a result has arrived.
  package func isDone(_ call: PendingCall) -> Bool { locked { call.isDone } }

  /// Waits for the result of a started call.
  ///
  /// - Parameters:
  ///   - seconds: see ``run(within:isCancelled:_:)``.
  ///   - limit: how long the call itself may take, in seconds.
  ///   - isCancelled: see ``run(within:isCancelled:_:)``.
  /// - Throws: ``Stopped``.
  package func waitUntilDone(
    _ call: PendingCall, within seconds: Int? = nil, limit: Int? = nil, isCancelled: () -> Bool = { false }
  ) throws {
    let deadline = seconds.map { ContinuousClock.now + .seconds($0) }
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if cancelled || ending { throw Stopped.cancelled }
    if stuck { throw Stopped.timedOut }
    call.isAwaited = true
    while !call.isDone {
      waitForResults()
      if call.isDone { return }
      // `isCancelled` runs code of the daemon, so call it without the lock.
      pthread_mutex_unlock(mutex)
      let asked = isCancelled()
      pthread_mutex_lock(mutex)
      if cancelled || asked || ending {
        cancelled = true
        tasks.removeAll()
        throw Stopped.cancelled
      }
      if let deadline, deadline <= .now, !call.isDone {
        stuck = true
        throw Stopped.timedOut
      }
      if let limit, let began = call.began, began + .seconds(limit) <= .now, !call.isDone {
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

  /// Waits until a result arrives, or 200 ms. The mutex must be locked.
  private func waitForResults() {
    var until = timespec()
    clock_gettime(CLOCK_MONOTONIC, &until)
    until.tv_nsec += 200_000_000
    if until.tv_nsec >= 1_000_000_000 { (until.tv_sec, until.tv_nsec) = (until.tv_sec + 1, until.tv_nsec - 1_000_000_000) }
    pthread_cond_timedwait(resultArrived, mutex, &until)
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

/// A call that has been started on ``VolumeThreads``.
package class PendingCall: @unchecked Sendable {
  // Guarded by the threads' mutex.
  fileprivate var isDone = false
  fileprivate var isAwaited = false
  /// The time when a thread took the call; nil: no thread has taken it.
  fileprivate var began: ContinuousClock.Instant?

  package init() {}
}

/// The result of a call that has been started on ``VolumeThreads``.
package final class Pending<Value>: PendingCall, @unchecked Sendable {
  /// Set by the thread of the call before the call is done, and read after that.
  package var result: Result<Value, any Error>?

  @inlinable override package init() { super.init() }
}
