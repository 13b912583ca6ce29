/// The beginning of a delta: what it is a delta of.
///
/// A delta is what a backup stores of a file of which only some ranges have changed since an earlier backup. It is the whole data of its
/// record. All numbers are big-endian and unsigned:
///
///     offset  bytes
///          0      8  magic: 89 47 46 44 45 4C 54 0A ("\x89GFDELT\n")
///          8      4  version of the format: 1
///         12      4  number of the delta: 1 for the one that builds on a whole file, and so on; the daemons' delta_seq
///         16     16  the file's identity (GFID)
///         32      8  size of the file that it builds on, in bytes
///         40      8  size of the file with the delta, in bytes
///         48     16  fingerprint of what it builds on: see below
///         64      2  length of the name, in bytes
///         66      N  name of the job that has stored what it builds on, UTF-8
///
/// Records follow, in ascending order of their offsets; no two have a byte of the file in common, and none goes beyond the file's size:
///
///     01  8 offset, 4 length, bytes     data
///     02  8 offset, 8 length            zeros: a hole
///     03  8 number of records before, 8 number of bytes in records of data, 16 checksum: the end
///
/// The checksum is XXH3-128 of all bytes of the delta before it. It is also the fingerprint of the delta, on which the next one builds. The
/// fingerprint of a whole file is that of ``ContentDigest``.
///
/// A range that no record has is the same as before. If the file has become longer, its new part is zeros where no record has it.
public struct DeltaHeader: Equatable, Sendable {
  public static let magic: [UInt8] = [0x89, 0x47, 0x46, 0x44, 0x45, 0x4c, 0x54, 0x0a]
  public static let version: UInt32 = 1
  /// The size of a header without the name, in bytes.
  static let fixedSize = 66
  /// The maximum length of a job's name, in bytes.
  public static let longestName = 1024
  /// The maximum length of a record's data, in bytes.
  public static let longestData = 1 << 24
  /// The maximum size of a file, in bytes.
  static let largestFile = UInt64(Int64.max)

  /// The kinds of records.
  enum Record: UInt8 { case data = 1, hole, end }

  /// The number of the delta, at least 1.
  public var number: UInt32
  /// The file's identity (GFID), 16 bytes.
  public var identity: [UInt8]
  /// The sizes of the file before and with the delta, in bytes.
  public var sizeBefore: Int
  public var size: Int
  /// The fingerprint of what the delta builds on, 16 bytes.
  public var fingerprintBefore: [UInt8]
  /// The name of the job that has stored what the delta builds on.
  public var jobBefore: String

  public init(number: UInt32, identity: [UInt8], sizeBefore: Int, size: Int, fingerprintBefore: [UInt8], jobBefore: String) {
    (self.number, self.identity, self.sizeBefore, self.size) = (number, identity, sizeBefore, size)
    (self.fingerprintBefore, self.jobBefore) = (fingerprintBefore, jobBefore)
  }

  /// The header's bytes.
  var bytes: [UInt8] {
    let name = jobBefore.utf8.prefix(Self.longestName)
    return Self.magic + bigEndian(Self.version) + bigEndian(number) + identity + bigEndian(UInt64(sizeBefore)) + bigEndian(UInt64(size))
      + fingerprintBefore + bigEndian(UInt16(name.count)) + name
  }
}

func bigEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.bigEndian, Array.init) }
