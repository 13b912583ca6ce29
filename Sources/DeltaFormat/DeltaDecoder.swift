/// Reads the bytes of a delta, which come in pieces of any size: see ``DeltaHeader`` for the format.
public struct DeltaDecoder {
  /// The data are no delta, or a damaged one.
  public struct Malformed: Error, Equatable, CustomStringConvertible {
    public let description: String
  }

  /// What the bytes say.
  public enum Event {
    case header(DeltaHeader)
    /// Bytes of the file at an offset. One record can come as several events.
    case data(UnsafeRawBufferPointer, offset: Int)
    /// Zeros in the file.
    case hole(count: Int, offset: Int)
  }

  private enum State {
    case header
    case record
    case data(offset: Int, left: Int)
    case ended
  }

  private var state = State.header
  /// The beginning of a header or record that has not come completely.
  private var pending: [UInt8] = []
  private let checksum = Digest()
  private var size = 0
  /// The end of the last record's range in the file.
  private var reached = 0
  private var records: UInt64 = 0
  private var dataBytes: UInt64 = 0
  /// The fingerprint of the delta; nil: it has not come to its end.
  public private(set) var fingerprint: [UInt8]?

  public init() {}

  /// Takes the next bytes.
  ///
  /// - Parameter handle: called for what the bytes say, in order.
  /// - Throws: ``Malformed``, or the error of `handle`.
  public mutating func take(_ bytes: UnsafeRawBufferPointer, _ handle: (Event) throws -> Void) throws {
    var bytes = bytes[...]
    while !bytes.isEmpty {
      switch state {
      case .ended: throw Malformed(description: "bytes follow its end")
      case .data(let offset, let left):
        let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(left))
        checksum.add(piece)
        bytes = bytes.dropFirst(piece.count)
        state = piece.count < left ? .data(offset: offset + piece.count, left: left - piece.count) : .record
        try handle(.data(piece, offset: offset))
      case .header, .record:
        let wanted = try neededSize()
        let piece = bytes.prefix(wanted - pending.count)
        pending += piece
        bytes = bytes.dropFirst(piece.count)
        // A header's or record's length may depend on its beginning.
        if pending.count == wanted, try neededSize() == wanted { try takePending(handle) }
      }
    }
  }

  /// Ends the delta.
  ///
  /// - Returns: its fingerprint.
  /// - Throws: ``Malformed`` if the delta is not whole.
  public func end() throws(Malformed) -> [UInt8] {
    guard let fingerprint else { throw Malformed(description: "it is cut off") }
    return fingerprint
  }

  /// The size of the header or record that `pending` begins, as far as it can be known, in bytes.
  private func neededSize() throws -> Int {
    if case .header = state {
      guard pending.starts(with: DeltaHeader.magic.prefix(pending.count)) else {
        throw Malformed(description: "it does not begin as a delta does")
      }
      guard pending.count >= 12 else { return 12 }
      let version: UInt32 = number(at: 8)
      guard version == DeltaHeader.version else {
        throw Malformed(description: "its format is version \(version), this release knows \(DeltaHeader.version)")
      }
      guard pending.count >= DeltaHeader.fixedSize else { return DeltaHeader.fixedSize }
      let length = Int(number(at: 64) as UInt16)
      guard length <= DeltaHeader.longestName else { throw Malformed(description: "a name of \(length) bytes") }
      return DeltaHeader.fixedSize + length
    }
    guard let first = pending.first else { return 1 }
    switch DeltaHeader.Record(rawValue: first) {
    case .data: return 13
    case .hole: return 17
    case .end: return 17 + Digest.size
    case nil: throw Malformed(description: "a record of the unknown kind \(first)")
    }
  }

  private mutating func takePending(_ handle: (Event) throws -> Void) throws {
    defer { pending.removeAll(keepingCapacity: true) }
    if case .header = state {
      add(pending.count)
      let header = try header()
      size = header.size
      state = .record
      return try handle(.header(header))
    }
    switch DeltaHeader.Record(rawValue: pending[0])! {
    case .data:
      add(pending.count)
      let length = Int(number(at: 9) as UInt32)
      guard length <= DeltaHeader.longestData else { throw Malformed(description: "a record of \(length) bytes") }
      let offset = try range(number(at: 1), UInt64(length))
      records += 1
      dataBytes += UInt64(length)
      state = .data(offset: offset, left: length)
    case .hole:
      add(pending.count)
      let count: UInt64 = number(at: 9)
      let offset = try range(number(at: 1), count)
      records += 1
      try handle(.hole(count: Int(count), offset: offset))
    case .end:
      add(17)
      guard number(at: 1) == records, number(at: 9) == dataBytes else {
        throw Malformed(description: "it has \(records) records and \(dataBytes) bytes of data, and its end says otherwise")
      }
      let told = Array(pending[17...])
      guard told == checksum.value else { throw Malformed(description: "its checksum is wrong") }
      (state, fingerprint) = (.ended, told)
    }
  }

  /// Adds the first bytes of `pending` to the checksum.
  private func add(_ count: Int) { pending.withUnsafeBytes { checksum.add(UnsafeRawBufferPointer(rebasing: $0[..<count])) } }

  private func header() throws -> DeltaHeader {
    let (before, size): (UInt64, UInt64) = (number(at: 32), number(at: 40))
    guard before <= DeltaHeader.largestFile, size <= DeltaHeader.largestFile else {
      throw Malformed(description: "an impossible file size")
    }
    guard let name = String(validating: pending[DeltaHeader.fixedSize...], as: UTF8.self) else {
      throw Malformed(description: "a name that is not UTF-8")
    }
    let number: UInt32 = number(at: 12)
    guard number > 0 else { throw Malformed(description: "the number 0") }
    return DeltaHeader(
      number: number, identity: Array(pending[16..<32]), sizeBefore: Int(before), size: Int(size),
      fingerprintBefore: Array(pending[48..<64]), jobBefore: name)
  }

  /// Checks the range of a record. Returns its offset.
  private mutating func range(_ offset: UInt64, _ count: UInt64) throws -> Int {
    let (end, overflows) = offset.addingReportingOverflow(count)
    guard count > 0, !overflows, end <= UInt64(size) else { throw Malformed(description: "a record beyond the end of the file") }
    guard offset >= UInt64(reached) else { throw Malformed(description: "a record out of order") }
    reached = Int(end)
    return Int(offset)
  }

  private func number<T: FixedWidthInteger>(at offset: Int) -> T {
    T(bigEndian: pending.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) })
  }
}
