extension Volume {
  /// Where libgfapi logs, and how much.
  public struct Logging: Equatable, Sendable {
    /// File to append to; nil: no log.
    public var file: String?
    /// 0 (none) to 9 (trace), Gluster's own numbers: 3 critical, 4 errors, 5 warnings, 7 information, 8 debug.
    public var level: Int32

    public init(file: String? = nil, level: Int32 = 4) {
      self.file = file
      self.level = level
    }

    /// The level as an option of the client, which has fewer levels.
    var clientLevel: String {
      switch level {
      case ...0: "NONE"
      case ...3: "CRITICAL"
      case 6: "INFO"
      default: Self.levels[Int(min(level, 9))].uppercased()
      }
    }

    /// Names of Gluster's log levels, by number.
    private static let levels = [
      "none", "emergency", "alert", "critical", "error", "warning", "notice", "info", "debug", "trace",
    ]

    /// The message for a level that does not exist.
    public static let noLevel = "not a level: 0 to 9, or \(levels.joined(separator: ", "))"

    /// The number of a log level; nil if there is no such level.
    ///
    /// - Parameter text: number or name of the level, in upper or lower case.
    public static func level(_ text: String) -> Int32? {
      if let number = Int32(text) { return levels.indices.contains(Int(number)) ? number : nil }
      return levels.firstIndex(of: text.lowercased()).map(Int32.init)
    }
  }
}
