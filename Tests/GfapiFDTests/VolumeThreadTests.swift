import Foundation
import TestSupport
import Testing

@testable import GfapiFD

@Suite("The thread of a job's calls")
struct VolumeThreadTests {
  struct Failed: Error {}

  @Test("hands results and errors back")
  func results() throws {
    let thread = VolumeThread()
    #expect(try thread.run { _ in 42 } == 42)
    #expect(throws: Failed.self) { try thread.run { _ in throw Failed() } }
    #expect(try thread.run { $0.volume == nil })
    thread.end()
    #expect(throws: VolumeThread.Stopped.cancelled) { try thread.run { _ in } }
    #expect(eventually { thread.hasEnded })
  }

  @Test("is not waited for after a cancellation from another thread, and takes no further call")
  func cancel() throws {
    let thread = VolumeThread()
    let release = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      usleep(50_000)
      thread.cancel()
    }
    let began = ContinuousClock.now
    #expect(throws: VolumeThread.Stopped.cancelled) { try thread.run { _ in release.wait() } }
    #expect(ContinuousClock.now - began < .seconds(1))
    #expect(throws: VolumeThread.Stopped.cancelled) { try thread.run { _ in } }
    thread.end()
    #expect(!thread.hasEnded)
    release.signal()
    #expect(eventually { thread.hasEnded })
  }

  @Test("is given up when its time is up")
  func timeout() throws {
    let thread = VolumeThread()
    let release = DispatchSemaphore(value: 0)
    #expect(throws: VolumeThread.Stopped.timedOut) { try thread.run(within: 1) { _ in release.wait() } }
    #expect(throws: VolumeThread.Stopped.timedOut) { try thread.run { _ in } }
    release.signal()
    thread.end()
    #expect(eventually { thread.hasEnded })
  }

  @Test("asks the daemon whether the job is cancelled while it waits")
  func polled() throws {
    let thread = VolumeThread()
    let release = DispatchSemaphore(value: 0)
    var asked = 0
    #expect(throws: VolumeThread.Stopped.cancelled) {
      try thread.run(isCancelled: { asked += 1; return asked == 2 }) { _ in release.wait() }
    }
    release.signal()
    thread.end()
    #expect(eventually { thread.hasEnded })
  }
}
