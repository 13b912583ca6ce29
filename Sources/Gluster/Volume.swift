import CGFAPI
import Encodings
import Glibc
import SystemPackage

/// A connection to one volume.
///
/// Every call blocks until the volume answers, so make calls only on a thread that may block.
///
/// The volume is disconnected after the last object, file and directory on it have been released. Disconnecting runs on a thread of its
/// own, because it takes 10 s (Gluster 10: its client waits for a timer of its RPC layer).
public final class Volume: @unchecked Sendable {
  // `glfs_t` may be used from several threads at once.
  let handle: OpaquePointer
  public let uri: VolumeURI
  /// How long calls are repeated while the volume is unreachable.
  public let retry: OutageRetry

  /// Seconds after which a client treats a brick that does not answer as lost: the default of `network.ping-timeout`.
  private static let pingTimeout = 42

  /// Connects to a volume, and tries again for some time if no brick answers. The client gives up when its bricks refuse the first time,
  /// although they may be about to start.
  ///
  /// - Parameters:
  ///   - seconds: time after which no further try is made.
  ///   - isOver: returns true if nobody waits for the connection any more.
  ///   - onSetback: called with the error of each failed try that is followed by another.
  public static func connect(
    within seconds: Int, isOver: () -> Bool = { false }, onSetback: (GlusterError) -> Void = { _ in },
    _ connect: () throws(GlusterError) -> Volume
  ) throws(GlusterError) -> Volume {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
      do {
        return try connect()
      } catch let error where error.meansNoBrickAnswers && ContinuousClock.now < deadline && !isOver() {
        onSetback(error)
        sleep(1)
      }
    }
  }

  /// Connects to a volume: asks the servers in turn for its description and connects to its bricks.
  ///
  /// - Parameters:
  ///   - uri: the volume.
  ///   - logging: libgfapi's own log.
  ///   - snapshotDirectory: entry point of user-serviceable snapshots, an option of the translator `snapview-client`.
  ///   - attributeAge: maximum age, in seconds, of attributes that the client answers from its cache; nil: the value of the volume's option
  ///     `performance.md-cache-timeout`, or 1 if the option is not set.
  ///   - keepsLocks: if true, the client of a dispersed or replicated volume keeps locks and marks for a second, for calls that may follow
  ///     (`disperse.eager-lock`, `cluster.post-op-delay-secs`).
  ///   - retry: how long calls on the volume are repeated. It does not apply to connecting.
  ///   - log: receives libgfapi's messages until the connection is established, if `logging` names no file.
  /// - Throws: ``GlusterError``.
  ///
  /// The corresponding C functions are `glfs_new`, `glfs_set_volfile_server`, `glfs_set_logging` and `glfs_init`.
  public init(
    _ uri: VolumeURI, logging: Logging = Logging(), snapshotDirectory: String? = nil, attributeAge: Int? = nil,
    keepsLocks: Bool = true, retry: OutageRetry = OutageRetry(seconds: 0), log: ConnectionLog? = nil
  ) throws(GlusterError) {
    #if GFAPI_FD_THREAD_SANITIZER
      _ = Self.first
    #endif
    guard let fs = glfs_new(uri.clientName) else { throw failure("glfs_new") }
    func check(_ result: Int32, _ call: String) throws(GlusterError) {
      if result != 0 {
        let error = failure(call)
        // This call takes 3 s. The error is reported without waiting for it.
        onOwnThread { glfs_fini(fs) }
        throw error
      }
    }
    for server in uri.servers {
      try check(
        glfs_set_volfile_server(fs, uri.transport.rawValue, server.host, Int32(server.port)), "glfs_set_volfile_server")
    }
    try check(glfs_set_logging(fs, logging.file ?? log?.path ?? "/dev/null", logging.level), "glfs_set_logging")
    // Without this option the volume's own level (`diagnostics.client-log-level`), which is INFO by default, would replace ours.
    // The translators of a snapshot have the name of an internal volume, which is not known here.
    let all = uri.snapshot == nil ? uri.volume : "*"
    try check(glfs_set_xlator_option(fs, all, "log-level", logging.clientLevel), "glfs_set_xlator_option")
    if let snapshotDirectory {
      try check(
        glfs_set_xlator_option(fs, "*-snapview-client", "snapdir-entry-path", snapshotDirectory), "glfs_set_xlator_option")
    }
    if let attributeAge {
      try check(
        glfs_set_xlator_option(fs, "*-md-cache", "md-cache-timeout", "\(attributeAge)"), "glfs_set_xlator_option")
    }
    // `md-cache` must not turn a listing of names alone into one with attributes: see `Object.openDirectory`.
    try check(glfs_set_xlator_option(fs, "*-md-cache", "force-readdirp", "false"), "glfs_set_xlator_option")
    if retry.seconds > 0 {
      // With write-behind, data that the client has accepted but not yet sent is lost when a brick becomes unreachable. Without it, a write
      // that has succeeded has been answered by the volume.
      try check(glfs_set_xlator_option(fs, "*-write-behind", "pass-through", "true"), "glfs_set_xlator_option")
    }
    // A client asks once per `ping-timeout` whether a brick answers, and waits for the answer for as long. The option is therefore set to
    // half of the time for which calls are repeated.
    if 1..<(2 * Self.pingTimeout) ~= retry.seconds {
      try check(
        glfs_set_xlator_option(fs, "*-client-*", "ping-timeout", "\(max(retry.seconds / 2, 1))"), "glfs_set_xlator_option")
    }
    if !keepsLocks {
      for (translator, option, value) in [
        ("disperse", "eager-lock", "off"), ("disperse", "other-eager-lock", "off"), ("replicate", "post-op-delay-secs", "0"),
      ] {
        try check(glfs_set_xlator_option(fs, "*-\(translator)-*", option, value), "glfs_set_xlator_option")
      }
    }
    // One thread takes the bricks' answers, in place of two or more (`client.event-threads`): it is the only one whose end `glfs_fini`
    // waits for (10.3). A second thread frees memory as the settings of the translators say, but these settings may have been freed by
    // then: now and then, on a busy machine, this crashes the process.
    try check(glfs_set_xlator_option(fs, "*-client-*", "event-threads", "1"), "glfs_set_xlator_option")
    // Without this option the client's own threads would take over each call from the thread that makes it, even a call that the client
    // answers itself: two more switches between threads. Our calls already come from threads of their own.
    try check(glfs_set_xlator_option(fs, "*-io-threads", "pass-through", "true"), "glfs_set_xlator_option")
    try check(glfs_init(fs), "glfs_init")
    log?.end()
    handle = fs
    (self.uri, self.retry) = (uri, retry)
    retry.ask { [weak self] in self?.answers ?? false }
  }

  /// True if all subvolumes are connected and a brick answers a look-up. The look-up is for a name that no entry has, so that the client
  /// cannot answer it from its cache.
  private var answers: Bool {
    if let distribution = Distribution(self), (try? distribution.check()) == nil { return false }
    var status = stat()
    guard let root = glfs_h_lookupat(handle, nil, "/", &status, 0) else { return false }
    defer { glfs_h_close(root) }
    if let found = glfs_h_lookupat(handle, root, ".gfapi-fd-\(UInt64.random(in: 0 ..< .max))", &status, 0) {
      glfs_h_close(found)
      return true
    }
    return errno == ENOENT || errno == ESTALE
  }

  #if GFAPI_FD_THREAD_SANITIZER
    /// When the last connection ends, libgfapi cancels a thread of its own, and the sanitizer ends the process because of that. This
    /// connection is never closed, so that no other is the last one.
    nonisolated(unsafe) private static let first = glfs_new("first")
  #endif

  deinit {
    let handle = handle
    onOwnThread {
      glfs_fini(handle)
      // Without this call the allocator keeps the memory of many jobs that end at once: hundreds of megabytes.
      malloc_trim(0)
    }
  }

  /// The volume's root directory.
  ///
  /// The corresponding C function is `glfs_h_lookupat`.
  public func root() throws(GlusterError) -> (object: Object, status: stat) {
    var status = stat()
    return try retry.run { _ throws(GlusterError) in
      guard let object = glfs_h_lookupat(handle, nil, "/", &status, 0) else { throw failure("glfs_h_lookupat", "/".utf8) }
      return (Object(object, on: self), status)
    }
  }

  /// Looks up a path, name by name, without following symbolic links on the way.
  ///
  /// - Throws: ``GlusterError``; `ENOTDIR` also if a symbolic link stands in the path.
  public func lookUp(_ path: VolumePath) throws(GlusterError) -> (object: Object, status: stat) {
    var found = try root()
    for name in path.components {
      guard found.status.isDirectory else {
        throw GlusterError(errno: .notDirectory, call: "glfs_h_lookupat", path: path.bytes)
      }
      found = try found.object.lookUp(name)
    }
    return found
  }

  /// Looks up the entry with an identity.
  ///
  /// - Parameter gfid: 16 bytes, see ``Object/identity()``.
  /// - Throws: ``GlusterError``; `ENOENT` or `ESTALE` if there is no such entry.
  ///
  /// The corresponding C function is `glfs_h_create_from_handle`.
  func lookUp(identity gfid: [UInt8]) throws(GlusterError) -> (object: Object, status: stat) {
    var (gfid, status) = (gfid, stat())
    return try retry.run { _ throws(GlusterError) in
      guard let found = glfs_h_create_from_handle(handle, &gfid, Int32(gfid.count), &status) else {
        throw failure("glfs_h_create_from_handle")
      }
      return (Object(found, on: self), status)
    }
  }

  /// Returns true if clients see the directory of shards: the volume had the translator `shard` earlier, and has it no longer.
  public func hasVisibleShards() throws(GlusterError) -> Bool {
    do {
      let found = try lookUp(Self.shards)
      guard found.status.isDirectory else { return false }
      return Self.text(ofIdentity: try found.object.identity()) == Self.shardsIdentity
    } catch let error where error.meansMissing {
      return false
    }
  }

  /// The directory of shards.
  static let shards = VolumePath(components: [".shard".utf8])

  /// The identity of `/.shard`, the same on every volume.
  private static let shardsIdentity = "be318638-e8a0-4c6d-977d-7a937aa84806"

  /// The volume's identity, as glusterd reports it: a UUID as text. A volume of the same name that is created later has another one.
  ///
  /// - Throws: ``GlusterError``; glusterd (10.3) does not report the identity through its Unix socket.
  ///
  /// The corresponding C function is `glfs_get_volumeid`.
  public func identity() throws(GlusterError) -> String {
    var bytes = [UInt8](repeating: 0, count: 16)
    guard glfs_get_volumeid(handle, &bytes, bytes.count) == 16 else { throw failure("glfs_get_volumeid") }
    return Self.text(ofIdentity: bytes)
  }

  /// A UUID as text, in lower case.
  ///
  /// - Parameter bytes: 16 bytes.
  static func text(ofIdentity bytes: [UInt8]) -> String {
    Hex.uuid(bytes)
  }

  /// Sizes and free space of the volume.
  ///
  /// The corresponding C function is `glfs_statvfs`.
  public func fileSystemStatus() throws(GlusterError) -> statvfs {
    var status = statvfs()
    guard glfs_statvfs(handle, "/", &status) == 0 else { throw failure("glfs_statvfs") }
    return status
  }
}

/// Makes a call on a new thread. If the thread cannot be created, the call is not made: it is better to leave something open than to block
/// the caller.
public func onOwnThread(_ call: @escaping () -> Void) {
  final class Box {
    let call: () -> Void
    init(_ call: @escaping () -> Void) { self.call = call }
  }
  let box = Unmanaged.passRetained(Box(call))
  var thread = pthread_t()
  let result = pthread_create(
    &thread, nil,
    {
      Unmanaged<Box>.fromOpaque($0!).takeRetainedValue().call()
      return nil
    }, box.toOpaque())
  if result == 0 { pthread_detach(thread) } else { box.release() }
}

/// The error of the call that has just failed on this thread.
func failure(_ call: String, _ path: some Sequence<UInt8> = EmptyCollection<UInt8>()) -> GlusterError {
  GlusterError(errno: Errno(rawValue: Glibc.errno), call: call, path: Array(path))
}

extension Collection<UInt8> {
  /// Runs `body` with these bytes as a C string. The bytes must not contain a zero byte.
  func withCString<R, E: Error>(_ body: (UnsafePointer<CChar>) throws(E) -> R) throws(E) -> R {
    try withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { (buffer) throws(E) -> R in
      var index = 0
      for byte in self {
        buffer[index] = CChar(bitPattern: byte)
        index += 1
      }
      buffer[index] = 0
      return try body(UnsafePointer(buffer.baseAddress!))
    }
  }
}
