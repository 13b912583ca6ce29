import Encodings

/// The findings of a check, each with advice.
package struct Findings {
  package enum Verdict: String {
    case well, warning, problem
  }

  package struct Finding {
    /// The subject of the check, such as `server`.
    package let subject: String
    package let verdict: Verdict
    package let text: String
    /// What to do about the finding; nil if the verdict is `well`.
    package let cure: String?
  }

  package private(set) var all: [Finding] = []

  package init() {}

  package mutating func add(_ subject: String, _ text: String) {
    all.append(Finding(subject: subject, verdict: .well, text: text, cure: nil))
  }

  package mutating func add(_ verdict: Verdict, _ subject: String, _ text: String, cure: String) {
    all.append(Finding(subject: subject, verdict: verdict, text: text, cure: cure))
  }

  package func count(_ verdict: Verdict) -> Int { all.count { $0.verdict == verdict } }

  /// The findings as text: a line for each finding, its cure below it, and a last line that sums up.
  ///
  /// - Parameter isColoured: for a terminal, print problems in red and warnings in yellow.
  package func text(isColoured: Bool) -> String {
    let width = 13
    func shown(_ verdict: Verdict) -> String {
      guard verdict != .well else { return "" }
      return isColoured ? "\u{1b}[\(verdict == .problem ? 31 : 33)m\(verdict.rawValue)\u{1b}[0m: " : "\(verdict.rawValue): "
    }
    func padded(_ name: String) -> String { name + String(repeating: " ", count: max(width - name.utf8.count, 1)) }
    let lines = all.flatMap { finding in
      ["\(padded(finding.subject + ":"))\(shown(finding.verdict))\(finding.text)"]
        + (finding.cure.map { [padded("") + "cure: " + $0] } ?? [])
    }
    let (problems, warnings) = (count(.problem), count(.warning))
    let sum = problems + warnings == 0 ? "all is well" : "problems: \(problems), warnings: \(warnings)"
    return (lines + [sum]).map { $0 + "\n" }.joined()
  }

  /// The findings as one JSON object: `{"problems": 0, "warnings": 0, "findings": [{"subject": …, "verdict": …, "text": …, "cure": …}]}`.
  package var json: String {
    let findings = all.map { finding -> JSON in
      [
        "subject": .string(finding.subject), "verdict": .string(finding.verdict.rawValue), "text": .string(finding.text),
        "cure": finding.cure.map { .string($0) } ?? nil,
      ]
    }
    let object: JSON = ["problems": .integer(count(.problem)), "warnings": .integer(count(.warning)), "findings": .array(findings)]
    return "\(object)\n"
  }
}
