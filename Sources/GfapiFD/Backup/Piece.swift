import Glibc
import Gluster
import Locks

/// Bytes that have been read from a file.
final class Piece: @unchecked Sendable {
  // The memory is filled before any other code sees it. After that it is only read.
  private let memory: UnsafeMutableRawBufferPointer
  private let pool: PiecePool?
  /// The number of bytes.
  let count: Int

  /// Reads up to `capacity` bytes in as many calls as necessary. A short read is not the end yet, unless it completes the expected bytes.
  ///
  /// - Parameters:
  ///   - expected: how many bytes there should be.
  ///   - pool: provides the memory and takes it back; nil: the memory is allocated.
  ///   - read: reads into a buffer, beginning at the given number of bytes after the first byte of the piece.
  init(
    _ capacity: Int, expected: Int, from pool: PiecePool? = nil, _ read: (UnsafeMutableRawBufferPointer, Int) throws(GlusterError) -> Int
  ) throws(GlusterError) {
    self.pool = capacity == PiecePool.size ? pool : nil
    memory = self.pool?.take() ?? .allocate(byteCount: capacity, alignment: 16)
    var filled = 0
    do {
      while filled < capacity {
        let got = try read(UnsafeMutableRawBufferPointer(rebasing: memory[filled...]), filled)
        filled += got
        if got == 0 || filled == expected { break }
      }
    } catch {
      count = 0
      throw error
    }
    count = filled
  }

  /// Copies bytes.
  init(copying bytes: [UInt8]) {
    (pool, count) = (nil, bytes.count)
    memory = .allocate(byteCount: bytes.count, alignment: 16)
    memory.copyBytes(from: bytes)
  }

  deinit { if let pool { pool.give(memory) } else { memory.deallocate() } }

  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }
}

/// Reusable memory for the pieces of large files. New memory costs as much time as reading the bytes into it.
final class PiecePool: Sendable {
  /// The size of each piece, in bytes.
  static let size = 2 << 20
  /// The maximum number of unused buffers that are kept.
  private static let most = 4

  private struct Buffer: @unchecked Sendable {
    let memory: UnsafeMutableRawBufferPointer
  }

  private let free = Mutex<[Buffer]>([])

  /// Makes the allocator keep the memory of Gluster's replies for the next ones. Gluster allocates the memory of each reply of this size and
  /// frees it again. The allocator (glibc) returns the memory at the end of its heap to the kernel as soon as it is twice as large as the
  /// largest block that has been freed, here 4 MiB, and the next reply costs a page fault for each page: a third of the time of a large file
  /// on a distributed or sharded volume (10.3, 2026-11-27). After a block of 16 MiB it keeps 32 MiB. The block itself takes no memory, because
  /// nobody writes to it.
  private static let keepsFreedMemory: Bool = {
    var block: UnsafeMutableRawPointer?
    // Unlike `malloc`, this is no call that the compiler may leave out.
    guard posix_memalign(&block, 16, 16 << 20) == 0 else { return false }
    Glibc.free(block)
    return true
  }()

  init() { _ = Self.keepsFreedMemory }

  deinit { for buffer in free.withLock({ $0 }) { buffer.memory.deallocate() } }

  fileprivate func take() -> UnsafeMutableRawBufferPointer {
    free.withLock { $0.popLast() }?.memory ?? .allocate(byteCount: Self.size, alignment: 4096)
  }

  fileprivate func give(_ memory: UnsafeMutableRawBufferPointer) {
    let buffer = Buffer(memory: memory)
    let isKept = free.withLock { free in
      if free.count < Self.most { free.append(buffer) }
      return free.last?.memory.baseAddress == buffer.memory.baseAddress
    }
    if !isKept { memory.deallocate() }
  }
}
