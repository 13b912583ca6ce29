import Foundation
import Testing

/// The two extents of the tests: the short one of `make test`, and the long one of `make soak`, which runs every case.
public enum Soak {
  public static let isOn = ProcessInfo.processInfo.environment["GFAPI_FD_SOAK"] != nil

  /// True in a build with a sanitizer (SANITIZE= of make), which needs additional memory.
  public static let isSanitized = ProcessInfo.processInfo.environment["GFAPI_FD_SANITIZE"] != nil

  /// The number of repetitions: `short` in every run of the tests, `long` in `make soak`.
  public static func rounds(_ short: Int, _ long: Int) -> Int { isOn ? long : short }

  /// The cases of a test: `few` in every run of the tests, `all` in `make soak`.
  public static func cases<Case>(_ few: [Case], of all: [Case]) -> [Case] { isOn ? all : few }

  /// Every pair of an element of the first array and one of the second.
  public static func pairs<First, Second>(_ first: [First], _ second: [Second]) -> [(First, Second)] {
    first.flatMap { first in second.map { (first, $0) } }
  }
}

extension Trait where Self == ConditionTrait {
  /// The test runs only in `make soak`.
  public static var soak: Self { .enabled(if: Soak.isOn, "in make soak") }
}
