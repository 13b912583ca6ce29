import FDPluginABI
import Glibc
import MiniDaemonCallbacks
import Synchronization

/// One job of the small file daemon: an instance of the plugin, the callbacks that it is given, and the calls that Bareos
/// makes, in Bareos's order.
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
    public var layout = Layout.bareos26
    public var acls = true
    public var extendedAttributes = true
    public var recurses = true
    public var withoutAccessTime = false
    public var keepsAccessTime = false
    public var hardLinks = true
    /// `F`, `I` or `D`.
    public var level = UInt8(ascii: "F")
    /// Seconds since 1970.
    public var since = 0
    /// Shell patterns of paths that the FileSet excludes.
    public var excludes: [String] = []
    /// Plugin options of the job: they override the definition.
    public var pluginOptions: String?
    /// For an accurate job: entries that are in the catalog, with modification time and size.
    public var accurate: [[UInt8]: (mtime: Int, size: Int)]?

    public init() {}
  }

  let module: PluginModule
  public let options: Options
  let context: UnsafeMutablePointer<bareos_context>
  private let core: UnsafeMutablePointer<mini_core>
  private let log = Mutex<[Message]>([])
  private let state = Mutex(false)
  private(set) var events: Set<Int32> = []
  /// Told of each message as it comes.
  public var onMessage: ((Message) -> Void)?

  /// Makes an instance of the plugin and tells it of the job.
  public init(_ module: PluginModule, _ options: Options = Options()) throws {
    self.module = module
    self.options = options
    context = .allocate(capacity: 1)
    core = .allocate(capacity: 1)
    context.initialize(to: bareos_context())
    core.initialize(to: mini_core())
    context.pointee.core_private = UnsafeMutableRawPointer(core)
    core.pointee.job = Unmanaged.passUnretained(self).toOpaque()
    core.pointee.message = { MiniJob.of($0!).take(type: $1, text: $2!) }
    core.pointee.registered = { MiniJob.of($0!).events.insert($1) }
    guard module.functions.pointee.new_plugin(context) == Int32(FD_OK) else {
      throw DaemonError("newPlugin failed")
    }
    send(BAREOS_EVENT_JOB_START)
    send(BAREOS_EVENT_LEVEL, UnsafeMutableRawPointer(bitPattern: Int(options.level)))
    send(BAREOS_EVENT_SINCE, UnsafeMutableRawPointer(bitPattern: options.since))
    if let line = options.pluginOptions { _ = send(BAREOS_EVENT_NEW_PLUGIN_OPTIONS, line: Array(line.utf8)) }
  }

  /// Ends the job: the plugin's instance is freed. To be called once.
  public func end() {
    send(BAREOS_EVENT_JOB_END)
    _ = module.functions.pointee.free_plugin(context)
  }

  deinit {
    context.deallocate()
    core.deallocate()
  }

  /// Cancels the job, from any thread.
  public func cancel() {
    state.withLock { $0 = true }
    send(BAREOS_EVENT_CANCEL_COMMAND)
  }

  public var isCancelled: Bool { state.withLock { $0 } }

  public var messages: [Message] { log.withLock { $0 } }

  /// Whether a fatal message has ended the job.
  public var hasFailed: Bool { messages.contains { $0.severity == .fatal } }

  // MARK: Calls to the plugin

  @discardableResult
  func send(_ event: Int, _ value: UnsafeMutableRawPointer? = nil) -> Int32 {
    guard events.contains(Int32(event)) else { return Int32(FD_OK) }
    var packet = fd_event(type: UInt32(event))
    return module.functions.pointee.handle_event(context, &packet, value)
  }

  func send(_ event: Int, line: [UInt8]) -> Int32 {
    var text = line + [0]
    return text.withUnsafeMutableBytes { send(event, $0.baseAddress) }
  }

  // MARK: Callbacks

  private func take(type: Int32, text: UnsafePointer<CChar>) {
    var text = String(cString: text)
    if text.hasSuffix("\n") { text.removeLast() }
    let message = Message(severity: Message.Severity(rawValue: type) ?? .info, text: text)
    log.withLock { $0.append(message) }
    onMessage?(message)
  }

  private static func of(_ job: UnsafeMutableRawPointer) -> MiniJob {
    Unmanaged<MiniJob>.fromOpaque(job).takeUnretainedValue()
  }

  private static func of(_ context: UnsafeMutablePointer<bareos_context>?) -> MiniJob {
    of(context!.pointee.core_private.assumingMemoryBound(to: mini_core.self).pointee.job)
  }

  static func callbacks(version: UInt32, size: Int) -> bareos_core_functions {
    var table = bareos_core_functions()
    table.size = UInt32(size)
    table.version = version
    // Swift has no type for a variadic function: the tables' fields are set by address.
    mini_set_variadic(&table)
    table.get_value = { context, variable, value in
      let job = MiniJob.of(context)
      guard let value else { return Int32(FD_ERROR) }
      let number = value.assumingMemoryBound(to: Int32.self)
      switch Int(variable) {
      case BAREOS_VAR_JOB_ID: number.pointee = 1
      case BAREOS_VAR_LEVEL: number.pointee = Int32(job.options.level)
      case BAREOS_VAR_SINCE_TIME: number.pointee = Int32(truncatingIfNeeded: job.options.since)
      case BAREOS_VAR_ACCURATE: number.pointee = job.options.accurate == nil ? 0 : 1
      case BAREOS_VAR_JOB_STATUS:
        number.pointee = job.isCancelled ? Int32(FD_JOB_CANCELED) : Int32(UInt8(ascii: "R"))
      default: return Int32(FD_ERROR)
      }
      return Int32(FD_OK)
    }
    table.set_value = { _, _, _ in Int32(FD_OK) }
    table.accept_file = { context, packet in
      let job = MiniJob.of(context)
      let excluded = job.options.excludes.contains { fnmatch($0, packet!.pointee.fname, 0) == 0 }
      return Int32(excluded ? FD_SKIP : FD_OK)
    }
    table.check_changes = { context, packet in MiniJob.of(context).checkChanges(packet!.pointee) }
    table.set_seen_bitmap = { _, _, _ in Int32(FD_OK) }
    table.clear_seen_bitmap = { _, _, _ in Int32(FD_OK) }
    return table
  }

  /// As Bareos compares: in an accurate job with what the catalog has, else with the time of the last backup.
  private func checkChanges(_ packet: bareos_save_packet) -> Int32 {
    if let accurate = options.accurate {
      let path = packet.statp.st_mode & S_IFMT == S_IFDIR ? packet.link : packet.fname
      guard let known = accurate[bytes(path)] else { return Int32(FD_OK) }
      let same = known.mtime == packet.statp.st_mtim.tv_sec && known.size == Int(packet.statp.st_size)
      return Int32(same ? FD_SEEN : FD_OK)
    }
    let unchanged =
      packet.save_time > 0 && packet.statp.st_mtim.tv_sec < packet.save_time
      && packet.statp.st_ctim.tv_sec < packet.save_time
    return Int32(unchanged ? FD_SEEN : FD_OK)
  }
}

/// The bytes of a C string; none for a null pointer.
func bytes(_ string: UnsafePointer<CChar>?) -> [UInt8] {
  guard let string else { return [] }
  return Array(UnsafeRawBufferPointer(start: string, count: strlen(string)))
}
