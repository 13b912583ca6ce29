import Gluster
import GfapiJob

/// Returns the entries that a list of changes names: those that ``ListWalk`` finds, and the content of directories that are to be crawled.
final class ListSource: EntrySource {
  private let calls: JobCalls
  private let rules: DirectoryReader.Rules
  private let walk: ListWalk
  /// The steps that the walk finds next.
  private var upcoming: Ahead<[ListWalk.Step]?>?
  /// The steps that the walk has found, the next one last.
  private var steps: [ListWalk.Step] = []
  private var crawl: Crawler?

  init(_ calls: JobCalls, _ walk: ListWalk, _ rules: DirectoryReader.Rules) {
    self.calls = calls
    self.walk = walk
    self.rules = rules
    upcoming = calls.start { try walk.nextSteps() }
  }

  var isReady: Bool {
    if let crawl { return crawl.isReady }
    guard steps.isEmpty, let upcoming else { return true }
    return calls.isDone(upcoming)
  }

  func next(_ filter: any EntryFilter) throws -> SourceStep {
    while true {
      if let crawl {
        let step = try crawl.next(filter)
        if case .end = step { self.crawl = nil } else { return step }
      } else if let step = steps.popLast() {
        switch step {
        case .crawl(let entry): crawl = Crawler(calls, base: entry, rules)
        case .yield(.entry(let entry)) where !filter.takes(entry): continue
        case .yield(.directoryAlone(let entry)) where !filter.takes(entry): continue
        case .yield(let step): return step
        }
      } else {
        guard let upcoming, let found = try calls.wait(for: upcoming) else {
          upcoming = nil
          return .end
        }
        steps = found.reversed()
        self.upcoming = calls.start { [walk] in try walk.nextSteps() }
      }
    }
  }
}
