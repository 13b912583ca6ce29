import GfapiAttributes
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import Locks
import SystemPackage
import struct Synchronization.Atomic

/// A directory on the volume that entries are restored into. It is looked up, or made, when the first entry needs it. No symbolic link
/// in its path is followed. Its methods can be called by several threads at once.
///
/// The record of a directory usually comes after the directory's content. In a restore of several backups, entries of later backups come
/// after that record and change the directory's times. ``settle()`` then sets the times again.
package final class TargetDirectory: Sendable {
  /// What a restore knows of all its directories, by inode number.
  struct Known {
    /// Directories that this restore has made and whose own record has not come yet. They replace nothing of the user.
    var made: Set<ino_t> = []
    /// Directories whose own record has come.
    var restored: Set<ino_t> = []
  }

  let path: VolumePath
  private let parent: TargetDirectory?
  let volume: Volume
  private let known: KnownDirectories
  private let state = Mutex(State())

  /// The data that all directories of a restore share.
  final class KnownDirectories: Sendable {
    let state = Mutex(Known())
    /// nil: the volume is not distributed.
    let distribution: Distribution?
    /// Incomplete files that are to replace existing ones: their temporary names, and the directories that they are in.
    let replacements = Mutex<[[UInt8]: TargetDirectory]>([:])
    /// True if the volume does not allow renaming or removing files (`features.worm`).
    let keepsAll = Atomic(false)
    init(_ distribution: Distribution?) { self.distribution = distribution }
  }

  private struct State {
    var object: Object?
    /// The last state, before this directory was looked up, in which all subvolumes were reachable; nil: the volume is not distributed.
    var lookedUp: Distribution.State?
    var lookedUpAt = ContinuousClock.now
    var number: ino_t = 0
    var isMade = false
    /// True if it was made for root only, and has got no other mode yet.
    var isClosed = false
    /// The times in the directory's own record, if that has come.
    var times: stat?
    var passesACLOn: Bool?
  }

  /// Creates the object for the volume's root. Waits for unreachable subvolumes.
  ///
  /// - Parameter restored: inode numbers of the directories whose own records an earlier restore of the job has restored.
  package init(rootOf volume: Volume, restored: Set<ino_t> = []) throws {
    let distribution = Distribution(volume)
    _ = try distribution?.waitUntilWhole()
    (path, parent, self.volume, known) = (.root, nil, volume, KnownDirectories(distribution))
    known.state.withLock { $0.restored = restored }
  }

  /// Inode numbers of the directories whose own records have been restored, anywhere in the restore.
  var restoredDirectories: Set<ino_t> { known.state.withLock(\.restored) }

  private init(_ name: [UInt8], in parent: TargetDirectory) {
    (path, self.parent, volume, known) = (parent.path.appending(name), parent, parent.volume, parent.known)
  }

  /// Returns the directory `name` in this one, without a call on the volume.
  func directory(_ name: [UInt8]) -> TargetDirectory { TargetDirectory(name, in: self) }

  /// The path, for messages.
  private var shown: String { printable(path.bytes) }

  // MARK: Finding

  /// Returns the directory's handle. Makes the directory, and missing parents, if necessary.
  ///
  /// - Parameters:
  ///   - isEntry: true if the directory itself is to be restored, not only an entry in it.
  /// - Throws: ``RestoreProblem``, ``GlusterError``.
  @discardableResult package func open(isEntry: Bool = false) throws -> Object {
    try state.withLock { state in
      if let object = state.object { return object }
      (state.lookedUp, state.lookedUpAt) = (known.distribution?.lastWhole, .now)
      let found = try findOrMake(isEntry, &state)
      (state.object, state.number) = (found.object, found.status.st_ino)
      known.state.withLock { known in
        if state.isMade { known.made.insert(state.number) } else { state.isMade = known.made.contains(state.number) }
        if known.restored.contains(state.number) { state.times = found.status }
      }
      return found.object
    }
  }

  /// Runs `body` with the directory's handle, and repeats it if a subvolume of a distributed volume was unreachable.
  ///
  /// If `body` fails and a subvolume was unreachable since the directory was looked up, this method waits until all subvolumes are back,
  /// looks the directory up again, and repeats `body`.
  ///
  /// - Parameters:
  ///   - isOnAll: true if `body` changes all subvolumes. An unreachable subvolume does not get such a change, even if `body` succeeds, so
  ///     `body` is then repeated after a success as well.
  ///   - body: may be called several times, with different handles.
  func onWhole<T>(isOnAll: Bool = false, _ body: (Object) throws -> T) throws -> T {
    guard let distribution = known.distribution else { return try body(open()) }
    for attempt in 1... {
      var since = distribution.lastWhole
      var isStale = false
      let result = Result {
        _ = try open()
        let (object, lookedUp, at) = state.withLock { ($0.object!, $0.lookedUp, $0.lookedUpAt) }
        since = lookedUp ?? since
        isStale = distribution.hasJustComeBack(at, within: Self.memory)
        return try body(object)
      }
      if case .success(let value) = result, !isOnAll { return value }
      let isSettled = distribution.isWhole(since: since) && !isStale
      // After an outage a directory may refuse entries for some seconds more, though all subvolumes answer again (EIO, seen once in 20 runs).
      let isOver = isSettled && (attempt == 1 || (try? result.get()) != nil)
      if attempt == Self.attempts || isOver { return try result.get() }
      _ = try distribution.waitUntilWhole()
      if attempt > 1 || isStale { usleep(Self.pause) }
      try lookUpAgain()
    }
    fatalError("there is a last attempt")
  }

  /// The maximum number of times that ``onWhole(isOnAll:_:)`` runs its body.
  private static let attempts = 5
  /// How long a client answers from what it knew of a directory. A look-up within this time after a subvolume has come back also returns
  /// old data.
  private static let memory = Duration.seconds(1)
  /// The pause before another attempt, in microseconds: longer than ``memory``.
  private static let pause: UInt32 = 1_100_000

  private func lookUpAgain() throws {
    try state.withLock { state in
      guard state.object != nil else { return }
      (state.lookedUp, state.lookedUpAt) = (known.distribution?.lastWhole, .now)
      state.object = try parent.map { try $0.open().lookUp(path.name).object } ?? volume.root().object
    }
  }

  private func findOrMake(_ isEntry: Bool, _ state: inout State) throws -> (object: Object, status: stat) {
    guard let parent else { return try volume.root() }
    return try parent.onWhole { try findOrMake(Array(path.name), in: $0, isEntry, &state) }
  }

  private func findOrMake(
    _ name: [UInt8], in above: Object, _ isEntry: Bool, _ state: inout State
  ) throws -> (object: Object, status: stat) {
    do {
      let found = try above.lookUp(name)
      if found.status.isDirectory { return found }
      if isEntry {
        throw RestoreProblem("something that is no directory has its name: move it away first")
      }
      throw RestoreProblem(
        found.status.isSymbolicLink ? "\(shown) is a symbolic link: none is followed on restore" : "\(shown) is not a directory")
    } catch let error as GlusterError where error.errno == .noSuchFileOrDirectory {
      do {
        // Only root may enter the directory until its own record comes, or until it is left without one. Where the directory above has a
        // default ACL, it decides who may enter, as it does for `mkdir`.
        let inherits = try !isEntry && parent?.passesACLOn() ?? false
        let made = try above.createDirectory(name, mode: inherits ? 0o777 : 0o700)
        state.isMade = true
        state.isClosed = !inherits
        return made
      } catch let error as GlusterError where !isEntry {
        throw RestoreProblem("cannot make the directory \(shown)", error)
      }
    } catch let error as GlusterError where !isEntry {
      throw RestoreProblem(shown, error)
    }
  }

  /// Returns the entry that exists at this path; nil: there is none, or only a directory that this restore has made and whose own record
  /// has not come yet.
  func existing() throws -> stat? {
    // The lock keeps another thread from making the directory meanwhile.
    try state.withLock { state in
      guard let parent else { return try volume.root().status }
      guard !state.isMade, let found = try parent.existing(Array(path.name)) else { return nil }
      return found.isDirectory && known.state.withLock { $0.made.contains(found.st_ino) } ? nil : found
    }
  }

  /// Returns the entry `name` in this directory; nil if there is none.
  func existing(_ name: [UInt8]) throws -> stat? {
    do { return try onWhole { try $0.lookUp(name).status } } catch let error as GlusterError
      where error.errno == .noSuchFileOrDirectory
    { return nil }
  }

  /// Looks up the entry at any path of the volume.
  func lookUpOnVolume(_ path: VolumePath) throws(GlusterError) -> (object: Object, status: stat) {
    func lookUp() throws(GlusterError) -> (object: Object, status: stat) { try volume.lookUp(path) }
    guard let distribution = known.distribution else { return try lookUp() }
    return try distribution.sure(lookUp)
  }

  /// Returns true if new entries in this directory inherit an ACL.
  func passesACLOn() throws -> Bool {
    let object = try open()
    return state.withLock { state in
      if let known = state.passesACLOn { return known }
      let has = ((try? object.extendedAttribute(ACLStream.defaultName)) ?? nil) != nil
      state.passesACLOn = has
      return has
    }
  }

  // MARK: Replacing

  /// Returns a temporary name for an entry that is to replace the entry `name` when it is complete: `.NAME.gfapi-fd-NUMBER`.
  ///
  /// A distributed volume stores this name in the same place as NAME (`cluster.rsync-hash-regex`). The name is remembered until
  /// ``replaced(_:)`` is called.
  func replacement(for name: [UInt8]) -> [UInt8] {
    let end = Array(".gfapi-fd-\(String(UInt64.random(in: 0 ..< .max), radix: 36))".utf8)
    // A name can have 255 bytes.
    let temporary = [UInt8(ascii: ".")] + name.prefix(254 - end.count) + end
    known.replacements.withLock { $0[temporary] = self }
    return temporary
  }

  /// True if the volume does not allow replacing files. New files that were to replace others then keep their temporary names.
  var keepsAll: Bool {
    get { known.keepsAll.load(ordering: .relaxed) }
    set { known.keepsAll.store(newValue, ordering: .relaxed) }
  }

  /// Forgets a temporary name, after the file was renamed or removed.
  func replaced(_ temporary: [UInt8]) { known.replacements.withLock { $0[temporary] = nil } }

  /// True if ``removeReplacements()`` has something to do.
  var hasReplacements: Bool { known.replacements.withLock { !$0.isEmpty } }

  /// Removes the incomplete files that were to replace others, anywhere in the restore.
  func removeReplacements() {
    let left = known.replacements.withLock { replacements in
      defer { replacements = [:] }
      return replacements
    }
    for (name, directory) in left { _ = try? directory.open().remove(name) }
  }

  // MARK: Restoring

  /// Applies the directory's own record. All entries in the directory have been restored before.
  ///
  /// - Returns: a message for each attribute that the volume refused.
  func restore(_ attributes: TargetAttributes) throws -> [JobMessage] {
    _ = try open(isEntry: true)
    let isMade = state.withLock(\.isMade)
    let inherits = try isMade && parent?.passesACLOn() ?? false
    let problems = try onWhole(isOnAll: true) { try attributes.apply(to: $0, inheritsACL: inherits) }
    state.withLock { state in
      (state.isMade, state.isClosed, state.passesACLOn) = (false, false, nil)
      if let status = attributes.status { state.times = status }
      let number = state.number
      known.state.withLock { known in
        known.made.remove(number)
        if attributes.status != nil { known.restored.insert(number) }
      }
    }
    return problems
  }

  /// The mode of a directory whose own record is not restored.
  private static let ordinaryMode: mode_t = 0o755

  /// Completes the directory after entries in it were made or removed: sets the times of its own record again, if that record has come.
  /// Otherwise sets the mode of a directory that was made here.
  ///
  /// - Throws: ``RestoreProblem``.
  func settle() throws {
    let (isOpen, isClosed, times) = state.withLock { ($0.object != nil, $0.isClosed, $0.times) }
    if isClosed {
      var status = stat()
      status.st_mode = S_IFDIR | Self.ordinaryMode
      do { try onWhole(isOnAll: true) { [status] in try $0.setAttributes(status, .mode) } } catch {
        throw RestoreProblem("cannot set the mode \(String(Self.ordinaryMode, radix: 8)) of the directory", error)
      }
      state.withLock { $0.isClosed = false }
    }
    guard isOpen, let times else { return }
    do { try onWhole(isOnAll: true) { try $0.setAttributes(times, .times) } } catch {
      throw RestoreProblem("cannot set the times again after later entries", error)
    }
  }
}
