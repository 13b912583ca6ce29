import DeltaFormat
import GfapiDefinition
import Glibc
import Gluster
import SystemPackage

// An existing file that a delta changes in place.
extension TargetEntry {
  /// The identity of the entry on the volume, after it was made.
  var identity: [UInt8]? { state.withLock(\.made).flatMap { try? $0.object.identity() } }

  /// Marks the entry as failed.
  func fail() { state.withLock { $0.hasFailed = true } }

  /// The name of a file while a delta changes it, and afterwards if that fails.
  private var unfinishedName: [UInt8] {
    let end = Array(".gfapi-fd-incomplete".utf8)
    guard name.count + end.count > 255 else { return name + end }
    // Two long names may begin alike.
    let digest = Array(name.withUnsafeBytes { String(BlockDigests.digest($0), radix: 36) }.utf8)
    return name.prefix(254 - digest.count - end.count) + [UInt8(ascii: ".")] + digest + end
  }

  var isLeft: String { "the file is left as \(printable(unfinishedName))" }

  /// Prepares the existing file for a delta: gives it another name until the delta is complete, and sets its length.
  ///
  /// - Parameters:
  ///   - identity: the identity of the file that the delta builds on.
  ///   - before: its length, in bytes.
  ///   - length: the length with the delta.
  func beginDelta(on identity: [UInt8], before: Int, length: Int) throws {
    try state.withLock { state in
      let made = try directory.onWhole { above in
        let found = try above.lookUp(name)
        guard try found.status.isRegular && found.object.identity() == identity else {
          throw RestoreProblem("another entry has taken the place of the file that this restore has made")
        }
        guard found.status.st_size == before else {
          throw RestoreProblem("the file has \(found.status.st_size) bytes, and not the \(before) that this restore has written")
        }
        let file = WrittenFile(try found.object.openForWriting())
        try above.rename(name, to: unfinishedName)
        return Made(object: found.object, file: file, inheritsACL: true, temporary: unfinishedName, isChanged: true)
      }
      state.made = made
      if length != before { try state.made?.file?.truncate(to: length) }
    }
  }

  /// Makes ranges of the file holes, or writes zeros where the volume has no holes.
  func writeZeros(_ count: Int, at offset: Int) throws {
    guard let file = state.withLock({ $0.hasFailed ? nil : $0.made?.file }) else { return }
    do {
      try file.writeZeros(count, at: offset)
    } catch {
      fail()
      throw RestoreProblem("cannot make a hole at offset \(offset)", error, consequence)
    }
  }

  /// Gives a file that an earlier record of the restore has made another name, because a later record of it cannot be restored.
  ///
  /// - Returns: what was done, in words.
  func setAside() -> String {
    do { try directory.onWhole { try $0.rename(name, to: unfinishedName) } } catch {
      return "the file is there as an earlier backup has it"
    }
    return isLeft
  }
}
