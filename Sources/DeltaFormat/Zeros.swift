import Glibc

extension UnsafeRawBufferPointer {
  /// True if all bytes are zeros.
  public var isAllZeros: Bool {
    guard let start = baseAddress, count > 0 else { return true }
    return load(as: UInt8.self) == 0 && memcmp(start, start + 1, count - 1) == 0
  }
}
