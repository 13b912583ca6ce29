import Foundation
import TestSupport
import Testing

@testable import GfapiFD

@Suite("The threads that call libgfapi")
struct VolumeThreadsTests {
  struct Failed: Error {}

  @Test("A call on another thread returns its result or throws its error")
  func results() throws {
    let threads = VolumeThreads()
    #expect(try threads.run { _ in 42 } == 42)
    #expect(throws: Failed.self) { try threads.run { _ in throw Failed() } }
    #expect(try threads.run { $0.volume == nil })
    threads.end()
    #expect(throws: VolumeThreads.Stopped.cancelled) { try threads.run { _ in } }
    #expect(eventually { threads.hasEnded })
  }

  @Test("A call is not waited for after its job was canceled, and later calls are refused")
  func cancel() throws {
    let threads = VolumeThreads()
    let release = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      usleep(50_000)
      threads.cancel()
    }
    let began = ContinuousClock.now
    #expect(throws: VolumeThreads.Stopped.cancelled) { try threads.run { _ in release.wait() } }
    #expect(ContinuousClock.now - began < .seconds(1))
    #expect(throws: VolumeThreads.Stopped.cancelled) { try threads.run { _ in } }
    threads.end()
    #expect(!threads.hasEnded)
    release.signal()
    #expect(eventually { threads.hasEnded })
  }

  @Test("A call is given up at its timeout, and later calls are refused")
  func timeout() throws {
    let threads = VolumeThreads()
    let release = DispatchSemaphore(value: 0)
    #expect(throws: VolumeThreads.Stopped.timedOut) { try threads.run(within: 1) { _ in release.wait() } }
    #expect(throws: VolumeThreads.Stopped.timedOut) { try threads.run { _ in } }
    release.signal()
    threads.end()
    #expect(eventually { threads.hasEnded })
  }

  @Test("A waiting call asks the daemon whether the job was canceled")
  func polled() throws {
    let threads = VolumeThreads()
    let release = DispatchSemaphore(value: 0)
    var asked = 0
    #expect(throws: VolumeThreads.Stopped.cancelled) {
      try threads.run(isCancelled: {
        asked += 1; return asked == 2
      }) { _ in release.wait() }
    }
    release.signal()
    threads.end()
    #expect(eventually { threads.hasEnded })
  }
}
