import DeltaFormat
import GfapiJob
import Glibc
import Gluster

/// Takes the data of a delta, which changes a file that an earlier record of the same restore has made.
final class DeltaRestore {
  private var decoder = DeltaDecoder()
  /// nil: the header has not come.
  private(set) var header: DeltaHeader?

  /// Takes the next bytes.
  func take(_ bytes: UnsafeRawBufferPointer, _ handle: (DeltaDecoder.Event) throws -> Void) throws {
    do {
      try decoder.take(bytes) { event in
        if case .header(let found) = event { header = found }
        try handle(event)
      }
    } catch let malformed as DeltaDecoder.Malformed { throw Self.problem(malformed) }
  }

  /// Ends the data. Returns the fingerprint.
  func end() throws(RestoreProblem) -> [UInt8] {
    do { return try decoder.end() } catch { throw Self.problem(error) }
  }

  private static func problem(_ malformed: DeltaDecoder.Malformed) -> RestoreProblem {
    RestoreProblem("the delta in the backup is damaged: \(malformed)")
  }
}

/// The files of several shards that a restore has made, on which a delta may build, by their paths on the volume.
package struct RestoredImages {
  /// A file as a record of this restore has left it.
  struct Image {
    /// The number of the delta, 0 for a whole file.
    let number: Int
    let size: Int
    let fingerprint: [UInt8]
    /// The identity of the file on the volume.
    let identity: [UInt8]
  }

  enum State {
    case restored(Image)
    /// A replace rule has kept the file that was there.
    case skipped
    /// A record of the file could not be restored. A message has reported this.
    case failed
  }

  private var states: [VolumePath: State] = [:]

  package init() {}

  /// The smallest file that a delta can build on has more bytes than this, the smallest size of a shard.
  private static let smallestShard = 4 << 20

  /// Returns true if a delta of a later backup can build on an entry.
  static func concern(_ entry: RestoreEntry) -> Bool {
    entry.kind == .own && entry.status.isRegular && entry.status.st_size > smallestShard && entry.status.st_nlink <= 1
  }

  subscript(path: VolumePath) -> State? {
    get { states[path] }
    set { states[path] = newValue }
  }

  /// Returns the file that a delta changes.
  ///
  /// - Throws: ``RestoreProblem``, which names the job that is needed.
  func base(of header: DeltaHeader, at path: VolumePath) throws(RestoreProblem) -> Image {
    let needed = header.number == 1 ? "the whole file" : "delta \(header.number - 1)"
    func problem(_ reason: String) -> RestoreProblem {
      RestoreProblem("it is delta \(header.number) of the file, and builds on \(needed), of the job \(header.jobBefore): \(reason)")
    }
    switch states[path] {
    case .restored(let image):
      guard image.number == Int(header.number) - 1, image.size == header.sizeBefore, image.fingerprint == header.fingerprintBefore else {
        throw problem(
          "this restore has another state of the file (\(image.number == 0 ? "whole" : "delta \(image.number)"), \(image.size) bytes): restore that job as well, and none that is not needed"
        )
      }
      return image
    case .skipped:
      throw problem("the restore has kept the file that is there, which is older than this delta: restore with Replace = always")
    case .failed: throw problem("that could not be restored")
    case nil:
      throw problem(
        "this restore does not have it: restore that job as well; with Bareos, select the file in bconsole's tree, because file= and the WebUI take its last record alone"
      )
    }
  }
}

extension RestoreRun {
  /// Takes data of the current entry, which is a delta.
  func take(_ bytes: UnsafeRawBufferPointer, of delta: DeltaRestore, _ current: CurrentEntry) {
    guard let target = current.target else { return }
    do {
      try delta.take(bytes) { event in
        switch event {
        case .header(let header):
          let base = try images.base(of: header, at: current.path)
          try calls.run { try target.beginDelta(on: base.identity, before: header.sizeBefore, length: header.size) }
        case .data(let bytes, let offset): if current.take(bytes, ofDeltaAt: offset) { handOn(current) }
        case .hole(let count, let offset):
          start(current, cost: 0) { try target.writeZeros(count, at: offset) }
        }
        if current.hasFailed { throw WriteFailed() }
      }
    } catch is WriteFailed {
    } catch { fail(target, current, error) }
  }

  /// Ends the data of a delta. Returns its fingerprint; nil: it has failed.
  func end(_ delta: DeltaRestore, _ current: CurrentEntry) -> [UInt8]? {
    guard let target = current.target, !current.hasFailed else {
      current.target?.fail()
      return nil
    }
    do { return try delta.end() } catch {
      fail(target, current, error)
      return nil
    }
  }

  private func fail(_ target: TargetEntry, _ current: CurrentEntry, _ error: any Error) {
    failures.fail(current, withLeft(error, target, current))
    target.fail()
  }

  /// Keeps the file from looking whole, and adds to a problem what has become of it.
  private func withLeft(_ error: any Error, _ target: TargetEntry, _ current: CurrentEntry) -> any Error {
    guard !(error is JobCalls.Ended), case .restored = images[current.path] else { return error }
    let isChanging = target.identity != nil
    let words = isChanging ? target.consequence : (try? calls.run { target.setAside() }) ?? ""
    let text = (error as? RestoreProblem)?.cause == nil ? "\(error)" : nil
    return text.map { RestoreProblem("\($0): \(words)") } ?? RestoreProblem("a delta cannot be restored", error, words)
  }

  /// Keeps what later records of the path need to know.
  func keepImage(_ current: CurrentEntry, fingerprint: [UInt8]?, isRestored: Bool) {
    guard keepsImages else { return }
    guard RestoredImages.concern(current.entry) || current.delta != nil else {
      // An entry that no delta builds on has taken the place of one.
      images[current.path] = nil
      return
    }
    guard isRestored, let fingerprint, let identity = current.target?.identity else {
      images[current.path] = .failed
      return
    }
    images[current.path] = .restored(
      .init(
        number: current.entry.delta, size: current.delta?.header?.size ?? current.length, fingerprint: fingerprint, identity: identity))
  }

  /// Returns the reason why a delta is skipped; nil: it is to be restored, or its header tells why it cannot be.
  func reasonToSkip(_ entry: RestoreEntry, deltaAt path: VolumePath, existing: () throws -> stat?) throws -> String? {
    switch images[path] {
    case .restored, .failed: return nil
    case .skipped, nil: return entry.replace == .always ? nil : try existing().flatMap { entry.reasonToSkip(for: $0) }
    }
  }
}
