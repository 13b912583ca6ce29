import Glibc
import Gluster
import SystemPackage

/// Reads a regular file from its beginning to its end, a piece at a time. Holes are told, not fetched, where the volume
/// knows them.
package final class FileReader {
  /// A piece of a file.
  package enum Piece: Sendable {
    case data([UInt8])
    /// So many zeros that are not stored.
    case hole(Int)
    case end
  }

  /// The most that one call fetches, in bytes.
  package static let pieceSize = 1 << 20

  private var file: File?
  private let object: Object
  private let expected: stat
  private let keepsAccessTime: Bool
  private let timesAreExact: Bool
  private var offset = 0
  /// End of the run of data that begins at `offset`, of a file with holes; nil: to be asked.
  private var dataEnd: Int?
  private var looksForHoles: Bool

  /// Opens a file.
  ///
  /// - Parameters:
  ///   - expected: the attributes that the entry's record carries.
  ///   - withoutAccessTime: reading shall not change the access time.
  ///   - keepsAccessTime: the access time is set back in the end.
  ///   - timesAreExact: the volume tells the same time at each question; else two answers may come from two bricks, and
  ///     up to a second apart is the same.
  package init(
    _ object: Object, expected: stat, withoutAccessTime: Bool, keepsAccessTime: Bool, timesAreExact: Bool
  ) throws {
    file = try object.openForReading(keepAccessTime: withoutAccessTime)
    self.object = object
    self.expected = expected
    self.keepsAccessTime = keepsAccessTime
    self.timesAreExact = timesAreExact
    looksForHoles = expected.st_blocks * 512 < expected.st_size
  }

  /// The next piece.
  package func next() throws -> Piece {
    guard file != nil else { return .end }
    if looksForHoles, dataEnd.map({ $0 <= offset }) ?? true {
      if let hole = try findData() {
        offset += hole
        return .hole(hole)
      }
    }
    let wanted = min(Self.pieceSize, max((dataEnd ?? .max) - offset, 1))
    var failed: (any Error)?
    let data = [UInt8](unsafeUninitializedCapacity: wanted) { buffer, count in
      do {
        // Fill the piece: a short read is not yet the end.
        while count < wanted {
          let got = try file!.read(into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[count...]), at: offset + count)
          if got == 0 { break }
          count += got
        }
      } catch { failed = error }
    }
    if let failed { throw failed }
    offset += data.count
    return data.isEmpty ? .end : .data(data)
  }

  /// Asks where the data at `offset` ends; if a hole is there first, returns its length.
  private func findData() throws -> Int? {
    do {
      guard let data = try file!.nextData(from: offset) else {
        let size = try Int(file!.status().st_size)
        return size > offset ? size - offset : nil
      }
      dataEnd = try file!.nextHole(from: data)
      return data > offset ? data - offset : nil
    } catch let error as GlusterError where [.notSupported, .invalidArgument, .noFunction].contains(error.errno) {
      // Sharded volumes cannot tell.
      looksForHoles = false
      dataEnd = nil
      return nil
    }
  }

  /// Ends the reading.
  ///
  /// - Returns: what changed in the file since its record was made, in words; nil if nothing did.
  package func finish() throws -> String? {
    guard file != nil else { return nil }
    let now = try file!.status()
    file = nil
    if keepsAccessTime { try object.setAttributes(expected, .accessTime) }
    if offset != expected.st_size { return "it had \(expected.st_size) bytes, \(offset) were read" }
    let (then, current) = (expected.st_mtim, now.st_mtim)
    let changed =
      timesAreExact
      ? current.tv_sec != then.tv_sec || current.tv_nsec != then.tv_nsec : (current.tv_sec &- then.tv_sec).magnitude > 1
    return changed ? "its modification time changed" : nil
  }
}
