import Foundation
import Testing

/// The two forms of the tests: the short one of `make test`, and the long one of `make soak`, which has every case.
public enum Soak {
  public static let isOn = ProcessInfo.processInfo.environment["GFAPI_FD_SOAK"] != nil

  /// A sanitizer's build (SANITIZE= of make), which needs memory of its own.
  public static let isSanitized = ProcessInfo.processInfo.environment["GFAPI_FD_SANITIZE"] != nil

  /// How often something is done: so often in every run of the tests, or so often in a long one.
  public static func rounds(_ short: Int, _ long: Int) -> Int { isOn ? long : short }

  /// The cases of a test: a few of them in every run of the tests, all of them in a long one.
  public static func cases<Case>(_ few: [Case], of all: [Case]) -> [Case] { isOn ? all : few }

  /// Every pair of two kinds of cases.
  public static func pairs<First, Second>(_ first: [First], _ second: [Second]) -> [(First, Second)] {
    first.flatMap { first in second.map { (first, $0) } }
  }
}

extension Trait where Self == ConditionTrait {
  /// A test of `make soak` alone.
  public static var soak: Self { .enabled(if: Soak.isOn, "in make soak") }
}
