import CGFAPI
import Glibc
import SystemPackage

/// A connection to one volume. Disconnected when the last object, file and directory on it are gone: on a thread of its own,
/// for that takes 10 s (Gluster 10: its client waits for a timer of its RPC layer).
///
/// Every call blocks until the volume answers; it belongs on a thread that may block.
public final class Volume: @unchecked Sendable {
  // `glfs_t` may be used from several threads at once.
  let handle: OpaquePointer
  public let uri: VolumeURI
  /// How long its calls wait while it is away.
  public let patience: Patience

  /// How libgfapi logs.
  public struct Logging: Equatable, Sendable {
    /// File to append to; nil: no log.
    public var file: String?
    /// 0 (none) to 9 (trace), Gluster's own numbers: 3 critical, 4 errors, 5 warnings, 7 information, 8 debug.
    public var level: Int32

    public init(file: String? = nil, level: Int32 = 4) {
      self.file = file
      self.level = level
    }

    /// The level as a client's option: it knows fewer.
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

    /// What is wrong with a level of which there is no number.
    public static let noLevel = "not a level: 0 to 9, or \(levels.joined(separator: ", "))"

    /// The number of a level that is given as number or name, in any case; nil: there is none.
    public static func level(_ text: String) -> Int32? {
      if let number = Int32(text) { return levels.indices.contains(Int(number)) ? number : nil }
      return levels.firstIndex(of: text.lowercased()).map(Int32.init)
    }
  }

  /// After how long a client takes a brick that does not answer for lost, in seconds: the default of `network.ping-timeout`.
  private static let pingTimeout = 42

  /// Tries to connect again for some time where no brick answers: the client gives up at the first "no" of its bricks, and
  /// they may be about to start.
  ///
  /// - Parameters:
  ///   - seconds: after which it is not tried again.
  ///   - isOver: whether nobody waits for it any more.
  ///   - onSetback: told of each try that has failed and is followed by another.
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
  ///   - snapshotDirectory: entry point of user serviceable snapshots, an option of the translator `snapview-client`.
  ///   - attributeAge: how old attributes may be that the client answers from its memory, in seconds; nil: as the volume's
  ///     option `performance.md-cache-timeout` says, 1 if it says nothing.
  ///   - keepsLocks: whether locks and marks on dispersed and replicated volumes are kept for the calls that may follow, for a
  ///     second (`disperse.eager-lock`, `cluster.post-op-delay-secs`).
  ///   - patience: of the calls on it; not of the connecting itself.
  ///   - log: gets what libgfapi logs until the connection stands, if it is not to log anywhere else.
  /// - Throws: ``GlusterError``.
  ///
  /// The corresponding C functions are `glfs_new`, `glfs_set_volfile_server`, `glfs_set_logging` and `glfs_init`.
  public init(
    _ uri: VolumeURI, logging: Logging = Logging(), snapshotDirectory: String? = nil, attributeAge: Int? = nil,
    keepsLocks: Bool = true, patience: Patience = Patience(seconds: 0), log: ConnectionLog? = nil
  ) throws {
    #if GFAPI_FD_THREAD_SANITIZER
      _ = Self.first
    #endif
    guard let fs = glfs_new(uri.volume) else { throw failure("glfs_new") }
    func check(_ result: Int32, _ call: String) throws {
      if result != 0 {
        let error = failure(call)
        // That takes 3 s; what can be said is said now.
        onOwnThread { glfs_fini(fs) }
        throw error
      }
    }
    for server in uri.servers {
      try check(
        glfs_set_volfile_server(fs, uri.transport.rawValue, server.host, Int32(server.port)), "glfs_set_volfile_server")
    }
    try check(glfs_set_logging(fs, logging.file ?? log?.path ?? "/dev/null", logging.level), "glfs_set_logging")
    // Else the volume's own level (diagnostics.client-log-level) takes its place, which is INFO by default.
    try check(glfs_set_xlator_option(fs, uri.volume, "log-level", logging.clientLevel), "glfs_set_xlator_option")
    if let snapshotDirectory {
      try check(
        glfs_set_xlator_option(fs, "*-snapview-client", "snapdir-entry-path", snapshotDirectory), "glfs_set_xlator_option")
    }
    if let attributeAge {
      try check(
        glfs_set_xlator_option(fs, "*-md-cache", "md-cache-timeout", "\(attributeAge)"), "glfs_set_xlator_option")
    }
    // A listing of names is to be one: see `Object.openDirectory`.
    try check(glfs_set_xlator_option(fs, "*-md-cache", "force-readdirp", "false"), "glfs_set_xlator_option")
    if patience.seconds > 0 {
      // What the client has taken and not yet sent when a brick goes away is lost: only what the volume has answered is done.
      try check(glfs_set_xlator_option(fs, "*-write-behind", "pass-through", "true"), "glfs_set_xlator_option")
    }
    // A client asks whether a brick is there once within this time, and waits as long for the answer.
    if 1..<(2 * Self.pingTimeout) ~= patience.seconds {
      try check(
        glfs_set_xlator_option(fs, "*-client-*", "ping-timeout", "\(max(patience.seconds / 2, 1))"), "glfs_set_xlator_option")
    }
    if !keepsLocks {
      for (translator, option, value) in [
        ("disperse", "eager-lock", "off"), ("disperse", "other-eager-lock", "off"), ("replicate", "post-op-delay-secs", "0"),
      ] {
        try check(glfs_set_xlator_option(fs, "*-\(translator)-*", option, value), "glfs_set_xlator_option")
      }
    }
    // One thread for what the bricks answer, in place of two or more (`client.event-threads`): it is the only one whose end
    // `glfs_fini` waits for (10.3). A second one frees memory as the translators' settings say, and these are free by then: it
    // ends the process, now and then, on a machine that is busy.
    try check(glfs_set_xlator_option(fs, "*-client-*", "event-threads", "1"), "glfs_set_xlator_option")
    // The client's own threads would take each call over from the one that makes it, also those that are answered here: two
    // switches between threads more. Our calls come from threads of their own.
    try check(glfs_set_xlator_option(fs, "*-io-threads", "pass-through", "true"), "glfs_set_xlator_option")
    try check(glfs_init(fs), "glfs_init")
    log?.end()
    handle = fs
    (self.uri, self.patience) = (uri, patience)
    patience.ask { [weak self] in self?.answers ?? false }
  }

  /// Whether all subvolumes are connected and a brick answers for a name that nobody has: not from what the client remembers.
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
    /// With the last connection libgfapi cancels a thread of its own, of which the sanitizer makes an end of the process: this
    /// one stays.
    nonisolated(unsafe) private static let first = glfs_new("first")
  #endif

  deinit {
    let handle = handle
    onOwnThread {
      glfs_fini(handle)
      // Where many jobs end at once their memory stays with the allocator otherwise, hundreds of megabytes of it.
      malloc_trim(0)
    }
  }

  /// The volume's root directory.
  ///
  /// The corresponding C function is `glfs_h_lookupat`.
  public func root() throws -> (object: Object, status: stat) {
    var status = stat()
    return try patience.run { _ in
      guard let object = glfs_h_lookupat(handle, nil, "/", &status, 0) else { throw failure("glfs_h_lookupat", "/".utf8) }
      return (Object(object, on: self), status)
    }
  }

  /// Looks a path up, component by component, following no symbolic link on the way.
  ///
  /// - Parameter path: absolute, in raw bytes; empty or `/` is the root.
  /// - Throws: ``GlusterError``; `ENOTDIR` also where a link stands in the path.
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

  /// The entry with an identity.
  ///
  /// - Parameter gfid: 16 bytes, see ``Object/identity()``.
  /// - Throws: ``GlusterError``; `ENOENT` or `ESTALE` where there is no such entry.
  ///
  /// The corresponding C function is `glfs_h_create_from_handle`.
  func lookUp(identity gfid: [UInt8]) throws -> (object: Object, status: stat) {
    var (gfid, status) = (gfid, stat())
    return try patience.run { _ in
      guard let found = glfs_h_create_from_handle(handle, &gfid, Int32(gfid.count), &status) else {
        throw failure("glfs_h_create_from_handle")
      }
      return (Object(found, on: self), status)
    }
  }

  /// The paths of the entry with an identity: those that the volume tells, one at least, not always all.
  ///
  /// - Parameter gfid: 16 bytes.
  /// - Throws: ``GlusterError``; `ENOENT` or `ESTALE` where there is no such entry, `ENODATA` where the volume does not keep paths.
  ///
  /// The corresponding C functions are `glfs_h_create_from_handle` and `glfs_h_getxattrs` with Gluster's virtual
  /// `glusterfs.gfidtopath`: paths from the root, `:` between them. Of a directory it is `glusterfs.ancestry.path`: one path.
  public func paths(ofGFID gfid: [UInt8]) throws -> [[UInt8]] {
    let (object, status) = try lookUp(identity: gfid)
    let name = status.isDirectory ? "glusterfs.ancestry.path" : "glusterfs.gfidtopath"
    guard let value = try object.extendedAttribute(name.utf8) else {
      throw GlusterError(errno: .noData, call: "glfs_h_getxattrs", path: Array(name.utf8))
    }
    // A name may have a colon as well. What is no path of this entry is left out.
    let pieces = [value] + value.split(separator: UInt8(ascii: ":")).map(Array.init)
    return pieces.filter { piece in
      guard piece.first == UInt8(ascii: "/"), let found = try? lookUp(piece) else { return false }
      return found.status.st_ino == status.st_ino
    }
  }

  /// Whether clients see the directory of shards: the volume has had the translator `shard`, and has it no more.
  public func hasVisibleShards() throws -> Bool {
    do {
      let found = try lookUp("/.shard".utf8)
      return try found.status.isDirectory && Self.text(ofIdentity: found.object.identity()) == Self.shardsIdentity
    } catch let error as GlusterError where error.meansMissing {
      return false
    }
  }

  /// Of `/.shard`, on every volume.
  private static let shardsIdentity = "be318638-e8a0-4c6d-977d-7a937aa84806"

  /// The volume's identity: a UUID as text, which a volume of the same name made later does not have. glusterd is asked for it.
  ///
  /// - Throws: ``GlusterError``; glusterd (10.3) does not tell it through its Unix socket.
  ///
  /// The corresponding C function is `glfs_get_volumeid`.
  public func identity() throws -> String {
    var bytes = [UInt8](repeating: 0, count: 16)
    guard glfs_get_volumeid(handle, &bytes, bytes.count) == 16 else { throw failure("glfs_get_volumeid") }
    return Self.text(ofIdentity: bytes)
  }

  /// A UUID as text, in lower case.
  ///
  /// - Parameter bytes: 16 of them.
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

  /// How many calls a client has under way, beside the one that asks: also those that it makes after it has answered its
  /// caller, such as taking a mark away that the bricks are to be compared.
  ///
  /// - Parameter frames: text of the virtual file `/.meta/frames`, which the client itself serves: for each call the translators
  ///   that are at it, a line `"Xlator": "<name>"` each, and then a line `"Unique": <number>`. An opening that the translator
  ///   `open-behind` puts off until it is needed does not count: it may never be sent.
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

  /// Waits until this client has no call under way any more. Who ends without that leaves marks on replicated and dispersed volumes
  /// that what was written is to be healed, and on dispersed ones directories that cannot be read until then.
  ///
  /// - Parameter milliseconds: how long at most. Both kinds may leave a call undone for a second (`disperse.eager-lock-timeout`,
  ///   `cluster.post-op-delay-secs`).
  public func settle(within milliseconds: Int = 3000) throws {
    let deadline = ContinuousClock.now + .milliseconds(milliseconds)
    let frames = try lookUp("/.meta/frames".utf8).object
    while try Self.callsUnderWay(frames.virtualText()) > 0, ContinuousClock.now < deadline { usleep(1000) }
  }

  /// The types of the translators that this client has between itself and the bricks, such as `cluster/disperse`, each as
  /// often as it is there.
  ///
  /// Read from the virtual directory `/.meta`, which the client itself serves. (`glfs_get_volfile` tells the same, but
  /// copies memory from beyond its text and may end the process: Gluster 10.3.)
  public func translators() throws -> [String] { try translatorDirectories().map(\.type) }

  /// The name of the directory that leads to snapshots, in each directory (`features.snapshot-directory`); nil: users see none
  /// (`features.uss` is off).
  public func snapshotDirectoryName() throws -> String? {
    guard let translator = try translatorDirectories().first(where: { $0.type == "features/snapview-client" }) else { return nil }
    let option = try? translator.object.lookUp("options".utf8).object.lookUp("snapshot-directory".utf8).object.virtualText()
    return option.map { $0.filter { !$0.isWhitespace } } ?? ".snaps"
  }

  /// Whether the volume lets nothing be changed (`features.read-only`): asked with the removal of an attribute that the root does not have.
  public func isReadOnly() -> Bool {
    do { try lookUp([]).object.removeExtendedAttribute("user.gfapi-fd.none".utf8) } catch {
      return (error as? GlusterError)?.errno == .readOnlyFileSystem
    }
    return false
  }

  /// Names of the client's translators whose bricks it is not connected to, such as `myvol-client-0`.
  public func unreachableBricks() throws -> [String] {
    try translatorDirectories().filter { translator in
      // Where users see snapshots there is one for these, which is no brick.
      guard translator.type == "protocol/client", !translator.name.elementsEqual("\(uri.volume)-snapd-client".utf8) else { return false }
      return try translator.object.lookUp("private".utf8).object.virtualText().contains("connected = 0\n")
    }.map { String(decoding: $0.name, as: UTF8.self) }.sorted()
  }

  /// The translators' directories in `/.meta`.
  func translatorDirectories() throws -> [(name: [UInt8], type: String, object: Object)] {
    let graphs = try lookUp("/.meta/graphs".utf8).object
    let active = try graphs.lookUp(try graphs.lookUp("active".utf8).object.linkTarget()).object
    let directory = try active.openDirectory()
    var found: [(name: [UInt8], type: String, object: Object)] = []
    while let entry = try directory.next() {
      let translator = try active.lookUp(entry.name)
      // Beside the translators' directories there are files, and a link to the topmost of them.
      guard translator.status.isDirectory else { continue }
      let type = try translator.object.lookUp("type".utf8).object.virtualText()
      found.append((entry.name, type.filter { !$0.isWhitespace }, translator.object))
    }
    return found
  }
}

/// Has a call made by a thread that is made for it. If there can be none it is not made: better something left open than
/// somebody stuck.
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

extension stat {
  fileprivate var isDirectory: Bool { st_mode & S_IFMT == S_IFDIR }
}

extension Collection<UInt8> {
  /// Runs `body` with these bytes as a C string. The bytes hold no zero.
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
