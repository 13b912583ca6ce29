import DequeModule

/// Has the work of a restore done behind the daemon's back: side by side, but what has to come after other work comes after it.
/// Bounded by a budget. Lives on the job's thread.
final class WriteBehind {
  /// Something to be done on the volume. It has no result but what went wrong.
  struct Work {
    /// What it holds in memory, in bytes.
    var cost: Int
    /// Done on one of the volume's threads. Returns what the volume refused, in words.
    let body: @Sendable () throws -> [String]
    /// Told on the job's thread what came of it.
    let deliver: (Result<[String], any Error>) -> Void
  }

  /// Work that something has to come after: what is in a directory, the pieces of a file. As long as there is any in a group,
  /// there is some in its parent.
  class Group {
    let parent: Group?
    /// How much has begun in it and in the groups that it is the parent of, and has not ended.
    fileprivate var count = 0
    /// What comes after the rest.
    fileprivate(set) var last: Work?

    init(in parent: Group?) { self.parent = parent }

    /// Told that work begins in it.
    func begins() {}

    /// What is to be done now that all work in it has ended.
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
  private var running = Deque<(result: Ahead<[String]>, work: Work, group: Group)>()
  /// Of what is running, or waits for other work, in bytes.
  private var cost = 0

  /// The most that is begun and has not ended.
  private static let mostRunning = 1024

  init(_ calls: JobCalls) {
    self.calls = calls
    budget = calls.volume.definition.readsAhead ? calls.volume.definition.readAhead : 0
  }

  deinit {
    // What will not be done any more holds its entry, and that its group. There is something running in each such group.
    for (_, _, group) in running {
      for group in sequence(first: group, next: \.parent) { group.last = nil }
    }
  }

  /// Has `work` done. Waits for earlier work if there is no room.
  ///
  /// - Parameter most: how much may be under way in the group.
  /// - Throws: ``JobCalls/Ended``.
  func start(_ work: Work, in group: Group, atMost most: Int = mostRunning) throws {
    while group.count >= most { try endFirst() }
    group.begin()
    cost += work.cost
    launch(work, in: group)
    try settle()
  }

  /// Has `work` done when all work in `group` that has begun, and will until then, has ended. One at a time for a group.
  ///
  /// - Throws: ``JobCalls/Ended``.
  func finish(_ group: Group, with work: Work) throws {
    cost += work.cost
    group.last = work
    visit(group)
    try settle()
  }

  /// Begins what a group has to do next, if no work is in it.
  func visit(_ group: Group) {
    guard group.count == 0, let next = group.next() else { return }
    // Not by way of `begins`: this is no work that something comes after.
    group.count = 1
    group.parent?.begin()
    launch(next, in: group)
  }

  /// Waits for all work.
  ///
  /// - Throws: ``JobCalls/Ended``.
  func drain() throws { while !running.isEmpty { try endFirst() } }

  /// Takes the results that are there; waits for more if there is no room.
  private func settle() throws {
    while let first = running.first {
      guard calls.isDone(first.result) || running.count > Self.mostRunning || cost > budget else { return }
      try endFirst()
    }
  }

  private func launch(_ work: Work, in group: Group) {
    let body = work.body
    running.append((calls.start { _ in try body() }, work, group))
  }

  private func endFirst() throws {
    guard let first = running.first else { return }
    let result: Result<[String], any Error>
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
