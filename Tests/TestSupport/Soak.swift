import Foundation

/// The long runs of `make soak`: the same tests, more of each.
public enum Soak {
  public static let isOn = ProcessInfo.processInfo.environment["GFAPI_FD_SOAK"] != nil

  /// A sanitizer's build (SANITIZE= of make), which needs memory of its own.
  public static let isSanitized = ProcessInfo.processInfo.environment["GFAPI_FD_SANITIZE"] != nil

  /// How often something is done: so often in every run of the tests, or so often in a long one.
  public static func rounds(_ short: Int, _ long: Int) -> Int { isOn ? long : short }
}
