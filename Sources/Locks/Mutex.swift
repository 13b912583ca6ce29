// The thread sanitizer does not see how the mutex of Synchronization locks (Swift 6.3), and reports all data that this mutex protects. It
// does see the mutex of the C library. In a build with the thread sanitizer, and in no other, the mutex of this module replaces that of
// Synchronization.
#if GFAPI_FD_THREAD_SANITIZER
  import Glibc

  public struct Mutex<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let value: UnsafeMutablePointer<Value>

    public init(_ initial: consuming sending Value) {
      lock = .allocate(capacity: 1)
      lock.initialize(to: pthread_mutex_t())
      pthread_mutex_init(lock, nil)
      value = .allocate(capacity: 1)
      value.initialize(to: initial)
    }

    deinit {
      value.deinitialize(count: 1)
      value.deallocate()
      pthread_mutex_destroy(lock)
      lock.deallocate()
    }

    public borrowing func withLock<Result: ~Copyable, Failure>(
      _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
      pthread_mutex_lock(lock)
      defer { pthread_mutex_unlock(lock) }
      return try body(&value.pointee)
    }
  }
#else
  public import Synchronization

  public typealias Mutex<Value: ~Copyable> = Synchronization.Mutex<Value>
#endif
