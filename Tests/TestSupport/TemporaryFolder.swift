import Foundation

/// A new folder of this host, which is removed with this object.
public final class TemporaryFolder: Sendable {
  /// Absolute, without a slash at its end.
  public let path: String

  public init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString).path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file into the folder and returns its path.
  @discardableResult
  public func write(_ content: some Sequence<UInt8>, to name: String = "file") throws -> String {
    try Data(content).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
    return "\(path)/\(name)"
  }

  /// Writes lines into a file of the folder, each with a newline, and returns its path.
  @discardableResult
  public func write(lines: [String], to name: String = "file") throws -> String {
    try write(lines.map { $0 + "\n" }.joined().utf8, to: name)
  }
}
