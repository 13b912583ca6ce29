import GfapiDefinition
import Glibc
import Gluster
import HostFiles
import Locks

/// A job's connection to a volume. The job's thread waits for the calls on it, as long as the job is not cancelled.
package final class JobVolume: Sendable {
  /// The connection failed, or what the job needs of the volume could not be prepared.
  package struct ConnectionFailure: JobEndingError, CustomStringConvertible {
    /// See ``JobMessage/code``.
    package let code: String
    package let problem: String
    /// The reason and the remedy; nil: not known.
    package let cure: String?

    package init(_ code: String, _ problem: String, cure: String? = nil) { (self.code, self.problem, self.cure) = (code, problem, cure) }

    package var description: String { problem + (cure.map { ": \($0)" } ?? "") }
    package var message: JobMessage { JobMessage(code, description) }
    /// True if the snapshot cannot be read, and the servers answer.
    package var isOfSnapshot: Bool { code == Self.ofSnapshot }
    fileprivate static let ofSnapshot = "GFD-016"
  }

  /// The cure in messages about a missing base directory.
  static let baseCure = "create the directory, or correct the URI"

  /// How long connecting is retried if the bricks do not answer, in seconds.
  private static let connectionSeconds = 20
  /// The purpose of a connection.
  package enum Purpose: Sendable {
    case backup, restore

    /// How long the client may answer from cached attributes, in seconds.
    ///
    /// A backup needs as long as it takes from the listing of an entry to its reading. Before the first call for a listed entry, libgfapi
    /// looks the entry up; this is an additional call if the client does not know the attributes any more. A restore uses the default:
    /// what the client has seen of a directory while a subvolume was unreachable must be forgotten.
    var attributeAge: Int {
      switch self {
      case .backup: 60
      case .restore: 1
      }
    }
  }

  /// A connection, as long as a job needs it.
  package struct Connection: Sendable {
    package let volume: Volume
    package let traits: VolumeTraits
    /// The volume's identity: see ``Volume/identity()``. Its name, if glusterd does not return the identity (10.3: through its Unix socket).
    /// The name is sufficient then, because entries have identities of their own.
    package let identity: String
    /// Connections that served only to find out something. They stay until the end of the job, because closing one takes 10 s.
    private let others: [Volume]

    fileprivate init(_ volume: Volume, _ traits: VolumeTraits, origin: Volume?, others: [Volume]) {
      (self.volume, self.traits, self.others) = (volume, traits, others)
      identity = (try? (origin ?? volume).identity()) ?? volume.uri.volume
    }
  }

  package let threads = VolumeThreads()
  package let definition: PluginDefinition
  /// Retries the calls on an unreachable volume.
  package let retry: OutageRetry

  package init(_ definition: PluginDefinition) {
    self.definition = definition
    retry = OutageRetry(seconds: definition.timeout)
  }

  /// Connects to the volume, and prepares what the job needs.
  ///
  /// - Returns: the connection, and what `prepare` returned.
  /// - Throws: ``ConnectionFailure``, an error of `prepare` that is no ``GlusterError``, or ``VolumeThreads/Stopped/cancelled``.
  package func connect<Prepared>(
    for purpose: Purpose, isCancelled: () -> Bool, _ prepare: @escaping @Sendable (Connection) throws -> Prepared
  ) throws -> (connection: Connection, prepared: Prepared) {
    let (definition, retry) = (definition, retry)
    if let file = definition.logging.file {
      // libgfapi appends to any file with this name, so check the file first.
      do { Glibc.close(try HostFile.open(file.utf8, O_WRONLY | O_APPEND | O_CREAT)) } catch {
        throw ConnectionFailure("GFD-005", "logfile=\(file): cannot be written: \(error)")
      }
    }
    let log = definition.logging.file.map(ConnectionLog.init(file:)) ?? ConnectionLog()
    func step<T>(_ code: String, _ what: String, extra: Int = 0, _ body: @escaping @Sendable () throws -> T) throws -> T {
      /// Returns the reason of a failure and the remedy; nil: not known.
      ///
      /// - Parameter error: the error; nil: the step took too long.
      func why(_ error: GlusterError?) throws -> String? {
        var reason = error?.cure
        if what.isEmpty, let error, error.meansMissing { reason = Self.baseCure }
        if !what.isEmpty {
          // This runs on a thread of its own, because resolving names may take long.
          let threads = VolumeThreads()
          defer { threads.end() }
          do {
            reason = try threads.run(within: 10, isCancelled: isCancelled) { definition.volume.whyUnreachable(error, log) }
          } catch VolumeThreads.Stopped.timedOut {}
        }
        return reason
      }
      do {
        return try threads.run(within: definition.timeout + extra, isCancelled: isCancelled, body)
      } catch VolumeThreads.Stopped.timedOut {
        // The abandoned thread must not retry its call.
        retry.end()
        throw ConnectionFailure(
          code, "\(what)\(definition.volume): no answer within \(definition.timeout) s (timeout=)", cure: try why(nil))
      } catch let error as GlusterError {
        let path = error.path.isEmpty ? "" : ": \(printable(error.path))"
        let isOfSnapshot = definition.volume.snapshot != nil && (error.meansMissing || error.meansNoBrickAnswers) && !what.isEmpty
        throw ConnectionFailure(
          isOfSnapshot ? ConnectionFailure.ofSnapshot : code, "\(what)\(definition.volume): \(error)\(path)", cure: try why(error))
      }
    }
    let connection = try step("GFD-003", "cannot connect to ") {
      func connect(attributeAge: Int, snapshotDirectory: String? = definition.snapshotDirectory) throws(GlusterError) -> Volume {
        try Volume.connect(within: Self.connectionSeconds, isOver: { retry.isOver }) { () throws(GlusterError) in
          try Volume(
            definition.volume, logging: definition.logging, snapshotDirectory: snapshotDirectory, attributeAge: attributeAge,
            retry: retry, log: log)
        }
      }
      // Gluster (10.3, 11.1) ends the process with SIGBUS if the entry point contains the name of the volume's own snapshot directory.
      if let entry = definition.snapshotDirectory,
        let name = try connect(attributeAge: 0, snapshotDirectory: nil).snapshotDirectoryName(), entry.contains(name)
      {
        throw ConnectionFailure(
          "GFD-004",
          "snapdir=\(entry): it must not contain \(name), the volume's own features.snapshot-directory: the option names a directory of the volume in which that appears; leave it out"
        )
      }
      let first = try connect(attributeAge: purpose.attributeAge)
      let traits = VolumeTraits(first)
      // Ask the bricks, not the cache that the listing has filled, where that matters.
      let usesCache =
        purpose == .backup
        ? traits.listingsTellSizes && !traits.copiesMayDiffer || traits.readsTellSizes : traits.listingsTellSizes
      // A snapshot has another identity than its volume (10.3: none at all). If the bricks of the volume do not answer, its name is used.
      var live = definition.volume
      live.snapshot = nil
      let origin = definition.volume.snapshot == nil ? nil : try? Volume(live, logging: definition.logging, retry: retry)
      return Connection(
        usesCache ? first : try connect(attributeAge: 0), traits, origin: origin, others: [first] + (origin.map { [$0] } ?? []))
    }
    // A call on an unreachable volume gives up by itself within this time, with an error that says more.
    return (connection, try step("GFD-006", "", extra: 5) { try prepare(connection) })
  }

  /// Starts the threads that read ahead of the daemon, if the definition asks for it.
  package func startWorkers() {
    if definition.readsAhead { threads.grow(to: definition.workers) }
  }

  /// Makes the waiting call and every later call throw. Can be called by any thread.
  package func cancel() {
    retry.end()
    threads.cancel()
  }

  /// Disconnects, without waiting. All data of a file are on the bricks when the file is closed.
  ///
  /// - Parameters:
  ///   - last: the last calls on the volume.
  ///   - waits: true to wait for `last`, up to two seconds.
  package func close(_ last: (@Sendable () -> Void)? = nil, waits: Bool = false) {
    retry.end()
    threads.end(last)
    guard waits else { return }
    let deadline = ContinuousClock.now + .seconds(2)
    while !threads.hasEnded, ContinuousClock.now < deadline { usleep(10_000) }
  }
}

/// The cancellation of a job. No other part of a job may be used by another thread.
package final class Cancellation: Sendable {
  package init() {}

  private let state = Mutex<(isCancelled: Bool, volume: JobVolume?)>((false, nil))

  package var isCancelled: Bool { state.withLock(\.isCancelled) }

  package func cancel() {
    let volume = state.withLock { state in
      state.isCancelled = true
      return state.volume
    }
    volume?.cancel()
  }

  /// Sets the volume that a cancellation stops waiting for.
  package func watch(_ volume: JobVolume?) {
    let isCancelled = state.withLock { state in
      state.volume = volume
      return state.isCancelled
    }
    if isCancelled { volume?.cancel() }
  }
}
