import Foundation

/// Runs the wrapper around glusterfind, and prepares volumes whose changes are logged.
public enum Glusterfind {
  public static let wrapper = Scratch.built("bareos-glusterfind-wrapper")

  /// Runs the wrapper with a short timeout: libgfchangelog may wait for ever, and the wrapper then asks again soon. The changelogs of
  /// these tests are short.
  public static func wrap(_ arguments: [String], environment: [String: String] = [:]) throws -> CommandResult {
    try run(wrapper, ["--timeout", "60"] + arguments, environment: environment)
  }

  public static func wrap(_ arguments: String..., environment: [String: String] = [:]) throws -> CommandResult {
    try wrap(arguments, environment: environment)
  }

  /// Waits until all changes made so far are in closed changelogs of every brick. glusterfind does not read open changelogs.
  public static func waitForChangelogs(_ volume: String) throws -> Bool {
    // A directory is created on every brick, so the changelog of each gets an entry with its name.
    let mark = "mark-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: try Scratch.mount(volume) + "/" + mark, withIntermediateDirectories: false)
    try FileManager.default.removeItem(atPath: try Scratch.mount(volume) + "/" + mark)
    let bricks = try Scratch.bricks(of: volume)
    return try eventually {
      try bricks.allSatisfy { brick in
        try run(
          "sh", "-c", "find '\(brick)/.glusterfs/changelogs' -name 'CHANGELOG.[0-9]*' -newermt '-1 hour' -exec grep -qs '\(mark)' {} + "
        ).status == 0
      }
    }
  }
}
