import Foundation

/// The program that the storage daemon runs, called as the daemon calls it.
public struct StorageProgram {
  public static let path = Scratch.built("bareos-gluster-storage")

  /// What an operation gave.
  public struct Result {
    public let status: Int32
    /// Standard output.
    public let output: Data
    /// Standard error.
    public let errors: String

    public var text: String { String(decoding: output, as: UTF8.self) }
  }

  /// An operation under way.
  public final class Running {
    public let process = Process()
    /// Takes its standard input, if that is a pipe.
    public let input = Pipe()
    private let output: String
    private let errors: String

    fileprivate init(_ program: StorageProgram, _ arguments: [String], inputFile: String?) throws {
      // One that ends while it is sent data is an error of the writing.
      signal(SIGPIPE, SIG_IGN)
      (output, errors) = (try Scratch.temporaryFile(".out"), try Scratch.temporaryFile(".err"))
      process.executableURL = URL(fileURLWithPath: StorageProgram.path)
      process.arguments = arguments
      // Nothing else of the environment but what a sanitizer is told.
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

    /// Waits for its end.
    public func result() throws -> Result {
      process.waitUntilExit()
      defer { for path in [output, errors] { try? FileManager.default.removeItem(atPath: path) } }
      return Result(
        status: process.terminationStatus, output: try Data(contentsOf: URL(fileURLWithPath: output)),
        errors: Self.withoutSanitizer(try String(contentsOfFile: errors, encoding: .utf8)))
    }

    /// The address sanitizer tells every process in which libgfapi switches stacks that it may do so.
    public static func withoutSanitizer(_ errors: String) -> String {
      guard Soak.isSanitized else { return errors }
      return errors.replacing(/==\d+==WARNING: ASan doesn't fully support [^\n]*\n/, with: "")
    }
  }

  /// The device's options.
  public var environment: [String: String]

  /// - Parameters:
  ///   - kind: of the volume.
  ///   - path: of the base directory.
  public init(_ kind: String, _ path: String, timeout: Int = 20) {
    // Makes the volume, if it has to.
    _ = Scratch.line(kind)
    environment = ["uri": "gluster://scratch/\(kind)\(path)", "timeout": "\(timeout)"]
  }

  public init(environment: [String: String]) { self.environment = environment }

  /// Starts an operation. Without a file its input is a pipe.
  public func start(_ arguments: String..., inputFile: String? = nil) throws -> Running {
    try Running(self, arguments, inputFile: inputFile)
  }

  /// Runs an operation.
  public func run(_ arguments: String..., input: Data = Data()) throws -> Result { try run(arguments, input: input) }

  public func run(_ arguments: [String], input: Data = Data()) throws -> Result {
    let file = try Scratch.temporaryFile(".in")
    try input.write(to: URL(fileURLWithPath: file))
    defer { try? FileManager.default.removeItem(atPath: file) }
    return try Running(self, arguments, inputFile: file).result()
  }
}
