import Testing
import TestSupport

@testable import DeltaFormat

/// What a delta says, collected.
private struct Content: Equatable {
  var header: DeltaHeader?
  /// The ranges in order; a hole has no bytes.
  var ranges: [Range] = []
  var fingerprint: [UInt8] = []

  struct Range: Equatable {
    let offset: Int
    var count: Int
    var bytes: [UInt8]?
  }

  /// Decodes a delta that comes in pieces.
  init(_ delta: [UInt8], pieces: Int = 1 << 20) throws {
    var decoder = DeltaDecoder()
    for start in stride(from: 0, to: delta.count, by: pieces) {
      try Array(delta[start..<min(start + pieces, delta.count)]).withUnsafeBytes { bytes in
        try decoder.take(bytes) { event in
          switch event {
          case .header(let found): header = found
          case .data(let bytes, let offset):
            if let last = ranges.last, last.bytes != nil, last.offset + last.count == offset {
              ranges[ranges.count - 1].bytes! += bytes
              ranges[ranges.count - 1].count += bytes.count
            } else {
              ranges.append(Range(offset: offset, count: bytes.count, bytes: Array(bytes)))
            }
          case .hole(let count, let offset): ranges.append(Range(offset: offset, count: count))
          }
        }
      }
    }
    fingerprint = try decoder.end()
  }
}

private let header = DeltaHeader(
  number: 3, identity: Array(1...16), sizeBefore: 5000, size: 70000, fingerprintBefore: Array(17...32),
  jobBefore: "image.2026-11-27_21.05.00_07")

private func delta(_ header: DeltaHeader = header, _ add: (inout DeltaEncoder) -> Void) -> (bytes: [UInt8], fingerprint: [UInt8]) {
  var encoder = DeltaEncoder(header)
  add(&encoder)
  let fingerprint = encoder.end()
  return (encoder.takeBytes(), fingerprint)
}

private func malformed(_ bytes: [UInt8]) -> String? {
  do {
    _ = try Content(bytes)
    return nil
  } catch {
    return (error as? DeltaDecoder.Malformed)?.description ?? "\(error)"
  }
}

@Suite("The format of a delta")
struct DeltaFormatTests {
  private let sample = delta { encoder in
    [UInt8](repeating: 7, count: 4096).withUnsafeBytes { encoder.add($0, at: 0) }
    encoder.addHole(16384, at: 16384)
    [UInt8](1...200).withUnsafeBytes { encoder.add($0, at: 69800) }
  }

  @Test("decoding a delta gives what was encoded, whatever the size of its pieces", arguments: [1, 2, 7, 64, 4096, 1 << 20])
  func roundTrip(_ pieces: Int) throws {
    let content = try Content(sample.bytes, pieces: pieces)
    #expect(content.header == header)
    #expect(content.fingerprint == sample.fingerprint)
    #expect(
      content.ranges == [
        .init(offset: 0, count: 4096, bytes: [UInt8](repeating: 7, count: 4096)), .init(offset: 16384, count: 16384),
        .init(offset: 69800, count: 200, bytes: [UInt8](1...200)),
      ])
  }

  @Test("the bytes are those that the documentation describes")
  func bytes() throws {
    let (bytes, _) = delta { encoder in
      [UInt8]([0xaa, 0xbb]).withUnsafeBytes { encoder.add($0, at: 258) }
      encoder.addHole(3, at: 1024)
    }
    let name = "image.2026-11-27_21.05.00_07"
    var expected: [UInt8] = [0x89, 0x47, 0x46, 0x44, 0x45, 0x4c, 0x54, 0x0a, 0, 0, 0, 1, 0, 0, 0, 3] + Array(1...16)
    expected +=
      [0, 0, 0, 0, 0, 0, 0x13, 0x88, 0, 0, 0, 0, 0, 1, 0x11, 0x70] + Array(17...32) + [0, UInt8(name.utf8.count)] + Array(name.utf8)
    expected += [1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 2, 0xaa, 0xbb]
    expected += [2, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    expected += [3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2]
    #expect(Array(bytes.dropLast(16)) == expected)
  }

  @Test("data that are longer than a record become several records")
  func long() throws {
    var long = header
    long.size = 1 << 30
    let data = [UInt8](repeating: 9, count: DeltaHeader.longestData + 5)
    let (bytes, _) = delta(long) { encoder in data.withUnsafeBytes { encoder.add($0, at: 1000) } }
    let content = try Content(bytes)
    #expect(content.ranges == [.init(offset: 1000, count: data.count, bytes: data)])
  }

  @Test("a delta that ends anywhere is cut off")
  func cutOff() {
    for count in 0..<sample.bytes.count where count < 200 || count > sample.bytes.count - 260 || count % 97 == 0 {
      #expect(malformed(Array(sample.bytes[..<count])) == "it is cut off", "\(count)")
    }
  }

  @Test("a changed byte anywhere is noticed")
  func damaged() {
    var random = Random(seed: 29)
    for position in sample.bytes.indices where position < 200 || position > sample.bytes.count - 260 || position % 53 == 0 {
      var bytes = sample.bytes
      bytes[position] ^= UInt8.random(in: 1...255, using: &random)
      #expect(malformed(bytes) != nil, "\(position)")
    }
  }

  @Test("bytes after the end are refused")
  func trailing() { #expect(malformed(sample.bytes + [0]) == "bytes follow its end") }

  @Test("another version is named, and so is data that are no delta")
  func others() {
    var bytes = sample.bytes
    bytes[11] = 2
    #expect(malformed(bytes) == "its format is version 2, this release knows 1")
    #expect(malformed(Array("QFI\u{fb} an image of its own".utf8)) == "it does not begin as a delta does")
  }

  @Test("records overlap nowhere, and stay within the file")
  func order() {
    func records(_ add: (inout DeltaEncoder) -> Void) -> String? { malformed(delta(header, add).bytes) }
    let block = [UInt8](repeating: 1, count: 100)
    func data(_ encoder: inout DeltaEncoder, _ offset: Int) { block.withUnsafeBytes { encoder.add($0, at: offset) } }
    #expect(records { data(&$0, 69900) } == nil)
    #expect(records { data(&$0, 69901) } == "a record beyond the end of the file")
    #expect(records { $0.addHole(1, at: 70000) } == "a record beyond the end of the file")
    #expect(records { $0.addHole(.max, at: .max) } == "a record beyond the end of the file")
    #expect(records { $0.addHole(0, at: 5) } == "a record beyond the end of the file")
    #expect(
      records {
        data(&$0, 0); data(&$0, 100)
      } == nil)
    #expect(
      records {
        data(&$0, 0); data(&$0, 99)
      } == "a record out of order")
    #expect(
      records {
        $0.addHole(200, at: 0); data(&$0, 100)
      } == "a record out of order")
  }
}

@Suite("The digests of a file's content")
struct ContentDigestTests {
  @Test("are the same however the data come, and zeros may be data or a hole")
  func pieces() {
    var random = Random(seed: 3)
    var data = [UInt8](repeating: 0, count: 150_000)
    for index in data.indices where !(40_000..<110_000).contains(index) { data[index] = UInt8.random(in: 0...255, using: &random) }
    func digest(_ add: (inout ContentDigest) -> Void) -> ([UInt8], [UInt64], Int) {
      var content = ContentDigest(keepsDigests: true)
      add(&content)
      let fingerprint = content.end()
      return (fingerprint, content.takeDigests(), content.size)
    }
    let whole = digest { content in data.withUnsafeBytes { content.add($0) } }
    #expect(whole.1 == data.withUnsafeBytes { BlockDigests(of: $0).values })
    #expect(whole.1.count == 10 && whole.2 == data.count)
    #expect(whole.1[3] == BlockDigests.ofZeros && whole.1[2] != BlockDigests.ofZeros)
    for size in [1, 1000, 16384, 65536, 100_000] {
      let inPieces = digest { content in
        for start in stride(from: 0, to: data.count, by: size) {
          Array(data[start..<min(start + size, data.count)]).withUnsafeBytes { content.add($0) }
        }
      }
      #expect(inPieces.0 == whole.0 && inPieces.1 == whole.1 && inPieces.2 == whole.2, "\(size)")
    }
    let withHole = digest { content in
      Array(data[..<40_000]).withUnsafeBytes { content.add($0) }
      content.addZeros(70_000)
      Array(data[110_000...]).withUnsafeBytes { content.add($0) }
    }
    #expect(withHole.0 == whole.0 && withHole.1 == whole.1 && withHole.2 == whole.2)
  }

  @Test("tell contents of different sizes apart that differ only in zeros at the end")
  func sizes() {
    func fingerprint(_ count: Int) -> [UInt8] {
      var content = ContentDigest(keepsDigests: false)
      content.addZeros(count)
      return content.end()
    }
    let fingerprints = [0, 1, 16383, 16384, 16385, 32768].map(fingerprint)
    #expect(Set(fingerprints).count == 6)
  }

  @Test("have a form of bytes")
  func bytes() {
    let digests = BlockDigests([1, .max, 0x0102_0304_0506_0708])
    #expect(digests.bytes.prefix(8) == [1, 0, 0, 0, 0, 0, 0, 0])
    #expect(BlockDigests(bytes: digests.bytes) == digests)
    #expect(BlockDigests(bytes: [1, 2, 3]) == nil)
  }
}
