import CGFAPI
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

  /// Where libgfapi logs, and how much.
  public struct Logging: Equatable, Sendable {
    /// File to append to; nil: no log.
    public var file: String?
    /// 0 (none) to 9 (trace), Gluster's own numbers: 3 critical, 4 errors, 5 warnings, 7 information, 8 debug.
    public var level: Int32

    public init(file: String? = nil, level: Int32 = 4) {
      self.file = file
      self.level = level
    }

    /// The level as an option of the client, which has fewer levels.
    fileprivate var clientLevel: String {
      switch level {
      case ...0: "NONE"
      case ...3: "CRITICAL"
      case 6: "INFO"
      default: Self.levels[Int(min(level, 9))].uppercased()
      }
    }

    /// Names of Gluster's log levels, by number.
    private static let levels = [
      "none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "trace",
    ]

    /// The message for a level that does not exist.
    public static let noLevel = "not a level: 0 to 9, or \(levels.joined(separator: ", "))"

    /// The number of a log level; nil if there is no such level.
    ///
    /// - Parameter text: number or name of the level, in upper or lower case.
    public static func level(_ text: String) -> Int32? {
      if let number = Int32(text) { return levels.indices.contains(Int(number)) ? number : nil }
      return levels.firstIndex(of: text.lowercased()).map(Int32.init)
    }
  }

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
    within seconds: Int, isOver: () -> Bool = { false }, onSetback: (GlusterError) -> Void = { _ in }, _ connect: () throws -> Volume
  ) throws -> Volume {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
      do {
        return try connect()
      } catch let error as GlusterError where error.meansNoBrickAnswers && ContinuousClock.now < deadline && !isOver() {
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
  ) throws {
    #if GFAPI_FD_THREAD_SANITIZER
      _ = Self.first
    #endif
    guard let fs = glfs_new(uri.volume) else { throw failure("glfs_new") }
    func check(_ result: Int32, _ call: String) throws {
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
    try check(glfs_set_xlator_option(fs, uri.volume, "log-level", logging.clientLevel), "glfs_set_xlator_option")
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
  public func root() throws -> (object: Object, status: stat) {
    var status = stat()
    return try retry.run { _ in
      guard let object = glfs_h_lookupat(handle, nil, "/", &status, 0) else { throw failure("glfs_h_lookupat", "/".utf8) }
      return (Object(object, on: self), status)
    }
  }

  /// Looks up a path, component by component, without following symbolic links on the way.
  ///
  /// - Parameter path: absolute, in raw bytes; empty or `/` is the root.
  /// - Throws: ``GlusterError``; `ENOTDIR` also if a symbolic link stands in the path.
  public func lookUp(_ path: some Collection<UInt8>) throws -> (object: Object, status: stat) {
    var found = try root()
    for component in path.split(separator: UInt8(ascii: "/")) {
      guard found.status.isDirectory else {
        throw GlusterError(errno: .notDirectory, call: "glfs_h_lookupat", path: Array(path))
      }
      found = try found.object.lookUp(component)
    }
    return found
  }

  /// Looks up the entry with an identity.
  ///
  /// - Parameter gfid: 16 bytes, see ``Object/identity()``.
  /// - Throws: ``GlusterError``; `ENOENT` or `ESTALE` if there is no such entry.
  ///
  /// The corresponding C function is `glfs_h_create_from_handle`.
  func lookUp(identity gfid: [UInt8]) throws -> (object: Object, status: stat) {
    var (gfid, status) = (gfid, stat())
    return try retry.run { _ in
      guard let found = glfs_h_create_from_handle(handle, &gfid, Int32(gfid.count), &status) else {
        throw failure("glfs_h_create_from_handle")
      }
      return (Object(found, on: self), status)
    }
  }

  /// The paths of the entry with an identity, as the volume reports them: at least one, not always all.
  ///
  /// - Parameter gfid: 16 bytes.
  /// - Throws: ``GlusterError``; `ENOENT` or `ESTALE` if there is no such entry, `ENODATA` if the volume does not keep paths.
  ///
  /// The corresponding C functions are `glfs_h_create_from_handle` and `glfs_h_getxattrs`. The attribute is Gluster's virtual
  /// `glusterfs.gfidtopath`: paths from the root, separated by `:`. For a directory it is `glusterfs.ancestry.path`: one path.
  public func paths(ofGFID gfid: [UInt8]) throws -> [[UInt8]] {
    let (object, status) = try lookUp(identity: gfid)
    let name = status.isDirectory ? "glusterfs.ancestry.path" : "glusterfs.gfidtopath"
    guard let value = try object.extendedAttribute(name.utf8) else {
      throw GlusterError(errno: .noData, call: "glfs_h_getxattrs", path: Array(name.utf8))
    }
    // A name may contain a colon too, so the whole value is tried as well. A piece that is not a path of this entry is left out.
    let pieces = [value] + value.split(separator: UInt8(ascii: ":")).map(Array.init)
    return pieces.filter { piece in
      guard piece.first == UInt8(ascii: "/"), let found = try? lookUp(piece) else { return false }
      return found.status.st_ino == status.st_ino
    }
  }

  /// Returns true if clients see the directory of shards: the volume had the translator `shard` earlier, and has it no longer.
  public func hasVisibleShards() throws -> Bool {
    do {
      let found = try lookUp("/.shard".utf8)
      return try found.status.isDirectory && Self.text(ofIdentity: found.object.identity()) == Self.shardsIdentity
    } catch let error as GlusterError where error.meansMissing {
      return false
    }
  }

  /// The identity of `/.shard`, the same on every volume.
  private static let shardsIdentity = "be318638-e8a0-4c6d-977d-7a937aa84806"

  /// The volume's identity, as glusterd reports it: a UUID as text. A volume of the same name that is created later has another one.
  ///
  /// - Throws: ``GlusterError``; glusterd (10.3) does not report the identity through its Unix socket.
  ///
  /// The corresponding C function is `glfs_get_volumeid`.
  public func identity() throws -> String {
    var bytes = [UInt8](repeating: 0, count: 16)
    guard glfs_get_volumeid(handle, &bytes, bytes.count) == 16 else { throw failure("glfs_get_volumeid") }
    return Self.text(ofIdentity: bytes)
  }

  /// A UUID as text, in lower case.
  ///
  /// - Parameter bytes: 16 bytes.
  static func text(ofIdentity bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    let text = bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(text[$0]) }.joined(separator: "-")
  }

  /// Sizes and free space of the volume.
  ///
  /// The corresponding C function is `glfs_statvfs`.
  public func fileSystemStatus() throws -> statvfs {
    var status = statvfs()
    guard glfs_statvfs(handle, "/", &status) == 0 else { throw failure("glfs_statvfs") }
    return status
  }

  /// The number of calls that a client has under way, without the call that reads this number. Calls that the client makes after it has
  /// answered its caller count as well: for instance, to remove the mark that the bricks have to be compared.
  ///
  /// - Parameter frames: text of the virtual file `/.meta/frames`, which the client itself serves. A call has one line for each translator
  ///   that works on it, `"Xlator": "<name>"`, and then a line `"Unique": <number>`. An open that the translator `open-behind` postpones
  ///   until it is needed does not count: it may never be sent.
  private static func callsUnderWay(_ frames: String) -> Int {
    var count = -1
    var isPutOff = true
    for line in frames.split(separator: "\n") {
      if line.contains("\"Xlator\":") {
        if !line.contains("-open-behind\"") { isPutOff = false }
      } else if line.contains("\"Unique\":") {
        if !isPutOff { count += 1 }
        isPutOff = true
      }
    }
    return count
  }

  /// Waits until this client has no call under way any more.
  ///
  /// A process that ends without waiting leaves marks on replicated and dispersed volumes that the written files have to be healed. On
  /// dispersed volumes it also leaves directories that cannot be read until they are healed.
  ///
  /// - Parameter milliseconds: maximum time to wait. Both types of volumes may delay a call for a second (`disperse.eager-lock-timeout`,
  ///   `cluster.post-op-delay-secs`).
  public func settle(within milliseconds: Int = 3000) throws {
    let deadline = ContinuousClock.now + .milliseconds(milliseconds)
    let frames = try lookUp("/.meta/frames".utf8).object
    while try Self.callsUnderWay(frames.virtualText()) > 0, ContinuousClock.now < deadline { usleep(1000) }
  }

  /// The types of the translators between this client and the bricks, such as `cluster/disperse`. A type is listed once for each translator
  /// of this type.
  ///
  /// The types are read from the virtual directory `/.meta`, which the client itself serves. `glfs_get_volfile` reports them as well, but
  /// it copies memory from beyond its text and may crash the process (Gluster 10.3).
  public func translators() throws -> [String] { try translatorDirectories().map(\.type) }

  /// The name of the directory that leads to snapshots, in each directory (`features.snapshot-directory`); nil if users see no snapshots
  /// (`features.uss` is off).
  public func snapshotDirectoryName() throws -> String? {
    guard let translator = try translatorDirectories().first(where: { $0.type == "features/snapview-client" }) else { return nil }
    let option = try? translator.object.lookUp("options".utf8).object.lookUp("snapshot-directory".utf8).object.virtualText()
    return option.map { $0.filter { !$0.isWhitespace } } ?? ".snaps"
  }

  /// Returns true if the volume refuses all changes (`features.read-only`). To find out, this function removes an attribute that the root
  /// does not have.
  public func isReadOnly() -> Bool {
    do { try lookUp([]).object.removeExtendedAttribute("user.gfapi-fd.none".utf8) } catch {
      return (error as? GlusterError)?.errno == .readOnlyFileSystem
    }
    return false
  }

  /// Names of the client's translators that are not connected to their brick, such as `myvol-client-0`.
  public func unreachableBricks() throws -> [String] {
    try translatorDirectories().filter { translator in
      // If users see snapshots, there is one more translator of this type, for the snapshots. It has no brick.
      guard translator.type == "protocol/client", !translator.name.elementsEqual("\(uri.volume)-snapd-client".utf8) else { return false }
      return try translator.object.lookUp("private".utf8).object.virtualText().contains("connected = 0\n")
    }.map { String(decoding: $0.name, as: UTF8.self) }.sorted()
  }

  /// The directories of the translators in `/.meta`.
  func translatorDirectories() throws -> [(name: [UInt8], type: String, object: Object)] {
    let graphs = try lookUp("/.meta/graphs".utf8).object
    let active = try graphs.lookUp(try graphs.lookUp("active".utf8).object.linkTarget()).object
    let directory = try active.openDirectory()
    var found: [(name: [UInt8], type: String, object: Object)] = []
    while let entry = try directory.next() {
      let translator = try active.lookUp(entry.name)
      // Besides the directories of the translators there are files, and a link to the topmost translator.
      guard translator.status.isDirectory else { continue }
      let type = try translator.object.lookUp("type".utf8).object.virtualText()
      found.append((entry.name, type.filter { !$0.isWhitespace }, translator.object))
    }
    return found
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
  func withCString<R>(_ body: (UnsafePointer<CChar>) throws -> R) rethrows -> R {
    try withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { buffer in
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
