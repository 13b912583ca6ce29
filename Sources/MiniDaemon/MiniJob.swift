import FDPluginABI
import Glibc
import Locks
import MiniDaemonCallbacks

/// One job of the small file daemon. It has an instance of the plugin and the callbacks for it, and calls the plugin in the order in which
/// Bareos and Bacula do.
public final class MiniJob: @unchecked Sendable {
  // A job belongs to one thread. Another one may call `cancel` and read `messages`.

  /// A job message.
  public struct Message: Sendable {
    public enum Severity: Int32, Sendable {
      case fatal = 3, error, warning, info
      case notSaved = 8
    }
    public let severity: Severity
    /// As the plugin sent it, without the newline at its end.
    public let text: String
  }

  /// The settings of the FileSet and the job.
  public struct Options: Sendable {
    public var acls = true
    public var extendedAttributes = true
    public var recurses = true
    public var withoutAccessTime = false
    public var keepsAccessTime = false
    public var hardLinks = true
    /// The daemon knows entries by paths without their first component (`Strip Path = 1`).
    public var stripsPaths = false
    /// The daemon looks for changes on its own disk (`CheckFileChanges = yes`); this one only says that it does.
    public var looksForChanges = false
    /// The level of the job: `F`, `I` or `D`.
    public var level = UInt8(ascii: "F")
    /// The time since which changes are backed up, in seconds since 1970.
    public var since = 0
    /// Unique names of this job and of the job that it is compared with, as a daemon reports them.
    public var jobName: String?
    public var previousJobName: String?
    /// The daemon's working directory.
    public var workingDirectory: String?
    /// Shell patterns of paths that the FileSet excludes.
    public var excludes: [String] = []
    /// Back up only this path, everything below it, and the directories above it; nil: back up everything.
    public var only: [UInt8]?
    /// Plugin options of the job: they override the definition.
    public var pluginOptions: String?
    /// For an accurate job: entries that are in the catalog, with modification time, size, and the number of their delta.
    public var accurate: [[UInt8]: (mtime: Int, size: Int, delta: UInt32)]?

    public init() {}
  }

  let module: PluginModule
  public let options: Options
  private(set) var calls: (any ModuleCalls)!
  private let core: UnsafeMutablePointer<mini_core>
  private let taken = Mutex<[Message]>([])
  private let state = Mutex(false)
  private(set) var events: Set<Int32> = []
  /// Called with each message when it comes.
  public var onMessage: ((Message) -> Void)?
  /// The number of entries in the backup so far.
  var fileIndex: Int32 = 0
  /// Bacula: the options that a restore accepts, as the plugin described them in the backup.
  var restoreOptions: [UInt8] = []
  /// The number of times that the FileSet has excluded a path.
  public private(set) var excluded = 0
  /// The entries of the accurate list that have been seen.
  private var seen: Set<[UInt8]> = []
  /// Texts whose address the plugin has got.
  private var texts: [DaemonText: UnsafeMutablePointer<CChar>] = [:]

  /// Makes an instance of the plugin, and sends it the events with which a job begins.
  public init(_ module: PluginModule, _ options: Options = Options()) throws {
    self.module = module
    self.options = options
    core = .allocate(capacity: 1)
    core.initialize(to: mini_core())
    core.pointee.job = Unmanaged.passUnretained(self).toOpaque()
    core.pointee.message = { MiniJob.of(job: $0!).take(type: $1, text: $2!) }
    core.pointee.registered = { MiniJob.of(job: $0!).events.insert($1) }
    calls =
      switch module.abi.family {
      case .bareos(let release): BareosCalls(self, core, release)
      case .bacula(let release): BaculaCalls(self, core, release)
      }
    guard calls.newPlugin() == Int32(FD_OK) else {
      let told = messages.map(\.text)
      throw DaemonError("GFD-301", told.isEmpty ? "newPlugin failed" : "newPlugin failed: \(told.joined(separator: "; "))")
    }
    send(.jobStart)
    send(.level, UnsafeMutableRawPointer(bitPattern: Int(options.level)))
    send(.since, UnsafeMutableRawPointer(bitPattern: options.since))
    if let line = options.pluginOptions {
      guard !module.abi.isBacula else { throw DaemonError("GFD-302", "Bacula has no plugin options of a job") }
      _ = send(.newPluginOptions, line: Array(line.utf8))
    }
  }

  /// Ends the job, and frees the plugin's instance. Call it only once.
  public func end() {
    send(.jobEnd)
    calls.freePlugin()
  }

  deinit {
    for text in texts.values { free(text) }
    core.deallocate()
  }

  /// Cancels the job, from any thread.
  public func cancel() {
    state.withLock { $0 = true }
    send(.cancelCommand)
  }

  public var isCancelled: Bool { state.withLock { $0 } }

  public var messages: [Message] { taken.withLock { $0 } }

  /// True if a fatal message has ended the job.
  public var hasFailed: Bool { messages.contains { $0.severity == .fatal } }

  // MARK: Calls to the plugin

  @discardableResult
  func send(_ event: DaemonEvent, _ value: UnsafeMutableRawPointer? = nil) -> Int32 { calls.send(event, value) }

  func send(_ event: DaemonEvent, line: [UInt8]) -> Int32 {
    var text = line + [0]
    return text.withUnsafeMutableBytes { send(event, $0.baseAddress) }
  }

  // MARK: Callbacks

  private func take(type: Int32, text: UnsafePointer<CChar>) {
    var text = String(cString: text)
    if text.hasSuffix("\n") { text.removeLast() }
    // A type of message that the release does not have counts as fatal. A real daemon would not do that.
    log(Message.Severity(rawValue: type - module.abi.messageShift) ?? .fatal, text)
  }

  /// Adds a message to the job's log.
  func log(_ severity: Message.Severity, _ text: String) {
    let message = Message(severity: severity, text: text)
    taken.withLock { $0.append(message) }
    onMessage?(message)
  }

  private static func of(job: UnsafeMutableRawPointer) -> MiniJob {
    Unmanaged<MiniJob>.fromOpaque(job).takeUnretainedValue()
  }

  /// Returns the job of a context.
  ///
  /// - Parameter core: the context's pointer to the daemon's own data.
  static func of(_ core: UnsafeMutableRawPointer) -> MiniJob {
    of(job: core.assumingMemoryBound(to: mini_core.self).pointee.job)
  }

  func value(_ variable: DaemonVariable) -> Int32 {
    switch variable {
    case .jobID: 1
    case .level: Int32(options.level)
    case .sinceTime: Int32(truncatingIfNeeded: options.since)
    case .accurate: options.accurate == nil ? 0 : 1
    case .jobStatus: isCancelled ? Int32(FD_JOB_CANCELED) : Int32(UInt8(ascii: "R"))
    case .fileIndex: fileIndex
    }
  }

  /// Stores the address of a text. The text lives as long as the job. Returns `FD_OK`, or `FD_ERROR` if the daemon does not have the text.
  func store(_ text: DaemonText, at place: UnsafeMutableRawPointer?) -> Int32 {
    let value =
      switch text {
      case .jobName: options.jobName
      case .previousJobName: options.previousJobName
      case .workingDirectory: options.workingDirectory
      case .version: module.abi.versionText
      }
    guard let place, let value else { return Int32(FD_ERROR) }
    if texts[text] == nil { texts[text] = strdup(value) }
    place.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self).pointee = texts[text]
    return Int32(FD_OK)
  }

  func accepts(_ path: UnsafePointer<CChar>) -> Bool {
    if options.excludes.contains(where: { fnmatch($0, path, 0) == 0 }) {
      excluded += 1
      return false
    }
    guard let only = options.only else { return true }
    let path = Array(UnsafeRawBufferPointer(start: path, count: strlen(path)))
    return Self.isAt(path, orBelow: only) || Self.isAt(only, orBelow: path)
  }

  /// Returns true if a path is the same as another path, or below it.
  public static func isAt(_ path: [UInt8], orBelow other: [UInt8]) -> Bool {
    let slash = UInt8(ascii: "/")
    let other = other.last == slash ? other.dropLast() : other[...]
    return path.starts(with: other) && (path.count == other.count || path[other.count] == slash)
  }

  /// Compares an entry with the catalog in an accurate job, and otherwise with the time of the last backup, as the daemons do.
  ///
  /// - Returns: whether it has changed, and the number of its delta in the catalog; nil: the catalog does not have it.
  func compare(_ path: [UInt8], link: [UInt8], _ status: stat, since: Int) -> (hasChanged: Bool, delta: UInt32?) {
    if let accurate = options.accurate {
      let path = status.st_mode & S_IFMT == S_IFDIR ? link : path
      guard let known = accurate[path] else { return (true, nil) }
      markSeen(path)
      return (known.mtime != status.st_mtim.tv_sec || known.size != Int(status.st_size), known.delta)
    }
    return (!(since > 0 && status.st_mtim.tv_sec < since && status.st_ctim.tv_sec < since), nil)
  }

  func markSeen(_ path: [UInt8]) {
    // Only an accurate job needs the set, which grows with the tree.
    if options.accurate != nil { seen.insert(path) }
  }

  /// The entries of the accurate list that the backup treats as deleted. Read this before the job ends.
  public var deleted: [[UInt8]] {
    (options.accurate ?? [:]).keys.filter { !seen.contains($0) && !calls.keeps(options.stripsPaths ? stripped($0) : $0) }
  }

  private func stripped(_ path: [UInt8]) -> [UInt8] { Array(path[(path.dropFirst().firstIndex(of: UInt8(ascii: "/")) ?? 0)...]) }
}

/// Returns the bytes of a C string; no bytes for a null pointer.
func bytes(_ string: UnsafePointer<CChar>?) -> [UInt8] {
  guard let string else { return [] }
  return Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}
