import GfapiJob
import Gluster

/// Backs up every entry of the base directory.
package struct CrawlKind: SourceKind {
  package init() {}

  package func prepare(_ tree: SourceTree) -> any PreparedSource { Prepared(tree: tree) }

  struct Prepared: PreparedSource {
    let tree: SourceTree
    var words: String { "by crawl" + (tree.compared.isEmpty ? "" : " (\(tree.compared.joined(separator: ", ")))") }
    func begin(_ job: SourceJob) -> any EntrySource { Crawler(job.calls, base: tree.base, tree.rules) }
  }
}

/// Crawls a tree on a volume, one entry at a time, with a stack of its own. Its memory grows with the depth of the tree, not with the
/// width. A directory is returned after its content.
///
/// While the entries of one page are returned, the next page is fetched and the next directories are opened.
package final class Crawler: EntrySource {
  /// How many subdirectories of one directory are opened ahead, and how many in total.
  private static let opensAhead = 8
  private static let opensAheadInAll = 32

  private final class Level {
    let listing: Listing
    /// The entries of the current page that the filter takes, the next one last.
    var items: [Item] = []
    init(_ listing: Listing) { self.listing = listing }
  }

  private final class Listing {
    let reader: DirectoryReader
    /// The next page; nil after the last.
    var page: Ahead<DirectoryReader.Page>?

    init(_ reader: DirectoryReader, _ calls: JobCalls, isUrgent: Bool) {
      self.reader = reader
      page = calls.start(isUrgent: isUrgent) { reader.nextPage() }
    }
  }

  private enum Item {
    case entry(SourceEntry)
    case directory(SourceEntry, Listing?)
    case failed(SourceFailure)
  }

  private let calls: JobCalls
  private let rules: DirectoryReader.Rules
  private let readsAhead: Bool
  private var base: SourceEntry?
  private var stack: [Level] = []
  /// How many directories have been opened ahead and not entered yet.
  private var openedAhead = 0

  /// - Parameter base: the entry at which the crawl begins. It is returned like any other entry.
  init(_ calls: JobCalls, base: SourceEntry, _ rules: DirectoryReader.Rules) {
    self.calls = calls
    self.base = base
    self.rules = rules
    readsAhead = calls.volume.definition.readsAhead
  }

  /// A crawl returns every entry that exists.
  package let unseen: (any UnseenEntries)? = nil

  package var isReady: Bool {
    guard let level = stack.last, level.items.isEmpty, let page = level.listing.page else { return true }
    return calls.isDone(page)
  }

  package func next(_ filter: any EntryFilter) throws -> SourceStep {
    if let base {
      self.base = nil
      if filter.takes(base) {
        guard base.status.isDirectory else { return .entry(base) }
        if !filter.enters(base) { return .directoryAlone(base) }
        stack.append(Level(listing(of: base, isUrgent: true)))
      }
    }
    while let level = stack.last {
      if let item = level.items.popLast() {
        switch item {
        case .entry(let entry): return .entry(entry)
        case .failed(let failure): return .failed(failure)
        case .directory(let entry, let listing):
          guard filter.enters(entry) else { return .directoryAlone(entry) }
          if listing != nil { openedAhead -= 1 }
          stack.append(Level(listing ?? self.listing(of: entry, isUrgent: true)))
          openAhead(level, filter)
        }
      } else if let page = level.listing.page {
        try take(try calls.wait(for: page), level, filter)
      } else {
        stack.removeLast()
        return .directory(level.listing.reader.entry)
      }
    }
    return .end
  }

  private func listing(of entry: SourceEntry, isUrgent: Bool) -> Listing {
    Listing(DirectoryReader(entry, rules), calls, isUrgent: isUrgent)
  }

  private func take(_ page: DirectoryReader.Page, _ level: Level, _ filter: any EntryFilter) throws {
    let reader = level.listing.reader
    level.listing.page = page.isLast ? nil : calls.start(isUrgent: true) { reader.nextPage() }
    // Start the last one first: of the urgent calls, the one that is started last is made first.
    let found: [() throws -> DirectoryReader.Item] = page.items.reversed().map { listed in
      switch listed {
      case .item(let item): return { item }
      case .name(let name, let state):
        let examined = calls.start(isUrgent: true) { reader.examine(name, state) }
        return { [calls] in try calls.wait(for: examined) }
      }
    }
    let items: [Item] = try found.reversed().compactMap { item in
      switch try item() {
      case .failed(let failure): .failed(failure)
      case .entry(let entry): !filter.takes(entry) ? nil : entry.status.isDirectory ? .directory(entry, nil) : .entry(entry)
      }
    }
    level.items = items.reversed()
    openAhead(level, filter)
  }

  /// Opens the next directories of a level ahead.
  private func openAhead(_ level: Level, _ filter: any EntryFilter) {
    guard readsAhead else { return }
    // The levels above have opened directories ahead. They must not use up the limit, so a deep level may still open two.
    let limit = openedAhead < Self.opensAheadInAll ? Self.opensAhead : 2
    var count = 0
    for index in level.items.indices.reversed() where count < limit {
      guard case .directory(let entry, let opened) = level.items[index] else { continue }
      count += 1
      if opened == nil, filter.enters(entry) {
        level.items[index] = .directory(entry, listing(of: entry, isUrgent: false))
        openedAhead += 1
      }
    }
  }
}
