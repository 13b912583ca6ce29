import Foundation
import Synchronization
import Testing
import TestSupport

@testable import GfapiJob

@Suite("The threads that call libgfapi")
struct VolumeThreadsTests {
  struct Failed: Error {}

  @Test("A call on another thread returns its result or throws its error")
  func results() throws {
    let threads = VolumeThreads()
    #expect(try threads.run { 42 } == 42)
    #expect(throws: Failed.self) { try threads.run { throw Failed() } }
    threads.end()
    #expect(throws: VolumeThreads.Stopped.cancelled) { try threads.run {} }
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
    #expect(throws: VolumeThreads.Stopped.cancelled) { try threads.run { release.wait() } }
    #expect(ContinuousClock.now - began < .seconds(1))
    #expect(throws: VolumeThreads.Stopped.cancelled) { try threads.run {} }
    threads.end()
    #expect(!threads.hasEnded)
    release.signal()
    #expect(eventually { threads.hasEnded })
  }

  @Test("A call is given up at its timeout, and later calls are refused")
  func timeout() throws {
    let threads = VolumeThreads()
    let release = DispatchSemaphore(value: 0)
    #expect(throws: VolumeThreads.Stopped.timedOut) { try threads.run(within: 1) { release.wait() } }
    #expect(throws: VolumeThreads.Stopped.timedOut) { try threads.run {} }
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
      }) { release.wait() }
    }
    release.signal()
    threads.end()
    #expect(eventually { threads.hasEnded })
  }

  @Test("The last work begins after every call that is under way, and the threads have ended when it is done")
  func lastWork() throws {
    let threads = VolumeThreads()
    threads.grow(to: 3)
    let release = DispatchSemaphore(value: 0)
    let calls = Atomic(0)
    let last = Atomic(0)
    for _ in 0..<3 {
      _ = threads.start {
        calls.add(1, ordering: .sequentiallyConsistent)
        release.wait()
        calls.subtract(1, ordering: .sequentiallyConsistent)
      }
    }
    #expect(eventually { calls.load(ordering: .sequentiallyConsistent) == 3 })
    threads.end { last.store(calls.load(ordering: .sequentiallyConsistent) == 0 ? 1 : 2, ordering: .sequentiallyConsistent) }
    #expect(!threads.hasEnded)
    for _ in 0..<3 { release.signal() }
    #expect(eventually { threads.hasEnded })
    #expect(last.load(ordering: .sequentiallyConsistent) == 1)
  }
}
