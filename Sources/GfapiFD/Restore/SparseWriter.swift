import Gluster

/// Writes a file's data and leaves a hole wherever a whole block of it is zero.
struct SparseWriter: ~Copyable {
  /// The unit of holes, in bytes.
  static let blockSize = 4096

  private let file: File
  /// How far the file reaches on the volume.
  private var length = 0
  /// How far it shall reach.
  private var end = 0

  /// - Parameter file: new and empty.
  init(_ file: consuming File) { self.file = file }

  /// Writes `data` at `offset`.
  mutating func write(_ data: [UInt8], at offset: Int) throws(WriteFailure) {
    var start = 0
    while start < data.count {
      let zero = blockIsZero(data, start, offset)
      var stop = start
      repeat { stop = blockEnd(data, stop, offset) } while stop < data.count && blockIsZero(data, stop, offset) == zero
      // Zeros over what has been written before must be written.
      if !zero || offset + start < length {
        do {
          try data.withUnsafeBytes { try file.write(UnsafeRawBufferPointer(rebasing: $0[start..<stop]), at: offset + start) }
        } catch { throw WriteFailure(offset: offset + start, error: asGlusterError(error)) }
        length = max(length, offset + stop)
      }
      start = stop
    }
    end = max(end, offset + data.count)
  }

  /// Makes the file at least `length` bytes long.
  mutating func extend(to length: Int) { end = max(end, length) }

  /// Gives the file its length, and closes it.
  consuming func finish() throws(WriteFailure) {
    let end = end
    do {
      if length < end { try file.truncate(to: end) }
      try file.close()
    } catch { throw WriteFailure(offset: end, error: asGlusterError(error)) }
  }

  /// End of the block of the file that holds `data[index]`, in `data`.
  private func blockEnd(_ data: [UInt8], _ index: Int, _ offset: Int) -> Int {
    min(data.count, index + Self.blockSize - (offset + index) % Self.blockSize)
  }

  private func blockIsZero(_ data: [UInt8], _ index: Int, _ offset: Int) -> Bool {
    let end = blockEnd(data, index, offset)
    guard end - index == Self.blockSize else { return false }
    return data.withUnsafeBytes { bytes in
      // Eight bytes at a time.
      bytes.baseAddress!.advanced(by: index).withMemoryRebound(to: UInt8.self, capacity: end - index) { start in
        let raw = UnsafeRawPointer(start)
        for word in stride(from: 0, to: Self.blockSize, by: 8)
        where raw.loadUnaligned(fromByteOffset: word, as: UInt64.self) != 0 { return false }
        return true
      }
    }
  }
}

/// A write that failed, and where.
struct WriteFailure: Error {
  let offset: Int
  let error: GlusterError
}
