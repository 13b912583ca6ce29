import Glibc
import Gluster
import SystemPackage

/// A regular file open for writing, for calls from several threads at once.
final class WrittenFile: @unchecked Sendable {
  // The file is opened once, and closed once after all writes. Writes may run in parallel.
  private var file: File?

  init(_ file: consuming File) { self.file = consume file }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(GlusterError) { try file!.write(bytes, at: offset) }
  func truncate(to length: Int) throws(GlusterError) { try file!.truncate(to: length) }
  func writeZeros(_ count: Int, at offset: Int) throws(GlusterError) {
    do throws(GlusterError) { return try file!.discard(count, at: offset) } catch {
      guard [.notSupported, .noFunction].contains(error.errno) else { throw error }
    }
    let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: min(count, 1 << 20), alignment: 16)
    defer { zeros.deallocate() }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    for start in stride(from: offset, to: offset + count, by: zeros.count) {
      try file!.write(UnsafeRawBufferPointer(rebasing: zeros[..<min(zeros.count, offset + count - start)]), at: start)
    }
  }
  func close() throws(GlusterError) {
    guard let file = file.take() else { return }
    try file.close()
  }
}
