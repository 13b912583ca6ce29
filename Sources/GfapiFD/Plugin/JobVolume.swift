import Glibc
import Gluster
import HostFiles
import Locks

/// A job's connection to a volume: makes calls on it that the job's thread waits for, as long as the job is not cancelled.
package final class JobVolume: Sendable {
  /// A connection that did not come about; its words are a job message.
  package struct ConnectionFailure: Error, CustomStringConvertible {
    package let problem: String
    /// The reason that was found out, and what to do; nil: not known.
    package let cure: String?

    package init(_ problem: String, cure: String? = nil) { (self.problem, self.cure) = (problem, cure) }

    package var description: String { problem + (cure.map { ": \($0)" } ?? "") }
  }

  /// The cure in messages about a missing base directory.
  static let baseCure = "create the directory, or correct the URI"

  /// How long a connection is tried again whose bricks do not answer, in seconds.
  private static let connectionPatience = 20
  /// What a connection is for.
  package enum Purpose: Sendable {
    case backup, restore

    /// How long the client may answer from attributes that it has seen, in seconds. In a backup as long as it takes from the
    /// listing of an entry to its reading: before the first call for what a listing named libgfapi looks it up, which is another
    /// call if the client does not know its attributes any more. In a restore as by default: what it has seen of a directory
    /// while a subvolume was away is to be forgotten.
    var attributeAge: Int {
      switch self {
      case .backup: 60
      case .restore: 1
      }
    }
  }

  private let threads = VolumeThreads()
  package let definition: PluginDefinition
  /// Of the calls on a volume that is away.
  package let patience: Patience

  package init(_ definition: PluginDefinition) {
    self.definition = definition
    patience = Patience(seconds: definition.timeout)
  }

  /// Connects, and prepares what the job needs.
  ///
  /// - Throws: ``ConnectionFailure``, or ``VolumeThreads/Stopped/cancelled``.
  package func connect(
    for purpose: Purpose, isCancelled: () -> Bool, _ prepare: @escaping @Sendable (VolumeSession, Volume) throws -> Void
  ) throws {
    let (definition, patience) = (definition, patience)
    if let file = definition.logging.file {
      // libgfapi appends to whatever is there.
      do { Glibc.close(try HostFile.open(file.utf8, O_WRONLY | O_APPEND | O_CREAT)) } catch {
        throw ConnectionFailure("logfile=\(file): cannot be written: \(error)")
      }
    }
    let log = definition.logging.file.map(ConnectionLog.init(file:)) ?? ConnectionLog()
    func step(_ what: String, extra: Int = 0, _ body: @escaping @Sendable (VolumeSession) throws -> Void) throws {
      /// - Parameter error: nil: it took too long.
      func why(_ error: GlusterError?) throws -> String? {
        var reason = error?.cure
        if what.isEmpty, let error, error.meansMissing { reason = Self.baseCure }
        if !what.isEmpty {
          // On a thread of its own: names may take long to resolve.
          let threads = VolumeThreads()
          defer { threads.end() }
          do {
            reason = try threads.run(within: 10, isCancelled: isCancelled) { _ in definition.volume.whyUnreachable(error, log) }
          } catch VolumeThreads.Stopped.timedOut {}
        }
        return reason
      }
      do {
        try threads.run(within: definition.timeout + extra, isCancelled: isCancelled, body)
      } catch VolumeThreads.Stopped.timedOut {
        // The thread that is left with it does not try again.
        patience.end()
        throw ConnectionFailure("\(what)\(definition.volume): no answer within \(definition.timeout) s (timeout=)", cure: try why(nil))
      } catch let error as GlusterError {
        let path = error.path.isEmpty ? "" : ": \(printable(error.path))"
        throw ConnectionFailure("\(what)\(definition.volume): \(error)\(path)", cure: try why(error))
      }
    }
    try step("cannot connect to ") { session in
      func connect(attributeAge: Int, snapshotDirectory: String? = definition.snapshotDirectory) throws -> Volume {
        try Volume.connect(within: Self.connectionPatience, isOver: { patience.isOver }) {
          try Volume(
            definition.volume, logging: definition.logging, snapshotDirectory: snapshotDirectory, attributeAge: attributeAge,
            patience: patience, log: log)
        }
      }
      // Gluster (10.3, 11.1) ends the process with SIGBUS where the entry point has the snapshots' own name in it.
      if let entry = definition.snapshotDirectory,
        let name = try connect(attributeAge: 0, snapshotDirectory: nil).snapshotDirectoryName(), entry.contains(name)
      {
        throw ConnectionFailure(
          "snapdir=\(entry): it must not contain \(name), the volume's own features.snapshot-directory: the option names a directory of the volume in which that appears; leave it out"
        )
      }
      let volume = try connect(attributeAge: purpose.attributeAge)
      let traits = VolumeTraits(volume)
      (session.volume, session.traits) = (volume, traits)
      if !traits.listingsTellSizes || purpose == .backup && traits.copiesMayDiffer {
        // The bricks are asked, and not the cache that the listing has filled. The first connection stays until the end: ending it takes
        // 10 s.
        session.first = volume
        session.volume = try connect(attributeAge: 0)
      }
    }
    // A call on a volume that is away gives up by itself by then, and says more.
    try step("", extra: 5) { try prepare($0, $0.volume!) }
  }

  /// Runs `body` where the volume's calls belong, and waits for its result.
  package func run<T>(isCancelled: () -> Bool, _ body: @escaping @Sendable (VolumeSession) throws -> T) throws -> T {
    try threads.run(isCancelled: isCancelled, body)
  }

  /// Starts the threads that work ahead of the daemon, if any shall.
  package func startWorkers() {
    if definition.readsAhead { threads.grow(to: definition.workers) }
  }

  /// Has `body` run there, after what has been started before.
  package func start<T>(isUrgent: Bool, _ body: @escaping @Sendable (VolumeSession) throws -> T) -> Pending<T> {
    threads.start(isUrgent: isUrgent, body)
  }

  /// - Parameter limit: how long the call may take itself, in seconds.
  package func wait<T>(for pending: Pending<T>, limit: Int? = nil, isCancelled: () -> Bool) throws -> T {
    try threads.wait(for: pending, limit: limit, isCancelled: isCancelled)
  }

  package func isDone<T>(_ pending: Pending<T>) -> Bool { threads.isDone(pending) }

  /// From any thread: the call that waits, and every later one, throws.
  package func cancel() {
    patience.end()
    threads.cancel()
  }

  /// Disconnects, without waiting. All that was written is on the bricks when its file is closed.
  ///
  /// - Parameter cleansUp: waits for up to two seconds until what a restore has not completed is taken away.
  package func close(cleansUp: Bool = false) {
    patience.end()
    threads.end()
    guard cleansUp else { return }
    let deadline = ContinuousClock.now + .seconds(2)
    while !threads.hasEnded, ContinuousClock.now < deadline { usleep(10_000) }
  }
}

/// The one thing of a job that another thread may touch: its cancellation.
package final class Cancellation: Sendable {
  private let state = Mutex<(isCancelled: Bool, volume: JobVolume?)>((false, nil))

  package var isCancelled: Bool { state.withLock(\.isCancelled) }

  package func cancel() {
    let volume = state.withLock { state in
      state.isCancelled = true
      return state.volume
    }
    volume?.cancel()
  }

  /// Names the volume that a cancellation shall stop waiting for.
  package func watch(_ volume: JobVolume?) {
    let isCancelled = state.withLock { state in
      state.volume = volume
      return state.isCancelled
    }
    if isCancelled { volume?.cancel() }
  }
}
