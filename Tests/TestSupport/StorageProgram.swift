import Foundation

/// The program that the storage daemon runs, called in the same way as by the daemon.
public struct StorageProgram {
  public static let path = Scratch.built("bareos-gluster-storage")

  /// The result of an operation.
  public struct Result {
    public let status: Int32
    /// Standard output.
    public let output: Data
    /// Standard error.
    public let errors: String

    public var text: String { String(decoding: output, as: UTF8.self) }
  }

  /// An operation that is running.
  public final class Running {
    public let process = Process()
    /// The standard input of the operation, unless a file was given.
    public let input = Pipe()
    private let output: String
    private let errors: String

    fileprivate init(_ program: StorageProgram, _ arguments: [String], inputFile: String?) throws {
      // If the operation ends while data is sent to it, the write must fail rather than kill this process.
      signal(SIGPIPE, SIG_IGN)
      (output, errors) = (try Scratch.temporaryFile(".out"), try Scratch.temporaryFile(".err"))
      process.executableURL = URL(fileURLWithPath: StorageProgram.path)
      process.arguments = arguments
      // Pass nothing else from the environment, except the options of sanitizers.
      let sanitizers = ProcessInfo.processInfo.environment.filter { $0.key.hasSuffix("SAN_OPTIONS") }
      process.environment = program.environment.merging(sanitizers) { given, _ in given }
      process.standardInput = try inputFile.map { try FileHandle(forReadingFrom: URL(fileURLWithPath: $0)) as Any } ?? input
      process.standardOutput = try Self.file(output)
      process.standardError = try Self.file(errors)
      try process.run()
    }

    private static func file(_ path: String) throws -> FileHandle {
      _ = FileManager.default.createFile(atPath: path, contents: nil)
      return try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    }

    /// Waits for the end of the operation.
    public func result() throws -> Result {
      process.waitUntilExit()
      defer { for path in [output, errors] { try? FileManager.default.removeItem(atPath: path) } }
      return Result(
        status: process.terminationStatus, output: try Data(contentsOf: URL(fileURLWithPath: output)),
        errors: Self.withoutSanitizer(try String(contentsOfFile: errors, encoding: .utf8)))
    }

    /// Removes a warning that the address sanitizer prints in every process in which libgfapi switches stacks.
    public static func withoutSanitizer(_ errors: String) -> String {
      guard Soak.isSanitized else { return errors }
      return errors.replacing(/==\d+==WARNING: ASan doesn't fully support [^\n]*\n/, with: "")
    }
  }

  /// The options of the device.
  public var environment: [String: String]

  /// - Parameters:
  ///   - kind: the kind of volume.
  ///   - path: the path of the base directory.
  public init(_ kind: String, _ path: String, timeout: Int = 20) {
    // Creates the volume if necessary.
    _ = Scratch.line(kind)
    environment = ["uri": "gluster://scratch/\(kind)\(path)", "timeout": "\(timeout)"]
  }

  public init(environment: [String: String]) { self.environment = environment }

  /// Starts an operation. Without a file, its standard input is a pipe.
  public func start(_ arguments: String..., inputFile: String? = nil) throws -> Running {
    try Running(self, arguments, inputFile: inputFile)
  }

  /// Runs an operation to its end.
  public func run(_ arguments: String..., input: Data = Data()) throws -> Result { try run(arguments, input: input) }

  public func run(_ arguments: [String], input: Data = Data()) throws -> Result {
    let file = try Scratch.temporaryFile(".in")
    try input.write(to: URL(fileURLWithPath: file))
    defer { try? FileManager.default.removeItem(atPath: file) }
    return try Running(self, arguments, inputFile: file).result()
  }
}
