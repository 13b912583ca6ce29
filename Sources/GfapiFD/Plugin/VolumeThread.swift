import Glibc
import Gluster

/// A thread that makes one job's calls on its volume, so that the daemon's thread can stop waiting for a volume that does
/// not answer. libgfapi's calls cannot be interrupted: what is stopped is the waiting, and the thread is left behind to
/// end by itself when its call returns.
///
/// The thread owns a ``VolumeSession``: it is created, used and released there and nowhere else.
package final class VolumeThread: @unchecked Sendable {
  // Every stored property below is guarded by `mutex`.

  /// Why a call has no result.
  package enum Stopped: Error {
    /// The job is cancelled, or the thread has been told to end.
    case cancelled
    /// The time is up.
    case timedOut
  }

  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var task: ((VolumeSession) -> Void)?
  private var ending = false
  private var ended = false
  private var cancelled = false
  private var stuck = false

  /// Starts the thread.
  package init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(changed, &attributes)
    pthread_condattr_destroy(&attributes)
    start()
  }

  private func start() {
    // The thread holds this object until it ends.
    let start = Unmanaged.passRetained(
      Start {
        self.serve()
        self.markEnded()
      })
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      {
        Unmanaged<Start>.fromOpaque($0!).takeRetainedValue().body()
        return nil
      }, start.toOpaque())
    if result == 0 {
      pthread_detach(thread)
    } else {
      start.release()
      stuck = true
      ended = true
    }
  }

  deinit {
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  /// Runs `body` on the thread and waits for its result.
  ///
  /// - Parameters:
  ///   - seconds: how long to wait at most; nil: until the result or a cancellation.
  ///   - isCancelled: asked a few times a second while waiting.
  /// - Throws: what `body` throws, or ``Stopped``. After a ``Stopped`` no further call is taken.
  package func run<T>(
    within seconds: Int? = nil, isCancelled: () -> Bool = { false }, _ body: @escaping @Sendable (VolumeSession) throws -> T
  ) throws -> T {
    let outcome = Outcome<T>()
    let deadline = seconds.map { Time.now.adding(milliseconds: $0 * 1000) }

    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    guard !cancelled, !ending else { throw Stopped.cancelled }
    guard !stuck else { throw Stopped.timedOut }
    task = { session in
      outcome.result = Result { try body(session) }
    }
    pthread_cond_broadcast(changed)
    while task != nil {
      let slice = Time.now.adding(milliseconds: 200)
      wait(until: slice)
      if task == nil { break }
      // Asking the daemon is its own code: not under our lock.
      pthread_mutex_unlock(mutex)
      let asked = isCancelled()
      pthread_mutex_lock(mutex)
      if cancelled || asked {
        cancelled = true
        throw Stopped.cancelled
      }
      if let deadline, deadline <= Time.now, task != nil {
        stuck = true
        throw Stopped.timedOut
      }
    }
    return try outcome.result!.get()
  }

  /// Makes a waiting ``run(within:isCancelled:_:)`` and every later one throw. From any thread.
  package func cancel() {
    pthread_mutex_lock(mutex)
    cancelled = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  /// Makes the thread release its session and end, as soon as its current call returns.
  package func end() {
    pthread_mutex_lock(mutex)
    ending = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  /// Whether the thread has released its session.
  package var hasEnded: Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return ended
  }

  // MARK: The thread

  /// Runs the tasks. The session is gone when this returns.
  @inline(never)
  private func serve() {
    let session = VolumeSession()
    while let task = nextTask() {
      task(session)
      finishTask()
    }
    withExtendedLifetime(session) {}
  }

  private func nextTask() -> ((VolumeSession) -> Void)? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while task == nil, !ending { pthread_cond_wait(changed, mutex) }
    return ending && (cancelled || stuck) ? nil : task
  }

  private func finishTask() {
    pthread_mutex_lock(mutex)
    task = nil
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  private func markEnded() {
    pthread_mutex_lock(mutex)
    ended = true
    pthread_cond_broadcast(changed)
    pthread_mutex_unlock(mutex)
  }

  private func wait(until time: Time) {
    var limit = time.spec
    pthread_cond_timedwait(changed, mutex, &limit)
  }

  private final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  private final class Outcome<T>: @unchecked Sendable {
    // Written by the thread before the task ends, read after.
    var result: Result<T, any Error>?
  }
}

/// What a job holds of a volume, on the thread that makes its calls.
package final class VolumeSession {
  package var volume: Volume?
  /// Of `volume`.
  package var traits: VolumeTraits?
  /// A connection that only served to learn of what type the volume is.
  package var first: Volume?
  package var backup: BackupSession?
  package var restore: RestoreSession?
}

/// A moment of the monotonic clock.
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
