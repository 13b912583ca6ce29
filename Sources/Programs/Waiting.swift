import Dispatch
import Locks

/// Runs an asynchronous function and waits for its result, on a thread that does not belong to Swift's concurrency.
///
/// The tool uses it on its main thread. Its commands make calls of libgfapi that can block, and `list` and `backup` block signals for
/// all threads that they make. Both need threads of their own, so these commands are not asynchronous.
package func waiting<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) throws -> T {
  let done = DispatchSemaphore(value: 0)
  let result = Mutex<Result<T, any Error>?>(nil)
  Task.detached {
    let ended: Result<T, any Error>
    do { ended = .success(try await body()) } catch { ended = .failure(error) }
    result.withLock { $0 = ended }
    done.signal()
  }
  done.wait()
  return try result.withLock { $0! }.get()
}

/// Runs a program as ``runProgram(_:_:into:within:)`` does, and waits for its end as ``waiting(_:)`` does.
///
/// - Returns: standard output; nil if the program cannot be run, takes too long or fails. What it prints on standard error is dropped.
package func outputOfProgram(_ program: String, _ arguments: [String], within seconds: Int? = nil) -> String? {
  guard let result = try? waiting({ try await runProgram(program, arguments, within: seconds) }), result.isWell else { return nil }
  return result.output
}
