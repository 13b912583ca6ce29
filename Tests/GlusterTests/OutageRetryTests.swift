import Glibc
import Locks
import SystemPackage
import Testing

@testable import Gluster

@Suite("Retries of calls while a volume is unreachable")
struct OutageRetryTests {
  /// A clock that advances only while a retry waits.
  final class Clock: Sendable {
    private let elapsed = Mutex(Duration.zero)
    private let began = ContinuousClock.now

    var seconds: Double { elapsed.withLock { $0 / .seconds(1) } }

    func pass(_ duration: Duration) { elapsed.withLock { $0 += duration } }

    func retry(_ seconds: Int) -> OutageRetry {
      OutageRetry(seconds: seconds, now: { self.began + self.elapsed.withLock { $0 } }, pause: { self.pass(.milliseconds(200)) })
    }
  }

  static let away: [Errno] = [.socketNotConnected, .socketShutdown, .connectionRefused, Errno(rawValue: EBADFD)]

  func failure(_ errno: Errno) -> GlusterError { GlusterError(errno: errno, call: "glfs_stat") }

  let clock = Clock()

  @Test("A call on an unreachable volume is retried until it succeeds", arguments: away)
  func again(_ errno: Errno) throws {
    let retry = clock.retry(10)
    var calls: [Bool] = []
    let result = try retry.run { again throws(GlusterError) in
      calls.append(again)
      if calls.count < 4 {
        #expect(retry.isNeeded == again)
        throw failure(errno)
      }
      return 42
    }
    #expect(result == 42)
    #expect(calls == [false, true, true, true])
    #expect(abs(clock.seconds - 0.6) < 0.001)
    #expect(!retry.isNeeded)
  }

  @Test("A retried call fails with its last error at the timeout")
  func timeout() {
    let retry = clock.retry(2)
    var calls = 0
    let error = #expect(throws: GlusterError.self) {
      try retry.run { _ throws(GlusterError) in
        calls += 1
        throw failure(calls == 1 ? .socketNotConnected : .connectionRefused)
      }
    }
    #expect(error?.errno == .connectionRefused)
    #expect(calls == 11)
    #expect(abs(clock.seconds - 2) < 0.001)
    #expect(!retry.isNeeded)
  }

  @Test("A call that took longer than the timeout before it failed is not retried")
  func long() {
    var calls = 0
    #expect(throws: GlusterError.self) {
      try clock.retry(2).run { _ throws(GlusterError) in
        calls += 1
        clock.pass(.seconds(3))
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == 1)
  }

  @Test("Other failing calls are not retried", arguments: [.noSuchFileOrDirectory, .ioError, .noSpace, .staleNFSFileHandle] as [Errno])
  func others(_ errno: Errno) {
    let retry = clock.retry(10)
    for callsBefore in [0, 2] {
      var calls = 0
      let error = #expect(throws: GlusterError.self) {
        try retry.run { _ throws(GlusterError) in
          calls += 1
          throw failure(calls <= callsBefore ? .socketNotConnected : errno)
        }
      }
      #expect(error?.errno == errno && calls == callsBefore + 1)
    }
    #expect(!retry.isNeeded)
  }

  @Test("A call fails at once if retries are disabled")
  func none() {
    var calls: [Bool] = []
    #expect(throws: GlusterError.self) {
      try clock.retry(0).run { again throws(GlusterError) in
        calls.append(again)
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == [false] && clock.seconds == 0)
  }

  @Test("After a call has waited in vain for an unreachable volume, later calls do not wait")
  func exhausted() throws {
    let retry = clock.retry(2)
    #expect(throws: GlusterError.self) { try retry.run { _ throws(GlusterError) in throw failure(.socketNotConnected) } }
    // A success may come from the cache of the client.
    #expect(try retry.run { _ throws(GlusterError) in 42 } == 42)
    let waited = clock.seconds
    #expect(throws: GlusterError.self) { try retry.run { _ throws(GlusterError) in throw failure(.socketNotConnected) } }
    #expect(clock.seconds == waited)
  }

  @Test("After one entry of a reachable volume stayed unavailable until the timeout, other such entries fail at once")
  func ofEntry() throws {
    let retry = clock.retry(2)
    let answers = Mutex(true)
    retry.ask { false }
    retry.ask { answers.withLock { $0 } }
    func call() -> GlusterError? {
      #expect(throws: GlusterError.self) { try retry.run { _ throws(GlusterError) in throw failure(.socketNotConnected) } }
    }
    let first = call()
    #expect(first?.isOfEntry == true && first?.meansVolumeIsGone == false && abs(clock.seconds - 2) < 0.001)
    #expect(first?.description.contains("though the volume answers") == true)
    #expect(call()?.isOfEntry == true && abs(clock.seconds - 2) < 0.001)
    // From here on the volume is unreachable as well.
    answers.withLock { $0 = false }
    let last = call()
    #expect(last?.isOfEntry == false && last?.meansVolumeIsGone == true && abs(clock.seconds - 4) < 0.001)
    answers.withLock { $0 = true }
    let none = OutageRetry(seconds: 0)
    none.ask { true }
    let error = #expect(throws: GlusterError.self) { try none.run { _ throws(GlusterError) in throw failure(.socketNotConnected) } }
    #expect(error?.isOfEntry == true)
  }

  @Test("A call waits although another has waited in vain for a file that could not be reopened")
  func notExhausted() throws {
    let retry = clock.retry(2)
    #expect(throws: GlusterError.self) { try retry.run { _ throws(GlusterError) in throw failure(Errno(rawValue: EBADFD)) } }
    #expect(try retry.run { again throws(GlusterError) in if again { 42 } else { throw failure(.socketNotConnected) } } == 42)
  }

  @Test("A call does not wait after the end of the job")
  func end() {
    let retry = clock.retry(10)
    var calls = 0
    #expect(throws: GlusterError.self) {
      try retry.run { _ throws(GlusterError) in
        calls += 1
        if calls == 3 { retry.end() }
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == 3)
    #expect(throws: GlusterError.self) {
      try retry.run { _ throws(GlusterError) in
        calls += 1
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == 4)
  }

  @Test("A call that fails during another call's wait waits no longer than that call")
  func together() {
    let retry = clock.retry(10)
    var ended = 0.0
    #expect(throws: GlusterError.self) {
      try retry.run { again throws(GlusterError) in
        if again, ended == 0 {
          clock.pass(.seconds(6))
          // Another call fails while this one waits: it begins when 6 of the 10 seconds have passed.
          _ = try? retry.run { _ throws(GlusterError) in throw failure(.socketNotConnected) }
          ended = clock.seconds
        }
        throw failure(.socketNotConnected)
      }
    }
    #expect(abs(ended - 10) < 0.3, "\(ended)")
  }

  @Test("A call waits its full timeout after another call has succeeded")
  func answered() {
    let retry = clock.retry(10)
    var waited = 0.0
    #expect(throws: GlusterError.self) {
      try retry.run { again throws(GlusterError) in
        if again, waited == 0 {
          clock.pass(.seconds(6))
          // The volume answers one call and is unreachable again for the next one.
          _ = try? retry.run { again throws(GlusterError) in if !again { throw failure(.socketNotConnected) } }
          let began = clock.seconds
          _ = try? retry.run { _ throws(GlusterError) in throw failure(Errno(rawValue: EBADFD)) }
          waited = clock.seconds - began
        }
        throw failure(.socketNotConnected)
      }
    }
    #expect(abs(waited - 10) < 0.3, "\(waited)")
  }
}
