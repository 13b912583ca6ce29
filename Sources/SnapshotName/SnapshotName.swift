/// Names of the snapshots that are taken for jobs.
///
/// The plugin and the program that takes the snapshot make the name from the job's name, each for itself: no file passes it on.
public enum SnapshotName {
  /// What all of these names begin with.
  public static let prefix = "gfapi-fd-"

  /// The name of the snapshot for a job: `gfapi-fd-JOB-DIGEST`.
  ///
  /// JOB is the beginning of the job's name, for people. DIGEST makes the name unique: 16 hexadecimal digits, FNV-1a with 64 bits of the whole
  /// name of the job, a slash and the volume. (A job may back up two volumes, and names of snapshots are unique in a whole cluster.) The
  /// name stays short, because Gluster (10.3) creates a snapshot whose name has 200 characters, but cannot activate it.
  ///
  /// - Parameter job: the name of one run of a job, as the daemon makes it unique (`%j`): `nightly.2026-11-27_21.05.00_03`.
  public static func ofJob(_ job: String, volume: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in (job + "/" + volume).utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
    let digits = String(hash, radix: 16)
    let shown = job.utf8.prefix(40).map { isAllowed($0) ? Character(Unicode.Scalar($0)) : "_" }
    return prefix + String(shown) + "-" + String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// Returns true if Gluster accepts this as the name of a snapshot: 1 to 255 letters, digits, `-` and `_`.
  public static func isValid(_ name: String) -> Bool { 1...255 ~= name.utf8.count && name.utf8.allSatisfy(isAllowed) }

  private static func isAllowed(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
      UInt8(ascii: "-"), UInt8(ascii: "_"):
      true
    default: false
    }
  }
}
