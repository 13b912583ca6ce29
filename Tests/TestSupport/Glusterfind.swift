import Foundation

/// The wrapper around glusterfind, and what its tests need of a volume whose changes are logged.
public enum Glusterfind {
  public static let wrapper = Scratch.built("bareos-glusterfind-wrapper")

  /// Runs the wrapper. Its history is short, and libgfchangelog may wait for ever: it is asked again soon.
  public static func wrap(_ arguments: [String], environment: [String: String] = [:]) throws -> CommandResult {
    try run(wrapper, ["--timeout", "60"] + arguments, environment: environment)
  }

  public static func wrap(_ arguments: String..., environment: [String: String] = [:]) throws -> CommandResult {
    try wrap(arguments, environment: environment)
  }

  /// Waits until all changes made so far are in changelogs that are closed, on every brick: glusterfind reads no open one.
  public static func waitForChangelogs(_ volume: String) throws -> Bool {
    // A directory is made on every brick.
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
