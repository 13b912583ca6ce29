import Foundation

/// The long runs of `make soak`: the same tests, more of each.
public enum Soak {
  public static let isOn = ProcessInfo.processInfo.environment["GFAPI_FD_SOAK"] != nil

  /// How often something is done: so often in every run of the tests, or so often in a long one.
  public static func rounds(_ short: Int, _ long: Int) -> Int { isOn ? long : short }
}
