/// An absolute path on a volume, in raw bytes: `/dir/file`. Names need not be UTF-8.
///
/// A path is normalized: one slash stands before each name, and none at the end. No name is empty, `.` or `..`. The root is `/`. So two
/// paths are equal only if their bytes are, and the order of paths is that of their bytes, as in SQLite: a directory comes before
/// everything in it, but not always directly before it (`/dir`, `/dir-2`, `/dir/file`).
///
/// What has *where* of a restore in front, and names of entries in other file systems, are not paths on a volume.
@frozen public struct VolumePath: Hashable, Comparable, Sendable {
  /// The whole path, without a zero at its end.
  public let bytes: [UInt8]

  /// The root of the volume, `/`.
  public static let root = VolumePath(normalized: [slash])

  @usableFromInline static var slash: UInt8 { 0x2f }

  /// Takes a path that is normalized already, such as one that has been kept as bytes. Only debug builds check it.
  ///
  /// - Parameter bytes: the form of ``bytes``.
  @inlinable package init(normalized bytes: [UInt8]) {
    assert(Self.isNormalized(bytes))
    self.bytes = bytes
  }

  /// Takes a path from outside: from a daemon, a list or a user. Leaves out empty names and `.`. A slash in front may be missing.
  ///
  /// - Parameter bytes: any bytes but zero.
  /// - Returns: nil if one of the names is `..`.
  public init?(_ bytes: [UInt8]) {
    if Self.isNormalized(bytes) {
      self.init(normalized: bytes)
      return
    }
    let names = bytes.split(separator: Self.slash).filter { !$0.elementsEqual(".".utf8) }
    guard !names.contains(where: { $0.elementsEqual("..".utf8) }) else { return nil }
    self.init(components: names)
  }

  /// Takes a path from outside that must begin with a slash; else as ``init(_:)``.
  public init?(absolute bytes: [UInt8]) {
    guard bytes.first == Self.slash else { return nil }
    self.init(bytes)
  }

  /// Joins names to a path.
  ///
  /// - Parameter components: names in raw bytes, each as for ``appending(_:)``. None make the root.
  public init(components: some Sequence<some Sequence<UInt8>>) {
    var bytes: [UInt8] = []
    for name in components {
      bytes.append(Self.slash)
      bytes += name
    }
    self.init(normalized: bytes.isEmpty ? [Self.slash] : bytes)
  }

  @usableFromInline static func isNormalized(_ bytes: [UInt8]) -> Bool {
    guard bytes.first == slash else { return false }
    guard bytes.count > 1 else { return true }
    // The length of the current name, and how many dots it has.
    var (length, dots) = (0, 0)
    for byte in bytes.dropFirst() {
      if byte == slash {
        guard length != dots || length > 2 else { return false }
        (length, dots) = (0, 0)
      } else {
        length += 1
        if byte == UInt8(ascii: ".") { dots += 1 }
      }
    }
    return length != dots || length > 2
  }

  // MARK: Parts

  @inlinable public var isRoot: Bool { bytes.count == 1 }

  /// The names from the root down; none for the root itself.
  public var components: [ArraySlice<UInt8>] { bytes.split(separator: Self.slash) }

  /// The last name; empty for the root.
  public var name: ArraySlice<UInt8> { bytes[(bytes.lastIndex(of: Self.slash)! + 1)...] }

  /// The directory that contains the entry. The root contains itself.
  public var parent: VolumePath {
    let end = bytes.lastIndex(of: Self.slash)!
    return end == 0 ? .root : VolumePath(normalized: Array(bytes[..<end]))
  }

  /// What stands before the slash in the path of an entry in this directory: the path, or nothing for the root.
  public var stem: [UInt8] { isRoot ? [] : bytes }

  /// Returns the path of an entry in this directory.
  ///
  /// - Parameter name: one name in raw bytes, without slash and zero, neither empty nor `.` nor `..`.
  @inlinable public func appending(_ name: [UInt8]) -> VolumePath {
    var path: [UInt8] = []
    path.reserveCapacity(bytes.count + 1 + name.count)
    if !isRoot { path += bytes }
    path.append(Self.slash)
    path += name
    return VolumePath(normalized: path)
  }

  // MARK: Comparing

  /// Returns true if `other` is this path or below it. Whole names are compared: `/dir` does not contain `/dir2`.
  @inlinable public func contains(_ other: VolumePath) -> Bool {
    isRoot || other.bytes.starts(with: bytes) && (other.bytes.count == bytes.count || other.bytes[bytes.count] == Self.slash)
  }

  /// Returns true if everything in this directory comes before `other` in the order of paths.
  public func contentPrecedes(_ other: VolumePath) -> Bool {
    // No path in `/dir` has the byte after the slash, `0`, in place of the slash.
    !isRoot && !other.bytes.lexicographicallyPrecedes(bytes + [Self.slash + 1])
  }

  @inlinable public static func < (one: VolumePath, other: VolumePath) -> Bool { one.bytes.lexicographicallyPrecedes(other.bytes) }

  @inlinable public func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }
}
