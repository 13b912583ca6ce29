/// Places of a volume that a crawl could not read. Which entries exist there is unknown, so they must not count as deleted.
package struct UnreadPlaces: Sendable {
  /// The maximum number of places that are kept. With more places, every path may exist.
  static let limit = 1000

  private var places: Set<[UInt8]> = []
  private var isEverywhere = false

  package init() {}

  package var isEmpty: Bool { !isEverywhere && places.isEmpty }

  /// Adds a place.
  ///
  /// - Parameter path: absolute, in raw bytes.
  package mutating func add(_ path: [UInt8]) {
    guard !isEverywhere else { return }
    places.insert(path)
    if path == [UInt8(ascii: "/")] || places.count > Self.limit { addEverything() }
  }

  package mutating func addEverything() {
    isEverywhere = true
    places = []
  }

  package mutating func add(_ other: UnreadPlaces) {
    if other.isEverywhere { addEverything() }
    for place in other.places { add(place) }
  }

  /// Returns true if `path` is one of the places or is below one. A slash at the end of `path` is ignored.
  package func contain(_ path: [UInt8]) -> Bool {
    if isEverywhere { return true }
    guard !places.isEmpty else { return false }
    let slash = UInt8(ascii: "/")
    if places.contains(path) { return true }
    for (index, byte) in path.enumerated() where byte == slash && index > 0 {
      if places.contains(Array(path[..<index])) { return true }
    }
    return false
  }
}
