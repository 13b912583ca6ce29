import Foundation

/// A new folder on this host. It is removed when this object is released.
public final class TemporaryFolder: Sendable {
  /// The absolute path, without a slash at the end.
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

  /// Writes lines into a file of the folder, each followed by a newline, and returns its path.
  @discardableResult
  public func write(lines: [String], to name: String = "file") throws -> String {
    try write(lines.map { $0 + "\n" }.joined().utf8, to: name)
  }
}
