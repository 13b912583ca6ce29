import DeltaFormat
import GfapiAttributes
import GfapiJob
import Glibc
import Gluster

/// The current entry of a restore: the one that the daemon's calls are about. It gathers what the daemon sends for the entry.
final class CurrentEntry {
  /// The size of the pieces in which a file is written, in bytes. A smaller file is written in one piece, when all its data have arrived.
  static let pieceSize = 4 << 20

  let entry: RestoreEntry
  let path: VolumePath
  let node: RestoreTree.Node
  /// The target of an entry that is not a directory; nil: the entry is a directory.
  let target: TargetEntry?
  var attributes = TargetAttributes()
  /// True if the entry could not be made or completed. A message has reported this.
  var hasFailed = false
  /// True if the entry is not restored completely. A message has reported this.
  var isIncomplete = false

  var isOpen = false
  var position = 0
  /// The end of the file, in bytes, including a hole at the end.
  var length = 0
  /// The end of the data that the daemon has sent, in bytes, without a hole at the end.
  var reach = 0
  /// The data gathered for the next piece.
  var data = SparseData()
  /// Makes the fingerprint of a whole file, on which a delta may build; nil: no delta can.
  var content: ContentDigest?
  /// Set if the entry is a delta.
  let delta: DeltaRestore?
  /// The pieces that have been started.
  var pieces: WriteBehind.Group?

  init(_ entry: RestoreEntry, _ path: VolumePath, in node: RestoreTree.Node, _ target: TargetEntry?) {
    (self.entry, self.path, self.node, self.target) = (entry, path, node, target)
    delta = entry.delta > 0 ? DeltaRestore() : nil
  }

  var isLink: Bool { entry.kind == .hardLink }

  // MARK: Data

  /// Takes data. Returns true if a whole piece is gathered.
  func take(_ bytes: UnsafeRawBufferPointer) -> Bool {
    if let known = content?.size {
      if known > position { content = nil }
      content?.addZeros(position - known)
      content?.add(bytes)
    }
    let expected = min(max(Int(entry.status.st_size) - position, 0), Self.pieceSize)
    data.append(bytes, at: position, isOver: position < reach, expected: expected)
    position += bytes.count
    reach = max(reach, position)
    length = max(length, position)
    return data.count >= Self.pieceSize
  }

  /// Sets the position of the next data. A range that is skipped is a hole.
  func seek(to offset: Int) {
    position = offset
    length = max(length, offset)
  }

  /// Takes data of a delta. Returns true if a whole piece is gathered.
  func take(_ bytes: UnsafeRawBufferPointer, ofDeltaAt offset: Int) -> Bool {
    data.append(bytes, at: offset, isOver: false, keepsZeros: true, expected: 0)
    return data.count >= Self.pieceSize
  }

  /// The fingerprint of the whole file, after all its data; nil: no delta can build on it.
  func fingerprint() -> [UInt8]? {
    if let known = content?.size { content?.addZeros(max(length - known, 0)) }
    return content?.end()
  }

  /// Returns the gathered data, and begins the next piece.
  func takeData() -> SparseData {
    defer { data = SparseData() }
    return data
  }

  // MARK: Attributes

  /// Takes the ACLs of the entry.
  ///
  /// - Parameter content: an ``ACLStream``, of any origin.
  /// - Returns: a message if the content is malformed.
  func setACLs(_ content: some Collection<UInt8>) -> JobMessage? {
    do {
      attributes.acls = try ACLStream.decode(content)
      return nil
    } catch {
      return JobMessage("GFD-079", "its ACL is not restored: the stream is malformed: \(error)")
    }
  }

  /// Takes extended attributes of the entry.
  ///
  /// - Parameter content: an ``AttributeStream``, of any origin.
  /// - Returns: a message for each problem of the content.
  func setExtendedAttributes(_ content: some Collection<UInt8>) -> [JobMessage] {
    do {
      return try AttributeStream.decode(content).compactMap { setExtendedAttribute($0.name, $0.value) }
    } catch {
      return [JobMessage("GFD-079", "its extended attributes are not restored: the stream is malformed: \(error)")]
    }
  }

  /// Takes an extended attribute of the entry.
  ///
  /// - Parameters:
  ///   - name: may end with a NUL.
  ///   - value: of any length.
  /// - Returns: a message if the name is malformed.
  func setExtendedAttribute(_ name: some Collection<UInt8>, _ value: some Collection<UInt8>) -> JobMessage? {
    let bare = Array(name.prefix { $0 != 0 })
    guard !bare.isEmpty, name.count - bare.count <= 1 else {
      return JobMessage("GFD-079", "an extended attribute is not restored: its name is malformed")
    }
    // Old backups may contain attributes that belong to the bricks of the volume that was backed up.
    if !AttributeRules.isBookkeeping(bare) { attributes.extendedAttributes.append(.init(name: bare, value: Array(value))) }
    return nil
  }
}
