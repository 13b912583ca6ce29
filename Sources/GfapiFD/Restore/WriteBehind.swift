import DequeModule
import GfapiJob

/// Runs the work of a restore in the background, while the daemon goes on.
///
/// Work runs in parallel, except that some work waits for other work. A budget limits the memory of unfinished work. Used by the job's
/// thread only.
final class WriteBehind {
  /// An operation on the volume. Its only result is what went wrong.
  struct Work {
    /// The memory that the work needs, in bytes.
    var cost: Int
    /// The operation, for one of the volume's threads. Returns a message for each thing that the volume refused.
    let body: @Sendable () throws -> [JobMessage]
    /// Called with the result, on the job's thread.
    let deliver: (Result<[JobMessage], any Error>) -> Void
  }

  /// Work that must end before certain other work can begin, such as the work in a directory or the pieces of a file.
  ///
  /// As long as a group has unfinished work, it counts as unfinished work of its parent.
  class Group {
    let parent: Group?
    /// The number of unfinished works of the group. A child group with unfinished work counts as one.
    fileprivate var count = 0
    /// The work that starts when all other work of the group has ended.
    fileprivate(set) var last: Work?

    init(in parent: Group?) { self.parent = parent }

    /// Called when work of the group begins.
    func begins() {}

    /// Returns the work to start now that all other work of the group has ended; nil: there is none.
    func next() -> Work? {
      defer { last = nil }
      return last
    }

    fileprivate func begin() {
      begins()
      count += 1
      if count == 1 { parent?.begin() }
    }
  }

  private let calls: JobCalls
  private let budget: Int
  private var running = Deque<(result: Ahead<[JobMessage]>, work: Work, group: Group)>()
  /// The memory of all work that is running or waits for other work, in bytes.
  private var cost = 0

  /// The maximum number of works that have begun and not ended.
  private static let mostRunning = 1024

  init(_ calls: JobCalls) {
    self.calls = calls
    budget = calls.volume.definition.readsAhead ? calls.volume.definition.readAhead : 0
  }

  deinit {
    // Work that will not run any more keeps its entry alive, and the entry keeps the group alive: clear `last` to break this cycle. Each
    // group with such work has running work as well, so this loop finds all of them.
    for (_, _, group) in running {
      for group in sequence(first: group, next: \.parent) { group.last = nil }
    }
  }

  /// Starts `work`. Waits for earlier work if the budget is used up.
  ///
  /// - Parameter most: the maximum number of unfinished works in the group.
  /// - Throws: ``JobCalls/Ended``.
  func start(_ work: Work, in group: Group, atMost most: Int = mostRunning) throws {
    while group.count >= most { try endFirst() }
    group.begin()
    cost += work.cost
    launch(work, in: group)
    try settle()
  }

  /// Starts `work` when all other work in `group` has ended, including work that begins until then. A group can have only one such work
  /// at a time.
  ///
  /// - Throws: ``JobCalls/Ended``.
  func finish(_ group: Group, with work: Work) throws {
    cost += work.cost
    group.last = work
    visit(group)
    try settle()
  }

  /// Starts the next work of a group if the group has no unfinished work.
  func visit(_ group: Group) {
    guard group.count == 0, let next = group.next() else { return }
    // Set `count` directly: `begin()` would mark the directory as changed again, and this is its closing step.
    group.count = 1
    group.parent?.begin()
    launch(next, in: group)
  }

  /// Waits for all work.
  ///
  /// - Throws: ``JobCalls/Ended``.
  func drain() throws { while !running.isEmpty { try endFirst() } }

  /// Takes the results that have arrived. Waits for more results if the budget is used up.
  private func settle() throws {
    while let first = running.first {
      guard calls.isDone(first.result) || running.count > Self.mostRunning || cost > budget else { return }
      try endFirst()
    }
  }

  private func launch(_ work: Work, in group: Group) {
    let body = work.body
    running.append((calls.start { try body() }, work, group))
  }

  private func endFirst() throws {
    guard let first = running.first else { return }
    let result: Result<[JobMessage], any Error>
    do { result = .success(try calls.wait(for: first.result)) } catch let ended as JobCalls.Ended { throw ended } catch {
      result = .failure(error)
    }
    running.removeFirst()
    cost -= first.work.cost
    first.work.deliver(result)
    end(in: first.group)
  }

  private func end(in group: Group) {
    group.count -= 1
    guard group.count == 0 else { return }
    if let next = group.next() {
      group.count = 1
      launch(next, in: group)
    } else if let parent = group.parent {
      end(in: parent)
    }
  }
}
