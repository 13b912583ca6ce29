import Testing

@testable import GfapiRestore

@Suite("Sparse data of a file")
struct SparseDataTests {
  /// The offset and length of each run that is written.
  func runs(_ data: SparseData) -> [[Int]] {
    var runs: [[Int]] = []
    data.forEachRun { bytes, offset in runs.append([offset, bytes.count]) }
    return runs
  }

  func append(_ data: inout SparseData, _ bytes: [UInt8], at offset: Int, isOver: Bool = false) {
    bytes.withUnsafeBytes { data.append($0, at: offset, isOver: isOver, expected: bytes.count) }
  }

  let zeros = [UInt8](repeating: 0, count: 4096)
  let ones = [UInt8](repeating: 1, count: 4096)

  @Test("Whole zero blocks of the file are not written")
  func holes() {
    var data = SparseData()
    append(&data, ones + zeros + zeros + ones + zeros, at: 8192)
    #expect(runs(data) == [[8192, 4096], [20480, 4096]])
    #expect(data.count == 5 * 4096)

    // Zeros that do not fill a whole block of the file are written.
    data = SparseData()
    append(&data, zeros + ones, at: 100)
    #expect(runs(data) == [[100, 8192]])
    data = SparseData()
    append(&data, Array(zeros.dropLast()), at: 0)
    #expect(runs(data) == [[0, 4095]])
  }

  @Test("Zeros that overwrite existing data are written")
  func over() {
    var data = SparseData()
    append(&data, ones, at: 0)
    append(&data, zeros, at: 0, isOver: true)
    append(&data, zeros, at: 4096)
    #expect(runs(data) == [[0, 4096], [0, 4096]])
    #expect(data.isOver)
  }

  @Test("Adjacent pieces form one run, and gaps between runs are kept")
  func rows() {
    var data = SparseData()
    append(&data, ones, at: 0)
    append(&data, ones, at: 4096)
    append(&data, [7], at: 20000)
    #expect(runs(data) == [[0, 8192], [20000, 1]])
    #expect(!data.isOver)
  }
}
