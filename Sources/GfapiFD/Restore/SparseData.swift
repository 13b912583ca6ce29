import DeltaFormat

/// Data to be written to a file. Whole blocks of zeros are not written: they become holes.
struct SparseData: Sendable {
  /// The size of a block, in bytes. Holes are made of whole blocks.
  private static let blockSize = 4096

  private struct Segment {
    let offset: Int
    var bytes: [UInt8]
    /// True if the segment overwrites earlier data of the restore.
    let isOver: Bool
    /// True if the zeros of the segment must be written, because it overwrites something.
    let keepsZeros: Bool
  }

  private var segments: [Segment] = []
  /// The number of bytes, including zeros.
  private(set) var count = 0
  /// True if any segment overwrites earlier data of the restore.
  var isOver: Bool { segments.contains(where: \.isOver) }

  /// Adds data.
  ///
  /// - Parameters:
  ///   - offset: in the file.
  ///   - isOver: true if the data overwrite data that the daemon has already sent.
  ///   - keepsZeros: true if the data overwrite what an earlier backup has.
  ///   - expected: the number of bytes, including these, that may follow without a gap.
  mutating func append(_ bytes: UnsafeRawBufferPointer, at offset: Int, isOver: Bool, keepsZeros: Bool = false, expected: Int) {
    count += bytes.count
    let continues =
      segments.last.map { !isOver && !$0.isOver && $0.keepsZeros == keepsZeros && $0.offset + $0.bytes.count == offset } ?? false
    if !continues {
      segments.append(Segment(offset: offset, bytes: [], isOver: isOver, keepsZeros: keepsZeros || isOver))
      segments[segments.count - 1].bytes.reserveCapacity(max(bytes.count, expected))
    }
    segments[segments.count - 1].bytes += bytes
  }

  /// Calls `body` for each run of bytes to be written, in order. Whole blocks of zeros are left out.
  func forEachRun(_ body: (_ bytes: UnsafeRawBufferPointer, _ offset: Int) throws -> Void) rethrows {
    for segment in segments {
      try segment.bytes.withUnsafeBytes { bytes in
        var start = 0
        while start < bytes.count {
          let isHole = !segment.keepsZeros && Self.blockIsZero(bytes, start, segment.offset)
          var stop = start
          repeat {
            stop = Self.blockEnd(bytes.count, stop, segment.offset)
          } while stop < bytes.count && (!segment.keepsZeros && Self.blockIsZero(bytes, stop, segment.offset)) == isHole
          if !isHole { try body(UnsafeRawBufferPointer(rebasing: bytes[start..<stop]), segment.offset + start) }
          start = stop
        }
      }
    }
  }

  /// The end, as an index into a segment at `offset`, of the file's block that holds byte `index` of the segment.
  private static func blockEnd(_ count: Int, _ index: Int, _ offset: Int) -> Int {
    min(count, index + blockSize - (offset + index) % blockSize)
  }

  private static func blockIsZero(_ bytes: UnsafeRawBufferPointer, _ index: Int, _ offset: Int) -> Bool {
    guard blockEnd(bytes.count, index, offset) - index == blockSize else { return false }
    return UnsafeRawBufferPointer(rebasing: bytes[index..<(index + blockSize)]).isAllZeros
  }
}
