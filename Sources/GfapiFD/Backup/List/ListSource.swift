import GfapiJob
import Gluster

/// Returns the entries that a list of changes or of paths names: those that ``ListWalk`` finds, and the content of directories that are to be crawled.
final class ListSource: EntrySource {
  private let listed: ListedPaths
  /// The summary, from the number of listed names that do not exist any more.
  private let words: (_ vanished: Int) -> String
  /// The number of listed names that do not exist any more.
  private var vanished = 0
  private let calls: JobCalls
  private let rules: DirectoryReader.Rules
  private let walk: ListWalk
  /// The steps that the walk finds next.
  private var upcoming: Ahead<[ListWalk.Step]?>?
  /// The steps that the walk has found, the next one last.
  private var steps: [ListWalk.Step] = []
  private var crawl: Crawler?

  init(
    _ calls: JobCalls, _ walk: ListWalk, _ rules: DirectoryReader.Rules, _ listed: ListedPaths,
    summary: @escaping (_ vanished: Int) -> String
  ) {
    (self.listed, words) = (listed, summary)
    self.calls = calls
    self.walk = walk
    self.rules = rules
    upcoming = calls.start { try walk.nextSteps() }
  }

  let reachesPastDirectories = true

  var unseen: (any UnseenEntries)? { listed }

  var summary: String { words(vanished) }

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
        case .yield(let step):
          if case .vanished = step { vanished += 1 }
          return step
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
