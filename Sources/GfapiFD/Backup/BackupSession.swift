import Glibc
import Gluster
import SystemPackage

/// The volume's side of a backup: lives on the job's ``VolumeThread``.
package final class BackupSession {
  /// What of an entry the FileSet wants.
  package struct Wanted: Sendable {
    package var acls = false
    package var extendedAttributes = false
    /// Open files so that reading does not change the access time.
    package var withoutAccessTime = false
    /// Set the access time back after reading.
    package var keepsAccessTime = false
    /// The most that the daemon takes of one entry's extended attributes, in bytes; nil: all.
    package var extendedAttributeLimit: Int? = BackupSession.bareosLimit
  }

  /// What belongs to an entry beside its record.
  package struct Details: Sendable {
    package var linkTarget: [UInt8] = []
    /// First piece of a regular file's data.
    package var firstPiece: FileReader.Piece?
    /// Content of the ACL stream; empty: none.
    package var acls: [UInt8] = []
    package var extendedAttributes: [ExtendedAttribute] = []
    /// What could not be read of it, in words.
    package var problems: [String] = []
  }

  package struct ExtendedAttribute: Sendable {
    package let name: [UInt8]
    package let value: [UInt8]
  }

  /// The most that Bareos takes of one entry's extended attributes, in its own serialization: its MAX_XATTR_STREAM. It
  /// drops them all when there are more.
  static let bareosLimit = 1 << 20

  /// The base directory.
  package let base: SourceEntry
  private var source: any EntrySource
  /// The list that is being read before it is the source.
  private var list: (loader: ListLoader, volume: Volume, trustsListings: Bool, distribution: Distribution?)?
  private var listIsRead = false
  private let timesAreExact: Bool
  private var reader: FileReader?

  /// Finds the base directory and gets ready to crawl it, or to tell what a list names.
  ///
  /// - Throws: ``GlusterError``, ``ListFailure``.
  package init(_ volume: Volume, _ traits: VolumeTraits, list terms: ListTerms?) throws {
    let directory = volume.uri.directory
    let base = try volume.lookUp(directory)
    // A link as well: none is followed.
    guard base.status.isDirectory else {
      throw GlusterError(errno: .notDirectory, call: "base directory", path: directory)
    }
    let distribution = Distribution(volume)
    _ = try distribution?.check()
    timesAreExact = traits.bricksAgreeOnTimes
    self.base = SourceEntry(
      path: directory.isEmpty ? [UInt8(ascii: "/")] : directory, status: base.status, object: base.object)
    source = Crawler(base: self.base, trustsListings: traits.listingsTellSizes, distribution: distribution)
    if let terms {
      list = (
        try ListLoader(terms, base: BaseDirectory(self.base.path)), volume, traits.listingsTellSizes, distribution)
    }
  }

  // MARK: The list

  /// What came of the reading of a list.
  package enum ListProgress: Sendable {
    /// Some lines have been read; what is wrong with them, in words.
    case some([String])
    /// All has been read.
    case done(ListCounts, ListedPaths)
    /// The list says that the volume is to be crawled, and why.
    case crawl(String)
  }

  /// Reads the next lines of the list. To be called until it is done; the entries come after that.
  ///
  /// - Throws: ``ListFailure``, ``TouchedPaths/Failure``, ``GlusterError``.
  package func loadList() throws -> ListProgress {
    guard let (loader, volume, trustsListings, distribution) = list else { return .crawl("there is no list") }
    if !listIsRead {
      let (problems, atEnd) = try loader.load(lines: 10_000)
      listIsRead = atEnd
      return .some(problems)
    }
    list = nil
    if let reason = loader.crawlReason { return .crawl(reason) }
    let directory = BaseDirectory(base.path)
    source = try ListSource(
      loader.touched, base: directory, volume: volume, trustsListings: trustsListings, distribution: distribution)
    return .done(loader.counts, ListedPaths(touched: loader.touched, base: directory))
  }

  // MARK: Entries

  package func next() throws -> SourceStep { try source.next() }
  package func enter() -> SourceFailure? { source.enter() }
  package func skip() { source.skip() }

  /// Fetches what an entry needs beside its attributes, and opens it if it has data.
  ///
  /// - Throws: ``GlusterError``, if the entry cannot be carried at all.
  package func details(of entry: SourceEntry, _ wanted: Wanted) throws -> Details {
    var details = Details()
    reader = nil
    if entry.status.isSymbolicLink { details.linkTarget = try entry.object.linkTarget() }
    // A file with several names is read for the first of them only: the daemon knows which that is.
    if entry.status.isRegular, entry.status.st_size > 0, entry.status.st_nlink == 1 {
      try open(entry, wanted)
      details.firstPiece = try reader!.next()
    }
    if wanted.acls, !entry.status.isSymbolicLink {
      do {
        details.acls = ACLStream.encode(try acls(of: entry))
      } catch { details.problems.append("its ACL was not saved: \(asGlusterError(error))") }
    }
    if wanted.extendedAttributes { readExtendedAttributes(of: entry, wanted, into: &details) }
    return details
  }

  /// Opens a file for ``nextPiece()``.
  package func open(_ entry: SourceEntry, _ wanted: Wanted) throws {
    reader = try FileReader(
      entry.object, expected: entry.status, withoutAccessTime: wanted.withoutAccessTime,
      keepsAccessTime: wanted.keepsAccessTime, timesAreExact: timesAreExact)
  }

  package func nextPiece() throws -> FileReader.Piece { try reader?.next() ?? .end }

  /// Closes the open file; what changed in it meanwhile, in words.
  package func closeFile() throws -> String? {
    defer { reader = nil }
    return try reader?.finish()
  }

  private func acls(of entry: SourceEntry) throws -> [ACLStream.Item] {
    var items: [ACLStream.Item] = []
    let names = entry.status.isDirectory ? [ACLStream.accessName, ACLStream.defaultName] : [ACLStream.accessName]
    for name in names {
      if let value = try entry.object.extendedAttribute(name) { items.append(.init(name: name, value: value)) }
    }
    return items
  }

  private func readExtendedAttributes(of entry: SourceEntry, _ wanted: Wanted, into details: inout Details) {
    let names: [[UInt8]]
    do {
      names = try entry.object.extendedAttributeNames()
    } catch {
      let error = asGlusterError(error)
      if error.errno != .notSupported, error.errno != .noData {
        details.problems.append("its extended attributes were not saved: \(error)")
      }
      return
    }
    var size = 0
    for name in names where AttributeRules.carries(name, aclsTravelAlone: wanted.acls) {
      do {
        guard let value = try entry.object.extendedAttribute(name) else { continue }
        // As Bareos counts: magic, two lengths, name with NUL, value.
        size += 13 + name.count + value.count
        if let limit = wanted.extendedAttributeLimit, size >= limit {
          size -= 13 + name.count + value.count
          details.problems.append(
            "its extended attribute \(printable(name)) was not saved: the daemon takes no more than \(limit) bytes for one entry")
          continue
        }
        details.extendedAttributes.append(ExtendedAttribute(name: name, value: value))
      } catch {
        details.problems.append("its extended attribute \(printable(name)) was not saved: \(asGlusterError(error))")
      }
    }
  }
}
