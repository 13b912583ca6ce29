import CXXHash

/// XXH3-128 of bytes that come in pieces.
public final class Digest {
  /// The size of a digest, in bytes.
  public static let size = 16

  private let stream: OpaquePointer

  public init() {
    guard let stream = cxxhash_begin() else { fatalError("no memory") }
    self.stream = stream
  }

  deinit { cxxhash_end(stream) }

  public func add(_ bytes: UnsafeRawBufferPointer) { cxxhash_add(stream, bytes.baseAddress, bytes.count) }

  /// The digest of all bytes so far: 16 bytes, big-endian.
  public var value: [UInt8] {
    [UInt8](unsafeUninitializedCapacity: Self.size) { buffer, count in
      cxxhash_digest(stream, buffer.baseAddress!)
      count = Self.size
    }
  }
}

/// The digest of each block of a file's data, in order.
///
/// A block has ``size`` bytes, and the last one of a file what is left. Its digest is XXH3-64. Blocks tell which parts of a file have changed
/// since they were read; they are not meant to withstand somebody who looks for two blocks of one digest.
public struct BlockDigests: Sendable, Equatable {
  /// The size of a block, in bytes. Smaller blocks find smaller changes, and take more memory: a digest has 8 bytes.
  public static let size = 16 << 10

  public var values: [UInt64] = []

  public init(_ values: [UInt64] = []) { self.values = values }

  /// Makes the digests of data that begin at a block's beginning.
  public init(of bytes: UnsafeRawBufferPointer) {
    values.reserveCapacity(Self.count(bytes.count))
    for start in stride(from: 0, to: bytes.count, by: Self.size) {
      values.append(Self.digest(UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + Self.size, bytes.count)])))
    }
  }

  /// The number of blocks of so many bytes.
  public static func count(_ bytes: Int) -> Int { (bytes + size - 1) / size }

  public static func digest(_ block: UnsafeRawBufferPointer) -> UInt64 { cxxhash_64(block.baseAddress, block.count) }

  /// The digest of a whole block of zeros.
  public static let ofZeros = [UInt8](repeating: 0, count: size).withUnsafeBytes(digest)

  /// The digests as bytes, each a little-endian `UInt64`.
  public var bytes: [UInt8] { values.flatMap { value in withUnsafeBytes(of: value.littleEndian, Array.init) } }

  /// Reads the form of ``bytes``; nil if their number is wrong.
  public init?(bytes: [UInt8]) {
    guard bytes.count % 8 == 0 else { return nil }
    values = bytes.withUnsafeBytes { bytes in
      stride(from: 0, to: bytes.count, by: 8).map { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self)) }
    }
  }
}

/// Makes the fingerprint of a whole file's content, and the digests of its blocks, from data that come in order.
///
/// The fingerprint is XXH3-128 of the digests of all blocks, each a little-endian `UInt64`, and of the size in bytes, also a little-endian
/// `UInt64`.
public struct ContentDigest {
  /// The size of the content so far, in bytes.
  public private(set) var size = 0
  /// The digests of the whole blocks since ``takeDigests()``.
  private var digests: [UInt64] = []
  private let keepsDigests: Bool
  private let fingerprinting = Digest()
  /// The beginning of a block that is not whole yet.
  private var rest: [UInt8] = []

  /// - Parameter keepsDigests: true if the digests of the blocks are needed.
  public init(keepsDigests: Bool) { self.keepsDigests = keepsDigests }

  /// Takes the next bytes.
  public mutating func add(_ bytes: UnsafeRawBufferPointer) {
    size += bytes.count
    var bytes = bytes[...]
    if !rest.isEmpty {
      let missing = bytes.prefix(BlockDigests.size - rest.count)
      rest += missing
      bytes = bytes.dropFirst(missing.count)
      guard rest.count == BlockDigests.size else { return }
      take(rest.withUnsafeBytes(BlockDigests.digest))
      rest.removeAll(keepingCapacity: true)
    }
    while bytes.count >= BlockDigests.size {
      take(BlockDigests.digest(UnsafeRawBufferPointer(rebasing: bytes.prefix(BlockDigests.size))))
      bytes = bytes.dropFirst(BlockDigests.size)
    }
    rest += bytes
  }

  /// Takes zeros that are not stored.
  public mutating func addZeros(_ count: Int) {
    var count = count
    func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: 0, count: count) }
    if !rest.isEmpty {
      let first = min(count, BlockDigests.size - rest.count)
      zeros(first).withUnsafeBytes { add($0) }
      count -= first
    }
    while count >= BlockDigests.size {
      take(BlockDigests.ofZeros)
      size += BlockDigests.size
      count -= BlockDigests.size
    }
    zeros(count).withUnsafeBytes { add($0) }
  }

  private mutating func take(_ digest: UInt64) {
    if keepsDigests { digests.append(digest) }
    withUnsafeBytes(of: digest.littleEndian) { fingerprinting.add($0) }
  }

  /// Returns the digests of the blocks that have become whole since the last call.
  public mutating func takeDigests() -> [UInt64] {
    defer { digests = [] }
    return digests
  }

  /// Ends the content. ``takeDigests()`` then returns the digest of the last block as well.
  ///
  /// - Returns: the fingerprint.
  public mutating func end() -> [UInt8] {
    if !rest.isEmpty { take(rest.withUnsafeBytes(BlockDigests.digest)) }
    rest = []
    withUnsafeBytes(of: UInt64(size).littleEndian) { fingerprinting.add($0) }
    return fingerprinting.value
  }
}
