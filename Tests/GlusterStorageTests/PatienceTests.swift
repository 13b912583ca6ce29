import Locks
import PartStore
import Testing

@testable import GlusterStorage

@Suite("A call of the storage program")
struct PatienceTests {
  final class Clock: Sendable {
    private let time = Mutex<UInt64>(1_000_000_000_000)

    var now: UInt64 { time.withLock { $0 } }

    func pass(_ seconds: UInt64) { time.withLock { $0 += seconds * 1_000_000_000 } }
  }

  let clock = Clock()
  let patience: Patience

  init() {
    patience = Patience(seconds: 25) { [clock] in clock.now }
  }

  /// Seconds until somebody looks again; nil: the process ends.
  func wait() -> UInt64? {
    if case .wait(let nanoseconds) = patience.step() { nanoseconds / 1_000_000_000 } else { nil }
  }

  func ending() -> Patience.State? {
    if case .end(let state) = patience.step() { state } else { nil }
  }

  @Test("may take its time, and no longer")
  func time() {
    patience.begin("writing")
    #expect(wait() == 25)
    clock.pass(24)
    #expect(wait() == 1)
    clock.pass(1)
    #expect(ending().map { "\($0.action)" } == "writing")
    #expect(ending()?.setback == nil)
  }

  @Test("has its own time, whatever the one before took")
  func next() {
    patience.begin("writing")
    clock.pass(24)
    patience.begin("renaming")
    #expect(wait() == 25)
    clock.pass(25)
    #expect(ending().map { "\($0.action)" } == "renaming")
  }

  @Test("is not waited for in vain before the first begins, or while something else is waited for")
  func pause() throws {
    clock.pass(1000)
    #expect(wait() == 25)
    patience.begin("writing")
    let result = patience.pause {
      clock.pass(1000)
      // Looked at again in time for what may begin meanwhile.
      #expect(wait() == 25)
      return 42
    }
    #expect(result == 42 && wait() == 25)
    struct Failed: Error {}
    #expect(throws: Failed.self) { try patience.pause { throw Failed() } }
  }

  @Test("that was tried again ends with why")
  func setback() {
    patience.begin("connecting")
    patience.note(StoreError(.unreachable, "no brick"))
    clock.pass(25)
    #expect(ending()?.setback?.description == "no brick")
    patience.begin("writing")
    clock.pass(25)
    #expect(ending() != nil && ending()?.setback == nil)
  }

  @Test("may have an end of its own")
  func ownEnd() {
    patience.begin("ending") { fatalError("only the process's own thread calls this") }
    clock.pass(25)
    #expect(ending()?.giveUp != nil)
    patience.begin("writing")
    clock.pass(25)
    #expect(ending() != nil && ending()?.giveUp == nil)
  }
}
