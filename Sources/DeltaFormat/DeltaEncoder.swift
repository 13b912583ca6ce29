/// Makes the bytes of a delta: see ``DeltaHeader`` for the format.
public struct DeltaEncoder {
  private let checksum = Digest()
  private var records: UInt64 = 0
  /// The number of bytes in records of data.
  public private(set) var dataBytes = 0
  /// The bytes that have not been taken.
  private var output: [UInt8] = []

  public init(_ header: DeltaHeader) { append(header.bytes) }

  /// Returns the bytes since the last call.
  public mutating func takeBytes() -> [UInt8] {
    defer { output = [] }
    return output
  }

  /// Adds data. Of several calls, each has a higher offset.
  public mutating func add(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    for start in stride(from: 0, to: bytes.count, by: DeltaHeader.longestData) {
      let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + DeltaHeader.longestData, bytes.count)])
      append([DeltaHeader.Record.data.rawValue] + bigEndian(UInt64(offset + start)) + bigEndian(UInt32(piece.count)))
      checksum.add(piece)
      output += piece
      records += 1
      dataBytes += piece.count
    }
  }

  /// Adds zeros.
  public mutating func addHole(_ count: Int, at offset: Int) {
    append([DeltaHeader.Record.hole.rawValue] + bigEndian(UInt64(offset)) + bigEndian(UInt64(count)))
    records += 1
  }

  /// Adds the end.
  ///
  /// - Returns: the fingerprint of the delta.
  public mutating func end() -> [UInt8] {
    append([DeltaHeader.Record.end.rawValue] + bigEndian(records) + bigEndian(UInt64(dataBytes)))
    let fingerprint = checksum.value
    output += fingerprint
    return fingerprint
  }

  private mutating func append(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { checksum.add($0) }
    output += bytes
  }
}
