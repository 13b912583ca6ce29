import Testing

@testable import GfapiFD

@Suite("Data on their way into a file")
struct FileDataTests {
  /// Offsets and lengths of what is written.
  func runs(_ data: FileData) -> [[Int]] {
    var runs: [[Int]] = []
    data.forEachRun { bytes, offset in runs.append([offset, bytes.count]) }
    return runs
  }

  func append(_ data: inout FileData, _ bytes: [UInt8], at offset: Int, isOver: Bool = false) {
    bytes.withUnsafeBytes { data.append($0, at: offset, isOver: isOver, expected: bytes.count) }
  }

  let zeros = [UInt8](repeating: 0, count: 4096)
  let ones = [UInt8](repeating: 1, count: 4096)

  @Test("leave out whole blocks of zeros, by the blocks of the file")
  func holes() {
    var data = FileData()
    append(&data, ones + zeros + zeros + ones + zeros, at: 8192)
    #expect(runs(data) == [[8192, 4096], [20480, 4096]])
    #expect(data.count == 5 * 4096)

    // Zeros that fill no block of the file are written.
    data = FileData()
    append(&data, zeros + ones, at: 100)
    #expect(runs(data) == [[100, 8192]])
    data = FileData()
    append(&data, Array(zeros.dropLast()), at: 0)
    #expect(runs(data) == [[0, 4095]])
  }

  @Test("write zeros that go over what is there")
  func over() {
    var data = FileData()
    append(&data, ones, at: 0)
    append(&data, zeros, at: 0, isOver: true)
    append(&data, zeros, at: 4096)
    #expect(runs(data) == [[0, 4096], [0, 4096]])
    #expect(data.isOver)
  }

  @Test("are one run if they come in a row, and keep their gaps")
  func rows() {
    var data = FileData()
    append(&data, ones, at: 0)
    append(&data, ones, at: 4096)
    append(&data, [7], at: 20000)
    #expect(runs(data) == [[0, 8192], [20000, 1]])
    #expect(!data.isOver)
  }
}
