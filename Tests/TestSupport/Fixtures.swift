import Foundation

/// Inputs of tests, from the folder `fixtures`.
public enum Fixtures {
  /// The package's folder.
  public static let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  /// The rows of a table: columns are separated by `|`; comments and empty lines are left out.
  public static func rows(_ name: String) throws -> [[String]] {
    try String(contentsOf: package.appendingPathComponent("fixtures/\(name)"), encoding: .utf8)
      .split(separator: "\n").filter { !$0.hasPrefix("#") }
      .map { line in
        line.split(separator: "|", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
      }
  }

  /// Output of the command `gluster`.
  public static func gluster(_ name: String) throws -> String {
    try String(contentsOf: package.appendingPathComponent("fixtures/gluster/\(name)"), encoding: .utf8)
  }
}
