/// The directories that a restore is at work in: those on the way to the entry in hand, and those in which something is not
/// done yet. Lives on the job's thread.
final class RestoreTree {
  /// A directory. Its own record comes after all that is done in it; what comes after that waits for nothing.
  final class Place: WriteBehind.Group {
    let directory: TargetDirectory
    fileprivate var places: [[UInt8]: Place] = [:]
    /// The entry in hand is elsewhere.
    fileprivate var isLeft = false
    /// Something has been done in it since its own record.
    private var isDisturbed = false
    private let onFailure: ([UInt8], any Error) -> Void

    fileprivate init(_ directory: TargetDirectory, in parent: Place?, onFailure: @escaping ([UInt8], any Error) -> Void) {
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
            if case .failure(let error) = result { onFailure(absolute(directory.path), error) }
          })
      }
      if let parent = parent as? Place, let name = directory.path.last { parent.places[name] = nil }
      return nil
    }
  }

  private let queue: WriteBehind
  /// The way to the entry in hand, the root first.
  private var way: [Place]
  private let onFailure: ([UInt8], any Error) -> Void

  /// - Parameter onFailure: told of a directory that did not get its times back.
  init(_ queue: WriteBehind, root: TargetDirectory, onFailure: @escaping ([UInt8], any Error) -> Void) {
    self.queue = queue
    self.onFailure = onFailure
    way = [Place(root, in: nil, onFailure: onFailure)]
  }

  deinit {
    // A restore that could not go on leaves directories that hold each other, and with them the connection.
    var places = way
    while let place = places.popLast() {
      places += place.places.values
      place.places = [:]
    }
  }

  /// Goes to the directory at `path`.
  ///
  /// - Parameters:
  ///   - path: components.
  ///   - isBusy: whether an entry at a path is on its way; then it is waited for before a directory is looked for there.
  /// - Throws: ``JobCalls/Ended``.
  func enter(_ path: some Collection<[UInt8]>, isBusy: ([[UInt8]]) -> Bool) throws -> Place {
    let shared = zip(way.dropFirst(), path).prefix { $0.directory.path.last == $1 }.count
    leave(from: shared + 1)
    for name in path.dropFirst(shared) {
      let parent = way[way.count - 1]
      if parent.places[name] == nil {
        let directory = parent.directory.directory(name)
        if isBusy(directory.path) { try queue.drain() }
        parent.places[name] = Place(directory, in: parent, onFailure: onFailure)
      }
      let place = parent.places[name]!
      place.isLeft = false
      way.append(place)
    }
    return way[way.count - 1]
  }

  /// The directory at `path`, if something is done in it.
  func find(_ path: some Collection<[UInt8]>) -> TargetDirectory? {
    var place = way[0]
    for name in path {
      guard let next = place.places[name] else { return nil }
      place = next
    }
    return place.directory
  }

  /// Ends all work.
  ///
  /// - Throws: ``JobCalls/Ended``.
  func finish() throws {
    leave(from: 0)
    try queue.drain()
  }

  private func leave(from depth: Int) {
    for place in way[depth...].reversed() {
      place.isLeft = true
      queue.visit(place)
    }
    way.removeSubrange(max(depth, 1)...)
  }
}

/// An absolute path of components, in raw bytes.
func absolute(_ path: [[UInt8]]) -> [UInt8] {
  path.isEmpty ? [UInt8(ascii: "/")] : path.reduce(into: []) { $0 += [UInt8(ascii: "/")] + $1 }
}
