import Gluster

/// The directories of a restore that are in use: the parents of the current entry, and directories with unfinished work. Used by the
/// job's thread only.
final class RestoreTree {
  /// A directory. Its own record is applied after all work in it that was added before. Work that is added later does not wait for the
  /// record.
  final class Node: WriteBehind.Group {
    let directory: TargetDirectory
    /// By their names.
    fileprivate var children: [ArraySlice<UInt8>: Node] = [:]
    /// True if the current entry is not below this directory.
    fileprivate var isLeft = false
    /// True if work was done in the directory after its own record was applied.
    private var isDisturbed = false
    private let onFailure: (VolumePath, any Error) -> Void

    fileprivate init(_ directory: TargetDirectory, in parent: Node?, onFailure: @escaping (VolumePath, any Error) -> Void) {
      self.directory = directory
      self.onFailure = onFailure
      super.init(in: parent)
    }

    override func begins() { isDisturbed = true }

    override func next() -> WriteBehind.Work? {
      if let record = super.next() {
        isDisturbed = false
        return record
      }
      guard isLeft else { return nil }
      if isDisturbed {
        isDisturbed = false
        let directory = directory
        return WriteBehind.Work(
          cost: 0,
          body: {
            try directory.settle()
            return []
          },
          deliver: { [onFailure] result in
            if case .failure(let error) = result { onFailure(directory.path, error) }
          })
      }
      if let parent = parent as? Node { parent.children[directory.path.name] = nil }
      return nil
    }
  }

  private let queue: WriteBehind
  /// The directories above the current entry, the root first.
  private var open: [Node]
  private let onFailure: (VolumePath, any Error) -> Void

  /// - Parameter onFailure: called with the path of a directory whose times could not be set again, and the error.
  init(_ queue: WriteBehind, root: TargetDirectory, onFailure: @escaping (VolumePath, any Error) -> Void) {
    self.queue = queue
    self.onFailure = onFailure
    open = [Node(root, in: nil, onFailure: onFailure)]
  }

  deinit {
    // After a restore that ended early, nodes refer to each other. Without this, the cycle would keep the connection open.
    var nodes = open
    while let node = nodes.popLast() {
      nodes += node.children.values
      node.children = [:]
    }
  }

  /// Makes the directory at `path` the current one.
  ///
  /// - Parameter isBusy: returns true if work on the entry at a path is not done yet. The restore waits for that work before it looks for a
  ///   directory at this path.
  /// - Throws: ``JobCalls/Ended``.
  func enter(_ path: VolumePath, isBusy: (VolumePath) -> Bool) throws -> Node {
    let shared = open.prefix { $0.directory.path.contains(path) }.count
    leave(from: shared)
    for name in path.components.dropFirst(shared - 1) {
      let parent = open[open.count - 1]
      if parent.children[name] == nil {
        let directory = parent.directory.directory(Array(name))
        if isBusy(directory.path) { try queue.drain() }
        parent.children[directory.path.name] = Node(directory, in: parent, onFailure: onFailure)
      }
      let node = parent.children[name]!
      node.isLeft = false
      open.append(node)
    }
    return open[open.count - 1]
  }

  /// The directory at `path`; nil if it is not in use.
  func find(_ path: VolumePath) -> TargetDirectory? {
    var node = open[0]
    for name in path.components {
      guard let next = node.children[name] else { return nil }
      node = next
    }
    return node.directory
  }

  /// Waits for all work in all directories.
  ///
  /// - Throws: ``JobCalls/Ended``.
  func finish() throws {
    leave(from: 0)
    try queue.drain()
  }

  private func leave(from depth: Int) {
    for node in open[depth...].reversed() {
      node.isLeft = true
      queue.visit(node)
    }
    open.removeSubrange(max(depth, 1)...)
  }
}
