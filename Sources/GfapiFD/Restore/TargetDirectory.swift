import Glibc
import Gluster
import Locks
import SystemPackage
import struct Synchronization.Atomic

/// A directory that entries are restored into, on the volume's side. It is found, or made, when the first of them needs it;
/// no symbolic link is followed on the way. Its calls may be made side by side.
///
/// A directory's record comes after its content, but in a restore of several backups what the later ones have in it comes
/// after that record: then it gets its times back by ``settle()``.
final class TargetDirectory: Sendable {
  /// What a restore knows of all directories, by inode number.
  struct Known {
    /// Made here, and their own record has not come yet: nothing of the user is in their place.
    var made: Set<ino_t> = []
    /// Their own record has come.
    var restored: Set<ino_t> = []
  }

  /// Components.
  let path: [[UInt8]]
  private let parent: TargetDirectory?
  let volume: Volume
  private let known: KnownDirectories
  private let state = Mutex(State())

  /// `Known`, for all directories of a restore.
  final class KnownDirectories: Sendable {
    let state = Mutex(Known())
    /// Nil: the volume is not distributed.
    let distribution: Distribution?
    /// Files that are to take the place of others, and are not complete yet: their directories and present names.
    let replacements = Mutex<[[UInt8]: TargetDirectory]>([:])
    /// The volume lets nothing be renamed or removed (`features.worm`).
    let keepsAll = Atomic(false)
    init(_ distribution: Distribution?) { self.distribution = distribution }
  }

  private struct State {
    var object: Object?
    /// When all subvolumes were there, the last time before it was looked up; nil: the volume is not distributed.
    var lookedUp: Distribution.State?
    var lookedUpAt = ContinuousClock.now
    var number: ino_t = 0
    var isMade = false
    /// Its own record's, if that has come.
    var times: stat?
    var passesACLOn: Bool?
  }

  /// The volume's root. Waits for a subvolume that is away.
  ///
  /// - Parameter restored: directories whose own records an earlier restore of the job has restored, by inode.
  init(rootOf volume: Volume, restored: Set<ino_t> = []) throws {
    let distribution = Distribution(volume)
    _ = try distribution?.waitUntilWhole()
    (path, parent, self.volume, known) = ([], nil, volume, KnownDirectories(distribution))
    known.state.withLock { $0.restored = restored }
  }

  /// The directories whose own records have been restored, anywhere in the restore.
  var restoredDirectories: Set<ino_t> { known.state.withLock(\.restored) }

  private init(_ name: [UInt8], in parent: TargetDirectory) {
    (path, self.parent, volume, known) = (parent.path + [name], parent, parent.volume, parent.known)
  }

  /// The directory `name` in this one. Nothing is asked of the volume.
  func directory(_ name: [UInt8]) -> TargetDirectory { TargetDirectory(name, in: self) }

  /// For messages.
  private var shown: String { "/" + path.map(printable).joined(separator: "/") }

  // MARK: Finding

  /// Its handle. What is missing is made.
  ///
  /// - Parameters:
  ///   - mode: if it is made.
  ///   - isEntry: it is to be restored itself, not only something in it.
  /// - Throws: ``RestoreProblem``, ``GlusterError``.
  func open(mode: mode_t = 0o755, isEntry: Bool = false) throws -> Object {
    try state.withLock { state in
      if let object = state.object { return object }
      (state.lookedUp, state.lookedUpAt) = (known.distribution?.lastWhole, .now)
      let found = try findOrMake(mode, isEntry, &state)
      (state.object, state.number) = (found.object, found.status.st_ino)
      known.state.withLock { known in
        if state.isMade { known.made.insert(state.number) } else { state.isMade = known.made.contains(state.number) }
        if known.restored.contains(state.number) { state.times = found.status }
      }
      return found.object
    }
  }

  /// Does something in this directory, or with it. If it fails and a subvolume of a distributed volume was away since the directory
  /// was looked up, it is looked up and done again when all are back.
  ///
  /// - Parameters:
  ///   - isOnAll: it is done on all subvolumes: one that was away has nothing of it, whatever the answer.
  ///   - body: may be done several times, on another handle.
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
      if attempt == Self.attempts || (distribution.isWhole(since: since) && !isStale) { return try result.get() }
      _ = try distribution.waitUntilWhole()
      if attempt > 1 || isStale { usleep(Self.pause) }
      try lookUpAgain()
    }
    fatalError("there is a last attempt")
  }

  /// How often something is done, and how long after a second failure, in microseconds: a client answers for a second from what it
  /// knew of a directory. So does a look-up in the second after a subvolume has come back.
  private static let attempts = 5
  private static let memory = Duration.seconds(1)
  private static let pause: UInt32 = 1_100_000

  private func lookUpAgain() throws {
    try state.withLock { state in
      guard state.object != nil else { return }
      (state.lookedUp, state.lookedUpAt) = (known.distribution?.lastWhole, .now)
      state.object = try path.last.map { try parent!.open().lookUp($0).object } ?? volume.root().object
    }
  }

  private func findOrMake(_ mode: mode_t, _ isEntry: Bool, _ state: inout State) throws -> (object: Object, status: stat) {
    guard let parent, let name = path.last else { return try volume.root() }
    return try parent.onWhole { try findOrMake(name, in: $0, mode, isEntry, &state) }
  }

  private func findOrMake(
    _ name: [UInt8], in above: Object, _ mode: mode_t, _ isEntry: Bool, _ state: inout State
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
        let made = try above.createDirectory(name, mode: mode)
        state.isMade = true
        return made
      } catch let error as GlusterError where !isEntry {
        throw RestoreProblem("cannot make the directory \(shown)", error)
      }
    } catch let error as GlusterError where !isEntry {
      throw RestoreProblem(shown, error)
    }
  }

  /// What stands in its place and was not made here, or its record has come; nil: nothing.
  func existing() throws -> stat? {
    // Not while it is being made.
    try state.withLock { state in
      guard let parent, let name = path.last else { return try volume.root().status }
      guard !state.isMade, let found = try parent.existing(name) else { return nil }
      return found.isDirectory && known.state.withLock { $0.made.contains(found.st_ino) } ? nil : found
    }
  }

  /// The entry `name` in it; nil if there is none.
  func existing(_ name: [UInt8]) throws -> stat? {
    do { return try onWhole { try $0.lookUp(name).status } } catch let error as GlusterError
      where error.errno == .noSuchFileOrDirectory
    { return nil }
  }

  /// The entry at another path of the volume.
  ///
  /// - Parameter path: components.
  func lookUpOnVolume(_ path: [[UInt8]]) throws -> (object: Object, status: stat) {
    func lookUp() throws -> (object: Object, status: stat) { try volume.lookUp(absolute(path)) }
    return try known.distribution?.sure(lookUp) ?? lookUp()
  }

  /// Whether what is created in it inherits an ACL.
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

  /// A name for what is to take the place of the entry `name` when it is complete: `.NAME.gfapi-fd-NUMBER`, which a distributed volume
  /// puts beside NAME (`cluster.rsync-hash-regex`). Kept until ``replaced(_:)``.
  func replacement(for name: [UInt8]) -> [UInt8] {
    let end = Array(".gfapi-fd-\(String(UInt64.random(in: 0 ..< .max), radix: 36))".utf8)
    // A name has 255 bytes at most.
    let temporary = [UInt8(ascii: ".")] + name.prefix(254 - end.count) + end
    known.replacements.withLock { $0[temporary] = self }
    return temporary
  }

  /// Whether the volume lets nothing be replaced, and new files that should replace others stay where they are.
  var keepsAll: Bool {
    get { known.keepsAll.load(ordering: .relaxed) }
    set { known.keepsAll.store(newValue, ordering: .relaxed) }
  }

  func replaced(_ temporary: [UInt8]) { known.replacements.withLock { $0[temporary] = nil } }

  /// Whether there is something for ``removeReplacements()`` to do.
  var hasReplacements: Bool { known.replacements.withLock { !$0.isEmpty } }

  /// Takes away what has not become complete, anywhere in the restore.
  func removeReplacements() {
    let left = known.replacements.withLock { replacements in
      defer { replacements = [:] }
      return replacements
    }
    for (name, directory) in left { _ = try? directory.open().remove(name) }
  }

  // MARK: Restoring

  /// Gives it what its own record says. All that is in it has been restored.
  ///
  /// - Returns: what the volume refused, in words.
  func restore(_ attributes: TargetAttributes) throws -> [String] {
    _ = try open(mode: 0o700, isEntry: true)
    let isMade = state.withLock(\.isMade)
    let inherits = try isMade && parent?.passesACLOn() ?? false
    let problems = try onWhole(isOnAll: true) { try attributes.apply(to: $0, inheritsACL: inherits) }
    state.withLock { state in
      (state.isMade, state.passesACLOn) = (false, nil)
      if let status = attributes.status { state.times = status }
      let number = state.number
      known.state.withLock { known in
        known.made.remove(number)
        if attributes.status != nil { known.restored.insert(number) }
      }
    }
    return problems
  }

  /// Sets the times of its own record, if that has come, again: after entries in it were made or taken away.
  ///
  /// - Throws: ``RestoreProblem``.
  func settle() throws {
    let (isOpen, times) = state.withLock { ($0.object != nil, $0.times) }
    guard isOpen, let times else { return }
    do { try onWhole(isOnAll: true) { try $0.setAttributes(times, .times) } } catch {
      throw RestoreProblem("cannot set the times again after later entries", asGlusterError(error))
    }
  }
}
