import Glibc
import Gluster

/// Makes a job's calls on its volume: waits for them as long as the job is not cancelled, and reports in one way why the job cannot go on.
package final class JobCalls {
  /// The job cannot go on.
  package struct Ended: Error {
    /// A fatal message; nil: the job is cancelled, or a message has already given the reason.
    package let message: JobMessage?

    package init(message: JobMessage?) { self.message = message }
  }

  package let volume: JobVolume
  package let outage: Outage
  private unowned let daemon: any Daemon
  /// The time that the job's thread has waited for calls.
  package private(set) var waited = Duration.zero

  package init(_ volume: JobVolume, _ daemon: any Daemon) {
    (self.volume, self.daemon) = (volume, daemon)
    outage = Outage(volume, daemon)
  }

  /// Reports why the volume has refused calls, each cause once in a job. Call this after a message that names an entry.
  package func reportCauses() {
    // If the user is not root, a message at the beginning of the job has reported this.
    for cause in volume.retry.newCauses() where cause != .denied || geteuid() == 0 {
      daemon.report(.warning, cause.code, cause.words(volume.definition.volume.volume))
    }
  }

  // Generic functions are inlinable, and only wrap others that are not generic: calls are made for each entry.

  /// Runs `body` on a thread for the volume's calls, and waits for its result.
  ///
  /// - Throws: the error of `body`, or ``Ended``.
  @inlinable package func run<T>(_ body: @escaping @Sendable () throws -> T) throws -> T {
    try result(of: volume.threads.start(isUrgent: true, body))
  }

  /// Starts `body` now if the job reads ahead. Otherwise `body` runs when its result is waited for.
  @inlinable package func start<T>(isUrgent: Bool = false, _ body: @escaping @Sendable () throws -> T) -> Ahead<T> {
    volume.definition.readsAhead ? .started(volume.threads.start(isUrgent: isUrgent, body)) : .later(body)
  }

  /// Waits for a result.
  ///
  /// - Parameter isOfEntry: true if the call reads one entry. Such a call is abandoned if the volume does not answer it within `timeout=`
  ///   although it answers other calls. An example is a read that a mandatory lock blocks.
  /// - Throws: the error of the call, or ``Ended``.
  @inlinable package func wait<T>(for ahead: Ahead<T>, isOfEntry: Bool = false) throws -> T {
    switch ahead {
    case .later(let body): try result(of: volume.threads.start(isUrgent: true, body), isOfEntry: isOfEntry)
    case .started(let pending): try result(of: pending, isOfEntry: isOfEntry)
    }
  }

  /// Returns true if the result can be taken without waiting.
  @inlinable package func isDone<T>(_ ahead: Ahead<T>) -> Bool {
    switch ahead {
    case .later: false
    case .started(let pending): volume.threads.isDone(pending)
    }
  }

  @inlinable package func result<T>(of pending: Pending<T>, isOfEntry: Bool = false) throws -> T {
    try waitUntilDone(pending, isOfEntry: isOfEntry)
    switch pending.result! {
    case .success(let value):
      outage.reportEnd()
      return value
    case .failure(let error): throw Self.reported(error)
    }
  }

  /// An error that ends the job becomes ``Ended``.
  package static func reported(_ error: any Error) -> any Error {
    (error as? any JobEndingError).map { Ended(message: $0.message) } ?? error
  }

  package func waitUntilDone(_ call: PendingCall, isOfEntry: Bool) throws {
    let began = ContinuousClock.now
    defer { waited += began.duration(to: .now) }
    // A call that waits for an unreachable volume ends by itself before this limit, with an error that says more.
    let seconds = volume.definition.timeout
    do {
      try volume.threads.waitUntilDone(call, limit: isOfEntry && seconds > 0 ? seconds + 1 : nil, isCancelled: outage.isCancelled)
    } catch VolumeThreads.Stopped.abandoned {
      throw GlusterError(errno: .timedOut, call: "no answer within \(seconds) s, timeout=; a mandatory lock may block it")
    } catch is VolumeThreads.Stopped {
      throw Ended(message: nil)
    }
  }
}

/// Reports to the job that its calls wait for an unreachable volume, and that the volume answers again.
package final class Outage {
  private let volume: JobVolume
  private unowned let daemon: any Daemon
  /// The time since which calls wait; nil: no call waits.
  private var since: ContinuousClock.Instant?

  package init(_ volume: JobVolume, _ daemon: any Daemon) {
    self.volume = volume
    self.daemon = daemon
  }

  /// Returns true if the job is cancelled, and reports an unreachable volume. Called a few times a second while a call is waited for.
  package func isCancelled() -> Bool {
    if since == nil, volume.retry.isNeeded {
      since = .now
      daemon.inform(
        "\(volume.definition.volume) is unreachable; waiting up to \(volume.retry.seconds) s (timeout=)")
    }
    return daemon.jobIsCancelled
  }

  /// Reports that the volume answers again, if it was reported as unreachable.
  package func reportEnd() {
    guard let since, !volume.retry.isNeeded else { return }
    self.since = nil
    daemon.inform("\(volume.definition.volume) answers again after \(since.duration(to: .now).components.seconds) s")
  }
}

/// A call that has been started, or that will be started when its result is waited for.
package enum Ahead<Value> {
  case later(@Sendable () throws -> Value)
  case started(Pending<Value>)
}

extension VolumeCause {
  /// See ``JobMessage/code``.
  fileprivate var code: String {
    switch self {
    case .readOnly: "GFD-041"
    case .denied: "GFD-042"
    case .tooManyLinks: "GFD-043"
    case .quota: "GFD-044"
    }
  }
}
