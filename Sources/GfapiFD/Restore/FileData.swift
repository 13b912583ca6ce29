/// Data on their way into a file, of which only what is not zero is written: a hole is left wherever a whole block is zero.
struct FileData: Sendable {
  /// The unit of holes, in bytes.
  private static let blockSize = 4096

  private struct Segment {
    let offset: Int
    var bytes: [UInt8]
    /// It goes over data that have been written before: its zeros must be written.
    let isOver: Bool
  }

  private var segments: [Segment] = []
  /// In bytes.
  private(set) var count = 0
  /// Some of it goes over data that have been written before.
  var isOver: Bool { segments.contains(where: \.isOver) }

  /// - Parameters:
  ///   - offset: in the file.
  ///   - isOver: whether it goes over data that have been handed over before.
  ///   - expected: how many bytes may come in a row, these included.
  mutating func append(_ bytes: UnsafeRawBufferPointer, at offset: Int, isOver: Bool, expected: Int) {
    count += bytes.count
    let continues = segments.last.map { !isOver && !$0.isOver && $0.offset + $0.bytes.count == offset } ?? false
    if !continues {
      segments.append(Segment(offset: offset, bytes: [], isOver: isOver))
      segments[segments.count - 1].bytes.reserveCapacity(max(bytes.count, expected))
    }
    segments[segments.count - 1].bytes += bytes
  }

  /// Hands on what is to be written, in order: whole blocks of zeros left out.
  func forEachRun(_ body: (_ bytes: UnsafeRawBufferPointer, _ offset: Int) throws -> Void) rethrows {
    for segment in segments {
      try segment.bytes.withUnsafeBytes { bytes in
        var start = 0
        while start < bytes.count {
          let isHole = !segment.isOver && Self.blockIsZero(bytes, start, segment.offset)
          var stop = start
          repeat {
            stop = Self.blockEnd(bytes.count, stop, segment.offset)
          } while stop < bytes.count && (!segment.isOver && Self.blockIsZero(bytes, stop, segment.offset)) == isHole
          if !isHole { try body(UnsafeRawBufferPointer(rebasing: bytes[start..<stop]), segment.offset + start) }
          start = stop
        }
      }
    }
  }

  /// End of the block of the file that holds byte `index` of a segment at `offset`, in the segment.
  private static func blockEnd(_ count: Int, _ index: Int, _ offset: Int) -> Int {
    min(count, index + blockSize - (offset + index) % blockSize)
  }

  private static func blockIsZero(_ bytes: UnsafeRawBufferPointer, _ index: Int, _ offset: Int) -> Bool {
    guard blockEnd(bytes.count, index, offset) - index == blockSize else { return false }
    // Eight bytes at a time.
    for word in stride(from: index, to: index + blockSize, by: 8)
    where bytes.loadUnaligned(fromByteOffset: word, as: UInt64.self) != 0 { return false }
    return true
  }
}
