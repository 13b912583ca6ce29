import Glibc
import Gluster

/// How a job's thread has calls made on its volume: waits for them as long as the job is not cancelled, and says in one way
/// why the job cannot go on.
package final class JobCalls {
  /// The job cannot go on. Its words are a fatal job message; none if the job is cancelled.
  package struct Ended: Error {
    package let message: String?
  }

  package let volume: JobVolume
  private let outage: Outage
  private unowned let daemon: any Daemon
  /// How long the job's thread has waited for calls.
  private(set) var waited = Duration.zero

  init(_ volume: JobVolume, _ daemon: any Daemon) {
    (self.volume, self.daemon) = (volume, daemon)
    outage = Outage(volume, daemon)
  }

  /// Tells why the volume has refused calls, each cause once in a job. To be called after a message that names an entry.
  func tellCauses() {
    // Of a user who is not root the beginning of the job tells.
    for cause in volume.patience.newCauses() where cause != .denied || geteuid() == 0 {
      daemon.tell(.warning, cause.words(volume.definition.volume.volume))
    }
  }

  /// Runs `body` where the volume's calls are made, and waits for its result.
  ///
  /// - Throws: what `body` throws, or ``Ended``.
  func run<T>(_ body: @escaping @Sendable (VolumeSession) throws -> T) throws -> T {
    try orEnd { try volume.run(isCancelled: outage.isCancelled, body) }
  }

  /// Has `body` run ahead of its time, if the job reads ahead at all; else when it is waited for.
  func start<T>(isUrgent: Bool = false, _ body: @escaping @Sendable (VolumeSession) throws -> T) -> Ahead<T> {
    guard volume.definition.readsAhead else { return Ahead(.later(body)) }
    return Ahead(.started(volume.start(isUrgent: isUrgent, body)))
  }

  /// The result of what has been started.
  ///
  /// - Parameter isOfEntry: it reads one entry. What the volume does not answer within `timeout=`, though it answers for others, such as a
  ///   read that a mandatory lock blocks, is left to itself.
  /// - Throws: what it threw, or ``Ended``.
  func wait<T>(for ahead: Ahead<T>, isOfEntry: Bool = false) throws -> T {
    // What waits for a volume that is away ends by itself before, and says more.
    let seconds = volume.definition.timeout
    let limit = isOfEntry && seconds > 0 ? seconds + 1 : nil
    do {
      switch ahead.state {
      case .later(let body):
        guard limit != nil else { return try run(body) }
        return try orEnd {
          try volume.wait(for: volume.start(isUrgent: true, body), limit: limit, isCancelled: outage.isCancelled)
        }
      case .started(let pending): return try orEnd { try volume.wait(for: pending, limit: limit, isCancelled: outage.isCancelled) }
      }
    } catch VolumeThreads.Stopped.abandoned {
      throw GlusterError(errno: .timedOut, call: "no answer within \(seconds) s, timeout=; a mandatory lock may block it")
    }
  }

  /// Whether there would be no waiting.
  func isDone<T>(_ ahead: Ahead<T>) -> Bool {
    switch ahead.state {
    case .later: false
    case .started(let pending): volume.isDone(pending)
    }
  }

  private func orEnd<T>(_ body: () throws -> T) throws -> T {
    let began = ContinuousClock.now
    defer { waited += began.duration(to: .now) }
    do {
      let result = try body()
      outage.tellEnd()
      return result
    } catch let stopped as VolumeThreads.Stopped where stopped != .abandoned {
      throw Ended(message: nil)
    } catch let error as ListFailure {
      throw Ended(message: error.description)
    } catch let error as TouchedPaths.Failure {
      throw Ended(message: "the list cannot be kept: \(error): is there room in $TMPDIR, or else /var/tmp?")
    }
  }
}

/// Tells the job that its calls wait for a volume that is away, and that they do not any more.
final class Outage {
  private let volume: JobVolume
  private unowned let daemon: any Daemon
  /// Since when they wait; nil: they do not.
  private var since: ContinuousClock.Instant?

  init(_ volume: JobVolume, _ daemon: any Daemon) {
    self.volume = volume
    self.daemon = daemon
  }

  /// Asked a few times a second while a call is waited for.
  func isCancelled() -> Bool {
    if since == nil, volume.patience.isNeeded {
      since = .now
      daemon.tell(
        .info, "\(volume.definition.volume) is unreachable; waiting up to \(volume.patience.seconds) s (timeout=)")
    }
    return daemon.jobIsCancelled
  }

  /// Says that the volume is back, if it has been said that it is away.
  func tellEnd() {
    guard let since, !volume.patience.isNeeded else { return }
    self.since = nil
    daemon.tell(.info, "\(volume.definition.volume) answers again after \(since.duration(to: .now).components.seconds) s")
  }
}

/// What has been started, or will be when it is waited for.
struct Ahead<Value> {
  fileprivate enum State {
    case later(@Sendable (VolumeSession) throws -> Value)
    case started(Pending<Value>)
  }
  fileprivate let state: State
  fileprivate init(_ state: State) { self.state = state }
}
