import FDPluginABI
import Glibc
import Locks
import MiniDaemonCallbacks

/// One job of the small file daemon: an instance of the plugin, the callbacks that it is given, and the calls that Bareos
/// makes, in Bareos's and Bacula's order.
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

  /// What the FileSet and the job say.
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
    /// `F`, `I` or `D`.
    public var level = UInt8(ascii: "F")
    /// Seconds since 1970.
    public var since = 0
    /// Unique names of this job and of the one that it is compared with, as a daemon tells them.
    public var jobName: String?
    public var previousJobName: String?
    /// The daemon's working directory.
    public var workingDirectory: String?
    /// Shell patterns of paths that the FileSet excludes.
    public var excludes: [String] = []
    /// Only this path, what is below it, and the directories above it; nil: all.
    public var only: [UInt8]?
    /// Plugin options of the job: they override the definition.
    public var pluginOptions: String?
    /// For an accurate job: entries that are in the catalog, with modification time and size.
    public var accurate: [[UInt8]: (mtime: Int, size: Int)]?

    public init() {}
  }

  let module: PluginModule
  public let options: Options
  private(set) var calls: (any ModuleCalls)!
  private let core: UnsafeMutablePointer<mini_core>
  private let log = Mutex<[Message]>([])
  private let state = Mutex(false)
  private(set) var events: Set<Int32> = []
  /// Told of each message as it comes.
  public var onMessage: ((Message) -> Void)?
  /// Entries that have gone into the backup.
  var fileIndex: Int32 = 0
  /// Bacula: the options that a restore may be given, as the plugin said at the backup.
  var restoreOptions: [UInt8] = []
  /// How often the FileSet has excluded a path.
  public private(set) var excluded = 0
  /// Of the accurate list.
  private var seen: Set<[UInt8]> = []
  /// Texts that the plugin has been told.
  private var texts: [DaemonText: UnsafeMutablePointer<CChar>] = [:]

  /// Makes an instance of the plugin and tells it of the job.
  public init(_ module: PluginModule, _ options: Options = Options()) throws {
    self.module = module
    self.options = options
    core = .allocate(capacity: 1)
    core.initialize(to: mini_core())
    core.pointee.job = Unmanaged.passUnretained(self).toOpaque()
    core.pointee.message = { MiniJob.of(job: $0!).take(type: $1, text: $2!) }
    core.pointee.registered = { MiniJob.of(job: $0!).events.insert($1) }
    calls = module.abi.isBacula ? BaculaCalls(self, core) : BareosCalls(self, core)
    guard calls.newPlugin() == Int32(FD_OK) else {
      let told = messages.map(\.text)
      throw DaemonError(told.isEmpty ? "newPlugin failed" : "newPlugin failed: \(told.joined(separator: "; "))")
    }
    send(.jobStart)
    send(.level, UnsafeMutableRawPointer(bitPattern: Int(options.level)))
    send(.since, UnsafeMutableRawPointer(bitPattern: options.since))
    if let line = options.pluginOptions {
      guard !module.abi.isBacula else { throw DaemonError("Bacula has no plugin options of a job") }
      _ = send(.newPluginOptions, line: Array(line.utf8))
    }
  }

  /// Ends the job: the plugin's instance is freed. To be called once.
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

  public var messages: [Message] { log.withLock { $0 } }

  /// Whether a fatal message has ended the job.
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
    // A number that the release does not have is taken for what ends the job, as no daemon would.
    tell(Message.Severity(rawValue: type - module.abi.messageShift) ?? .fatal, text)
  }

  /// Takes a message into the job's log.
  func tell(_ severity: Message.Severity, _ text: String) {
    let message = Message(severity: severity, text: text)
    log.withLock { $0.append(message) }
    onMessage?(message)
  }

  private static func of(job: UnsafeMutableRawPointer) -> MiniJob {
    Unmanaged<MiniJob>.fromOpaque(job).takeUnretainedValue()
  }

  /// - Parameter core: a context's pointer to what is the daemon's own.
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

  /// Stores the address of a text, which lives as long as the job. Returns the plugin interface's answer.
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

  /// Whether a path is another one, or below it.
  public static func isAt(_ path: [UInt8], orBelow other: [UInt8]) -> Bool {
    let slash = UInt8(ascii: "/")
    let other = other.last == slash ? other.dropLast() : other[...]
    return path.starts(with: other) && (path.count == other.count || path[other.count] == slash)
  }

  /// As the daemons compare: in an accurate job with what the catalog has, else with the time of the last backup.
  func hasChanged(_ path: [UInt8], link: [UInt8], _ status: stat, since: Int) -> Bool {
    if let accurate = options.accurate {
      let path = status.st_mode & S_IFMT == S_IFDIR ? link : path
      guard let known = accurate[path] else { return true }
      markSeen(path)
      return known.mtime != status.st_mtim.tv_sec || known.size != Int(status.st_size)
    }
    return !(since > 0 && status.st_mtim.tv_sec < since && status.st_ctim.tv_sec < since)
  }

  func markSeen(_ path: [UInt8]) {
    // Nobody asks in another job, and a set of all paths would grow with the tree.
    if options.accurate != nil { seen.insert(path) }
  }

  /// Entries of the accurate list that the backup takes for deleted. To be asked before the job ends.
  public var deleted: [[UInt8]] {
    (options.accurate ?? [:]).keys.filter { !seen.contains($0) && !calls.keeps(options.stripsPaths ? stripped($0) : $0) }
  }

  private func stripped(_ path: [UInt8]) -> [UInt8] { Array(path[(path.dropFirst().firstIndex(of: UInt8(ascii: "/")) ?? 0)...]) }
}

/// The bytes of a C string; none for a null pointer.
func bytes(_ string: UnsafePointer<CChar>?) -> [UInt8] {
  guard let string else { return [] }
  return Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}
