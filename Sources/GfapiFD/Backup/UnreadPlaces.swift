/// Places of a volume that a crawl could not look into: what is there is unknown, and must not be taken for deleted.
package struct UnreadPlaces: Sendable {
  /// How many are kept apart; beyond that, everything may exist.
  static let limit = 1000

  private var places: Set<[UInt8]> = []
  private var isEverywhere = false

  package init() {}

  package var isEmpty: Bool { !isEverywhere && places.isEmpty }

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

  /// Whether `path` is one of the places or below one; a slash at its end does not count.
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
