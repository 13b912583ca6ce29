import Glibc
import Locks
import SystemPackage
import Testing

@testable import Gluster

@Suite("A call on a volume that is away")
struct PatienceTests {
  /// A clock that goes on while something waits, and only then.
  final class Clock: Sendable {
    private let elapsed = Mutex(Duration.zero)
    private let began = ContinuousClock.now

    var seconds: Double { elapsed.withLock { $0 / .seconds(1) } }

    func pass(_ duration: Duration) { elapsed.withLock { $0 += duration } }

    func patience(_ seconds: Int) -> Patience {
      Patience(seconds: seconds, now: { self.began + self.elapsed.withLock { $0 } }, pause: { self.pass(.milliseconds(200)) })
    }
  }

  static let away: [Errno] = [.socketNotConnected, .socketShutdown, .connectionRefused, Errno(rawValue: EBADFD)]

  func failure(_ errno: Errno) -> GlusterError { GlusterError(errno: errno, call: "glfs_stat") }

  let clock = Clock()

  @Test("is made again until it is answered", arguments: away)
  func again(_ errno: Errno) throws {
    let patience = clock.patience(10)
    var calls: [Bool] = []
    let result = try patience.run { again in
      calls.append(again)
      if calls.count < 4 {
        #expect(patience.isNeeded == again)
        throw failure(errno)
      }
      return 42
    }
    #expect(result == 42)
    #expect(calls == [false, true, true, true])
    #expect(abs(clock.seconds - 0.6) < 0.001)
    #expect(!patience.isNeeded)
  }

  @Test("fails with its last error when its time is up")
  func timeout() {
    let patience = clock.patience(2)
    var calls = 0
    let error = #expect(throws: GlusterError.self) {
      try patience.run { _ in
        calls += 1
        throw failure(calls == 1 ? .socketNotConnected : .connectionRefused)
      }
    }
    #expect(error?.errno == .connectionRefused)
    #expect(calls == 11)
    #expect(abs(clock.seconds - 2) < 0.001)
    #expect(!patience.isNeeded)
  }

  @Test("that took long before it failed is not made again")
  func long() {
    var calls = 0
    #expect(throws: GlusterError.self) {
      try clock.patience(2).run { _ in
        calls += 1
        clock.pass(.seconds(3))
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == 1)
  }

  @Test("fails at once for any other reason", arguments: [.noSuchFileOrDirectory, .ioError, .noSpace, .staleNFSFileHandle] as [Errno])
  func others(_ errno: Errno) {
    let patience = clock.patience(10)
    for callsBefore in [0, 2] {
      var calls = 0
      let error = #expect(throws: GlusterError.self) {
        try patience.run { _ in
          calls += 1
          throw failure(calls <= callsBefore ? .socketNotConnected : errno)
        }
      }
      #expect(error?.errno == errno && calls == callsBefore + 1)
    }
    #expect(!patience.isNeeded)
  }

  @Test("fails at once without patience")
  func none() {
    var calls: [Bool] = []
    #expect(throws: GlusterError.self) {
      try clock.patience(0).run { again in
        calls.append(again)
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == [false] && clock.seconds == 0)
  }

  @Test("waits no more when another has waited in vain for a volume that is gone")
  func exhausted() throws {
    let patience = clock.patience(2)
    #expect(throws: GlusterError.self) { try patience.run { _ in throw failure(.socketNotConnected) } }
    // An answer may come from what the client remembers.
    #expect(try patience.run { _ in 42 } == 42)
    let waited = clock.seconds
    #expect(throws: GlusterError.self) { try patience.run { _ in throw failure(.socketNotConnected) } }
    #expect(clock.seconds == waited)
  }

  @Test("for an entry of a volume that answers is made again until its time is up, and then at once given up for others")
  func ofEntry() throws {
    let patience = clock.patience(2)
    let answers = Mutex(true)
    patience.ask { false }
    patience.ask { answers.withLock { $0 } }
    func call() -> GlusterError? {
      #expect(throws: GlusterError.self) { try patience.run { _ in throw failure(.socketNotConnected) } }
    }
    let first = call()
    #expect(first?.isOfEntry == true && first?.meansVolumeIsGone == false && abs(clock.seconds - 2) < 0.001)
    #expect(first?.description.contains("though the volume answers") == true)
    #expect(call()?.isOfEntry == true && abs(clock.seconds - 2) < 0.001)
    // The volume goes as well.
    answers.withLock { $0 = false }
    let last = call()
    #expect(last?.isOfEntry == false && last?.meansVolumeIsGone == true && abs(clock.seconds - 4) < 0.001)
    answers.withLock { $0 = true }
    let none = Patience(seconds: 0)
    none.ask { true }
    let error = #expect(throws: GlusterError.self) { try none.run { _ in throw failure(.socketNotConnected) } }
    #expect(error?.isOfEntry == true)
  }

  @Test("waits when another has waited in vain for a file that did not open again")
  func notExhausted() throws {
    let patience = clock.patience(2)
    #expect(throws: GlusterError.self) { try patience.run { _ in throw failure(Errno(rawValue: EBADFD)) } }
    #expect(try patience.run { again in if again { 42 } else { throw failure(.socketNotConnected) } } == 42)
  }

  @Test("waits no more after the end of the job")
  func end() {
    let patience = clock.patience(10)
    var calls = 0
    #expect(throws: GlusterError.self) {
      try patience.run { _ in
        calls += 1
        if calls == 3 { patience.end() }
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == 3)
    #expect(throws: GlusterError.self) {
      try patience.run { _ in
        calls += 1
        throw failure(.socketNotConnected)
      }
    }
    #expect(calls == 4)
  }

  @Test("waits no longer than the one that began first")
  func together() {
    let patience = clock.patience(10)
    var ended = 0.0
    #expect(throws: GlusterError.self) {
      try patience.run { again in
        if again, ended == 0 {
          clock.pass(.seconds(6))
          // Another call while this one waits: it begins when 6 of the 10 seconds are over.
          _ = try? patience.run { _ in throw failure(.socketNotConnected) }
          ended = clock.seconds
        }
        throw failure(.socketNotConnected)
      }
    }
    #expect(abs(ended - 10) < 0.3, "\(ended)")
  }

  @Test("waits its own time after an answer to another")
  func answered() {
    let patience = clock.patience(10)
    var waited = 0.0
    #expect(throws: GlusterError.self) {
      try patience.run { again in
        if again, waited == 0 {
          clock.pass(.seconds(6))
          // The volume is there again for one, and away again for the next.
          _ = try? patience.run { if !$0 { throw failure(.socketNotConnected) } }
          let began = clock.seconds
          _ = try? patience.run { _ in throw failure(Errno(rawValue: EBADFD)) }
          waited = clock.seconds - began
        }
        throw failure(.socketNotConnected)
      }
    }
    #expect(abs(waited - 10) < 0.3, "\(waited)")
  }
}
