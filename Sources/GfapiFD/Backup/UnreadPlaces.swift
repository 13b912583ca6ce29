import Gluster

/// Places of a volume that a crawl could not read. Which entries exist there is unknown, so they must not count as deleted.
package struct UnreadPlaces: Sendable {
  /// The maximum number of places that are kept. With more places, every path may exist.
  static let limit = 1000

  private var places: Set<VolumePath> = []
  private var isEverywhere = false

  package init() {}

  package var isEmpty: Bool { !isEverywhere && places.isEmpty }

  package mutating func add(_ path: VolumePath) {
    guard !isEverywhere else { return }
    places.insert(path)
    if path.isRoot || places.count > Self.limit { addEverything() }
  }

  package mutating func addEverything() {
    isEverywhere = true
    places = []
  }

  package mutating func add(_ other: UnreadPlaces) {
    if other.isEverywhere { addEverything() }
    for place in other.places { add(place) }
  }

  /// Returns true if a path is one of the places or is below one.
  ///
  /// - Parameter path: nil for a name that is no path on the volume.
  package func contain(_ path: VolumePath?) -> Bool {
    if isEverywhere { return true }
    guard !places.isEmpty, var path else { return false }
    while !path.isRoot {
      if places.contains(path) { return true }
      path = path.parent
    }
    return false
  }
}
