import Glibc
import Gluster
import SystemPackage

/// Stores the parts of a storage daemon's volumes on a Gluster volume.
///
/// The base directory contains a folder for each of the daemon's volumes, and the folder contains a file for each part. ``StoredName``
/// defines the names of folders and files.
///
/// A part that is being uploaded has the name `.PART.upload-` followed by 16 hexadecimal digits. Gluster's distributing translator places a
/// file of this form of name as if the name were `PART`, so the rename at the end moves nothing. A file that a killed upload has left is
/// removed when its folder is listed an hour later.
public struct PartStore {
  /// A part and its size in bytes.
  public typealias Part = (name: StoredName, size: Int)

  /// Seconds after its last change from which an unfinished upload counts as abandoned.
  public static let abandonedAfter = 3600

  /// Number of bytes that one call reads or writes: the maximum that Gluster takes from its pools of memory.
  public static let pieceSize = 1 << 20
  private static let folderMode: mode_t = 0o750
  private static let fileMode: mode_t = 0o640

  private let volume: Volume
  private let base: Object
  private let willCall: (StaticString) -> Void

  /// - Parameters:
  ///   - volume: connection to the volume. The parts are in the directory of its URI.
  ///   - willCall: called before each call on the volume with the purpose of the call, worded as in "no answer while …".
  /// - Throws: ``StoreError``.
  public init(_ volume: Volume, willCall: @escaping (StaticString) -> Void = { _ in }) throws {
    (self.volume, self.willCall) = (volume, willCall)
    let place = String(decoding: volume.uri.directory.bytes, as: UTF8.self)
    willCall("looking for the base directory")
    let found = try attempt("cannot look for the base directory \(place)") {
      try ifThere { try volume.lookUp(volume.uri.directory) }
    }
    guard let found else {
      throw try Self.missing(
        .failed, "the base directory \(place) is not on the volume: make it, and give it to the storage daemon's user", volume)
    }
    guard found.status.type == S_IFDIR else { throw StoreError(.failed, "the base directory \(place) is no directory") }
    base = found.object
  }

  /// Checks that parts can be stored: the whole volume can be reached, and a file can be created, written, renamed and removed in the base
  /// directory.
  public func check() throws {
    willCall("asking for permission")
    try attempt("not all of the volume can be reached") { _ = try Distribution(volume)?.check() }
    try attempt("cannot read and write the base directory") { try base.checkAccess(R_OK | W_OK | X_OK) }
    willCall("trying to store something")
    try attempt("cannot store a file in the base directory") {
      do {
        let created = try base.createFile(Self.trial, mode: Self.fileMode)
        try [UInt8(ascii: "x")].withUnsafeBytes { try created.file.write($0, at: 0) }
        try created.file.synchronize()
      } catch let error as GlusterError where error.errno == .fileExists {
        // Another check has created the file, or an earlier one could not remove it because the volume does not allow that.
      }
    }
    try tryRenaming()
  }

  /// The file that ``check()`` creates. On a volume that does not allow renaming or removing files it stays, and prevents uploads from
  /// starting.
  private static let trial = Array(".testconnection".utf8)
  private static let renamedTrial = trial + Array(".renamed".utf8)

  private func tryRenaming() throws {
    willCall("trying to rename something")
    try attempt("cannot rename and remove a file in the base directory") {
      // Another process may rename or remove the file at the same time.
      _ = try ifThere { try base.rename(Self.trial, to: Self.renamedTrial) }
      _ = try ifThere { try base.remove(Self.renamedTrial) }
    }
  }

  // MARK: Reading

  /// The parts of a volume; none if there is no such volume. This function also removes files that killed uploads have left.
  public func parts(of name: StoredName) throws -> [Part] {
    try Self.check(name)
    var parts: [Part] = []
    var abandoned: [[UInt8]] = []
    willCall("listing the parts")
    let folder = try attempt("cannot list the parts") {
      let distribution = Distribution(volume)
      let before = try distribution?.check()
      let folder = try self.folder(name)
      if let folder {
        // Not all volumes report correct sizes in a listing.
        let listingsTellSizes = VolumeTraits(volume).listingsTellSizes
        let directory = try folder.openDirectory()
        while let entry = try directory.next() {
          willCall("listing the parts")
          // A file with a blank in its name cannot be printed in a list, and is not a part: `upload` refuses such names.
          let part = StoredName(stored: entry.name).flatMap { $0.name.contains { $0 <= 0x20 } ? nil : $0 }
          guard part != nil || UploadName.matches(entry.name) else { continue }
          var status = entry.found?.status
          if status == nil || part != nil && !listingsTellSizes {
            status = try ifThere { try folder.lookUp(entry.name).status }
          }
          guard let status, status.type == S_IFREG else { continue }
          if let part {
            parts.append((part, Int(status.st_size)))
          } else if status.st_mtim.tv_sec < time(nil) - Self.abandonedAfter {
            abandoned.append(entry.name)
          }
        }
      }
      // A listing leaves out the entries of an unreachable subvolume, without an error.
      if let before { try distribution?.check(since: before) }
      return folder
    }
    for name in abandoned {
      willCall("removing what a killed upload has left")
      try? folder?.remove(name)
    }
    return parts
  }

  /// The size of a part in bytes.
  public func size(of part: StoredName, in name: StoredName) throws -> Int {
    Int(try find(part, in: name).status.st_size)
  }

  /// Reads a part.
  ///
  /// - Parameter write: called with the data, in order.
  public func download(
    _ part: StoredName, of name: StoredName, write: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    let found = try find(part, in: name)
    let length = Int(found.status.st_size)
    willCall("opening the part")
    let file = try attempt("cannot open it") { try found.object.openForReading() }
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceSize, alignment: 4096)
    defer { piece.deallocate() }
    var offset = 0
    while offset < length {
      willCall("reading the part")
      let count = try attempt("cannot read at offset \(offset)") { try file.read(into: piece, at: offset) }
      guard count > 0 else { throw StoreError(.failed, "it ends after \(offset) of \(length) bytes") }
      try write(UnsafeRawBufferPointer(rebasing: piece[..<count]))
      offset += count
    }
  }

  // MARK: Writing

  /// Stores a part, and replaces an existing one. The part gets its name in one step, after all its data is on the bricks' disks.
  ///
  /// - Parameters:
  ///   - read: puts the next data at the front of a buffer and returns the number of bytes; 0 at the end of the data.
  ///   - isWhole: called at the end of the data. Returns true if the data is complete.
  public func upload(
    _ part: StoredName, of name: StoredName, read: (UnsafeMutableRawBufferPointer) throws -> Int, isWhole: () -> Bool
  ) throws {
    try Self.check(name)
    // A list of parts separates name and size by a blank.
    guard !part.name.contains(where: { $0 <= 0x20 }) else { throw StoreError(.badName, "a part's name has no blanks") }
    let temporary = UploadName.make(for: part)
    try Self.check(part, stored: temporary)
    willCall("creating the part")
    if try attempt("cannot look into the base directory", { try ifThere { try base.lookUp(Self.trial) } }) != nil { try tryRenaming() }
    let folder = try attempt("cannot make the volume's folder") { try self.folder(name) ?? makeFolder(name) }
    let created = try attempt("cannot create it") { try folder.createFile(temporary, mode: Self.fileMode) }
    var isInPlace = false
    do {
      let length = try copy(to: created.file, read)
      guard isWhole() else { throw StoreError(.cutOff, "the process that sends it has ended after \(length) bytes") }
      willCall("writing to the bricks' disks")
      try attempt("cannot write all of it") { try created.file.synchronize() }
      let stored = try attempt("cannot see its size") { Int(try created.file.status().st_size) }
      guard stored == length else { throw StoreError(.failed, "\(stored) of \(length) bytes are on the volume") }
      willCall("putting the part in its place")
      try attempt("cannot put it in its place") { try folder.rename(temporary, to: part.stored) }
      isInPlace = true
      // Syncing the file again also brings the rename to the disks, because the rename has changed the file's times.
      try attempt("cannot keep it in its place") { try created.file.synchronize() }
    } catch {
      willCall("removing what is incomplete")
      if !isInPlace { remove(temporary, from: folder) }
      throw error
    }
  }

  /// Removes an incomplete file. If the volume refuses that, the trial file is created, which cannot be removed either. It prevents the
  /// next upload from starting: that upload would leave another incomplete file.
  private func remove(_ temporary: [UInt8], from folder: Object) {
    do { try folder.remove(temporary) } catch {
      if error.errno == .readOnlyFileSystem { _ = try? base.createFile(Self.trial, mode: Self.fileMode) }
    }
  }

  /// Removes a part.
  public func remove(_ part: StoredName, of name: StoredName) throws {
    // This look-up also makes sure that only a part is removed.
    let folder = try find(part, in: name).folder
    willCall("removing the part")
    let removed: Void? = try attempt("cannot remove it") { try ifThere { try folder.remove(part.stored) } }
    if removed == nil { throw try Self.missing(.missing, "no such part", volume) }
  }

  // MARK: Names

  private static func check(_ name: StoredName, stored: [UInt8]? = nil) throws {
    guard !name.name.isEmpty else { throw StoreError(.badName, "an empty name") }
    let excess = (stored ?? name.stored).count - 255
    guard excess <= 0 else { throw StoreError(.badName, "\(name): too long for a name on a volume by \(excess) bytes") }
  }

  // MARK: Calls

  private func folder(_ name: StoredName) throws -> Object? {
    guard let found = try ifThere({ try base.lookUp(name.stored) }) else { return nil }
    guard found.status.type == S_IFDIR else {
      throw StoreError(.failed, "an entry with the volume's name in the base directory is not a directory")
    }
    return found.object
  }

  private func makeFolder(_ name: StoredName) throws(GlusterError) -> Object {
    do {
      return try base.createDirectory(name.stored, mode: Self.folderMode).object
    } catch let error where error.errno == .fileExists {
      // Another upload has just created the folder.
      return try base.lookUp(name.stored).object
    }
  }

  private func find(
    _ part: StoredName, in name: StoredName
  ) throws -> (folder: Object, object: Object, status: stat) {
    try Self.check(name)
    try Self.check(part)
    willCall("looking for the part")
    let folder = try attempt("cannot look for it") { try self.folder(name) }
    let found = try attempt("cannot look for it") { try ifThere { try folder?.lookUp(part.stored) } }
    guard let folder, let found = found ?? nil else { throw try Self.missing(.missing, "no such part", volume) }
    guard found.status.type == S_IFREG else { throw StoreError(.failed, "an entry with its name is not a regular file") }
    return (folder, found.object, found.status)
  }

  /// Copies all data to a file. Returns the number of bytes.
  private func copy(to file: borrowing File, _ read: (UnsafeMutableRawBufferPointer) throws -> Int) throws -> Int {
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceSize, alignment: 4096)
    defer { piece.deallocate() }
    var length = 0
    while true {
      var filled = 0
      while filled < piece.count {
        let count = try read(UnsafeMutableRawBufferPointer(rebasing: piece[filled...]))
        if count == 0 { break }
        filled += count
      }
      willCall("writing the part")
      try attempt("cannot write at offset \(length)") {
        try file.write(UnsafeRawBufferPointer(rebasing: piece[..<filled]), at: length)
      }
      length += filled
      if filled < piece.count { return length }
    }
  }

  /// The error for an entry that a look-up did not find. Throws instead if a subvolume is unreachable, because the entry may be on that
  /// subvolume.
  private static func missing(_ kind: StoreError.Kind, _ words: String, _ volume: Volume) throws -> StoreError {
    try attempt("cannot look for it") { _ = try Distribution(volume)?.check() }
    return StoreError(kind, words)
  }
}

/// Makes a call. Returns nil if there is no such entry.
private func ifThere<T>(_ call: () throws -> T) throws -> T? {
  do {
    return try call()
  } catch let error as GlusterError where error.meansMissing {
    return nil
  }
}

/// Makes calls on the volume. `action` is added to the error of a call that fails.
private func attempt<T: ~Copyable>(_ action: String, _ body: () throws -> T) throws -> T {
  do {
    return try body()
  } catch let error as GlusterError {
    throw StoreError(error, action)
  }
}
