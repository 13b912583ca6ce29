import Locks
import PartStore
import Testing

@testable import GlusterStorage

@Suite("The watchdog of the storage program")
struct WatchdogTests {
  final class Clock: Sendable {
    private let time = Mutex(SuspendingClock.now)

    var now: SuspendingClock.Instant { time.withLock { $0 } }

    func pass(_ seconds: Int) { time.withLock { $0 += .seconds(seconds) } }
  }

  let clock = Clock()
  let watchdog: Watchdog

  init() {
    watchdog = Watchdog(seconds: 25) { [clock] in clock.now }
  }

  /// The seconds until the watchdog looks again; nil if it ends the process.
  func wait() -> Int64? {
    if case .wait(let time) = watchdog.step() { time.components.seconds } else { nil }
  }

  func ending() -> Watchdog.State? {
    if case .end(let state) = watchdog.step() { state } else { nil }
  }

  @Test("The watchdog ends the process when a call exceeds its timeout")
  func time() {
    watchdog.begin("writing")
    #expect(wait() == 25)
    clock.pass(24)
    #expect(wait() == 1)
    clock.pass(1)
    #expect(ending().map { "\($0.action)" } == "writing")
    #expect(ending()?.setback == nil)
  }

  @Test("Each call has its full timeout, however long the call before took")
  func next() {
    watchdog.begin("writing")
    clock.pass(24)
    watchdog.begin("renaming")
    #expect(wait() == 25)
    clock.pass(25)
    #expect(ending().map { "\($0.action)" } == "renaming")
  }

  @Test("The watchdog does not end the process before the first call or while a pause lasts")
  func pause() throws {
    clock.pass(1000)
    #expect(wait() == 25)
    watchdog.begin("writing")
    let result = watchdog.pause {
      clock.pass(1000)
      // The watchdog looks again within one timeout, in case a call begins meanwhile.
      #expect(wait() == 25)
      return 42
    }
    #expect(result == 42 && wait() == 25)
    struct Failed: Error {}
    #expect(throws: Failed.self) { try watchdog.pause { throw Failed() } }
  }

  @Test("The watchdog reports why a retried call failed before")
  func setback() {
    watchdog.begin("connecting")
    watchdog.note(StoreError(.unreachable, "no brick"))
    clock.pass(25)
    #expect(ending()?.setback?.description == "no brick")
    watchdog.begin("writing")
    clock.pass(25)
    #expect(ending() != nil && ending()?.setback == nil)
  }

  @Test("A call can define its own way to end the process")
  func ownEnd() {
    watchdog.begin("ending") { fatalError("only the process's own thread calls this") }
    clock.pass(25)
    #expect(ending()?.giveUp != nil)
    watchdog.begin("writing")
    clock.pass(25)
    #expect(ending() != nil && ending()?.giveUp == nil)
  }
}
