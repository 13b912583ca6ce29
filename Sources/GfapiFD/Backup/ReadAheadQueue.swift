import DequeModule
import GfapiJob
import Glibc
import Gluster
import struct Synchronization.Atomic

/// The next records of a backup, whose data and attributes workers fetch while the daemon processes the current record. Used only on the
/// job's thread.
final class ReadAheadQueue {
  /// A record that has been found, or an entry that may become a record.
  struct Item {
    var record: SaveRecord
    var entry: SourceEntry?
    /// How often the daemon had been asked whether it accepts an entry when this one was found: see ``EntryChoice/acceptances``.
    var acceptance = 0
    /// The signs that decide whether the entry becomes a record; set only if the times of the entry have not changed.
    var signs: Ahead<UndatedChanges.Signs>?
    /// The fingerprint from `signs`.
    var fingerprint = Fingerprint()
    var details: Ahead<EntryFetcher.Details>?
    /// The parts of the entry that `details` was fetched with.
    var wanted = EntryFetcher.Wanted()
    /// The number of the delta in the daemon's last record of the path: see ``Comparison/number``.
    var deltaBase: Int?
    /// True if the file may be stored as a delta, so that its data are not fetched ahead.
    var mayBeImage = false
    /// How many bytes the entry was expected to take (`cost`), and how many were fetched beyond that (`excess`).
    var cost = 0
    var excess = 0
  }

  /// The number of bytes that workers have fetched beyond the expected sizes of entries.
  private final class Fetched: Sendable {
    let bytes = Atomic<Int>(0)
  }

  /// The maximum number of records that are found ahead.
  private static let mostItems = 1024
  /// The memory that an entry takes without its data, in bytes: the entry itself, its handle, and what the client keeps of it.
  private static let entryCost = 4 << 10
  /// The maximum number of entries in `additionalLinks`.
  private static let mostAdditionalLinks = 1 << 16

  private let calls: JobCalls
  private let fetcher: EntryFetcher
  private let isEstimate: Bool
  /// nil: files are stored whole.
  private let deltas: Deltas?
  /// How many bytes may be held ahead of the daemon.
  let budget: Int
  private var items = Deque<Item>()
  /// The expected size of the items and of the current record, in bytes, by the sizes of the files.
  private var cost = 0
  /// What has been fetched beyond `cost`.
  private let fetched = Fetched()
  /// Files with several names, of which one has been found, and how many additional hard links of each are still to come.
  private var additionalLinks: [ino_t: UInt] = [:]

  init(_ calls: JobCalls, _ fetcher: EntryFetcher, isEstimate: Bool, _ deltas: Deltas?) {
    (self.calls, self.fetcher, self.isEstimate, self.deltas) = (calls, fetcher, isEstimate, deltas)
    budget = calls.volume.definition.readsAhead ? calls.volume.definition.readAhead : 0
  }

  var isEmpty: Bool { items.isEmpty }
  var first: Item? { items.first }
  /// True if there is room for another item.
  var hasRoom: Bool { items.count < Self.mostItems && cost + fetched.bytes.load(ordering: .relaxed) < budget }

  /// Adds a record, and starts to fetch its data and attributes.
  func append(_ item: Item, _ wanted: EntryFetcher.Wanted) { items.append(fetching(item, wanted)) }

  /// Adds an entry that may become a record, and starts to fetch the signs that decide.
  func append(candidate item: Item, _ wanted: EntryFetcher.Wanted) {
    guard let entry = item.entry else { return }
    var item = item
    item.cost = Self.entryCost
    cost += item.cost
    let fetcher = fetcher
    item.signs = calls.start { try fetcher.signs(of: entry, wanted) }
    items.append(item)
  }

  /// Removes the first item, a record. Its cost stays until ``release(_:)``.
  func popFirst() -> Item? { items.popFirst() }

  /// Removes the first item, an entry that may become a record.
  func popCandidate() -> Item {
    var item = items.removeFirst()
    item.signs = nil
    cost -= item.cost
    return item
  }

  /// Puts an entry that has become a record in front of all others, and starts to fetch its data and attributes.
  func prepend(_ item: Item, _ wanted: EntryFetcher.Wanted) { items.prepend(fetching(item, wanted)) }

  /// Takes the cost of a record back, whose data and attributes are not held any more.
  func release(_ item: Item) {
    cost -= item.cost
    fetched.bytes.subtract(item.excess, ordering: .relaxed)
  }

  private func fetching(_ item: Item, _ wanted: EntryFetcher.Wanted) -> Item {
    guard let entry = item.entry, !isEstimate || item.record.kind == .symbolicLink else { return item }
    var item = item
    let wanted = isEstimate ? EntryFetcher.Wanted() : wanted
    item.mayBeImage = deltas?.concern(entry.status) ?? false
    let readsData = !item.mayBeImage && item.record.hasData && !isEstimate && isFirstName(entry.status)
    item.wanted = wanted
    item.cost = Self.entryCost + (readsData ? min(Int(entry.status.st_size), FileReader.pieceSize) : 0)
    cost += item.cost
    let (fetcher, fetched, expected) = (fetcher, fetched, item.cost)
    item.details = calls.start {
      let details = try fetcher.fetch(entry, wanted, readsData: readsData)
      fetched.bytes.add(details.size(beyond: expected), ordering: .relaxed)
      return details
    }
    return item
  }

  /// Returns true if the daemon will probably ask for a file's data. The daemon takes the data of an additional hard link from the first
  /// name.
  private func isFirstName(_ status: stat) -> Bool {
    guard status.st_nlink > 1 else { return true }
    // A file may have names outside the backup, which are never found. Forgetting a file costs at most a second fetch of its data.
    if additionalLinks.count > Self.mostAdditionalLinks { additionalLinks = [:] }
    let missing = additionalLinks[status.st_ino] ?? UInt(status.st_nlink)
    additionalLinks[status.st_ino] = missing > 1 ? missing - 1 : nil
    return missing == status.st_nlink
  }
}
