import Glibc
import Gluster
import SystemPackage
import GfapiDefinition
import GfapiJob

/// The volume's side of a backup. Used on the threads that make the volume's calls, by one call at a time.
package final class BackupSession: @unchecked Sendable {
  // Only one call at a time changes it.

  /// The base directory.
  package let base: SourceEntry
  let rules: DirectoryReader.Rules
  let fetcher: EntryFetcher
  /// Identifies the volume among those that a database may be kept for.
  package let volumeIdentity: String
  private let volume: Volume
  /// The list that is being read.
  private var list: ListLoader?
  private var listIsRead = false

  /// Finds the base directory and prepares to crawl it, or to read a list of changes.
  ///
  /// - Parameter since: seconds since 1970; an entry counts as changed if it changed after this time. 0: all entries are backed up.
  /// - Throws: ``GlusterError``, ``ListFailure``.
  package init(_ connection: JobVolume.Connection, _ definition: PluginDefinition, list terms: ListTerms?, since: Int) throws {
    let (volume, traits) = (connection.volume, connection.traits)
    let directory = volume.uri.directory
    let base = try volume.lookUp(directory)
    // This refuses a symbolic link as well: no link is followed.
    guard base.status.isDirectory else {
      throw GlusterError(errno: .notDirectory, call: "base directory", path: directory)
    }
    let distribution = Distribution(volume)
    _ = try distribution?.waitUntilWhole()
    self.volume = volume
    // glusterd does not return the volume's identity through its Unix socket (10.3). The volume's name is sufficient then, because entries
    // have identities of their own.
    volumeIdentity = (try? volume.identity()) ?? volume.uri.volume
    var (shards, noShards): (ShardTimes?, GlusterError?)
    if traits.isSharded, since > 0 {
      do {
        shards = try ShardTimes(volume.uri, since: since, logging: definition.logging, retry: volume.retry)
      } catch {
        noShards = asGlusterError(error)
      }
    }
    let wasSharded = try !traits.isSharded && volume.hasVisibleShards()
    fetcher = EntryFetcher(traits, distribution, shards: shards, noShards: noShards, wasSharded: wasSharded)
    rules = DirectoryReader.Rules(
      trustsListings: traits.listingsTellSizes, isSharded: traits.isSharded, listsNamesOnly: traits.listsFirstShards,
      distribution: distribution)
    self.base = SourceEntry(path: BaseDirectory(of: volume.uri).path, status: base.status, object: base.object)
    list = try terms.map { try ListLoader($0, base: BaseDirectory(self.base.path), isSharded: traits.isSharded) }
  }

  // MARK: The list

  /// The result of reading some lines of a list.
  package enum ListProgress {
    /// Some lines have been read. The strings are messages about wrong lines.
    case some([String])
    /// The whole list has been read.
    case done(ListCounts, ListWalk, ListedPaths)
    /// The volume is to be crawled. The string is the reason.
    case crawl(String)
  }

  /// Reads the next lines of the list. Call this until the list is done; the entries come after that.
  ///
  /// - Throws: ``ListFailure``, ``TouchedPaths/Failure``, ``GlusterError``.
  package func loadList() throws -> ListProgress {
    guard let loader = list else { return .crawl("there is no list") }
    if !listIsRead {
      let (problems, atEnd) = try loader.load(lines: 10_000)
      listIsRead = atEnd
      return .some(problems)
    }
    list = nil
    if let reason = loader.crawlReason { return .crawl(reason) }
    let directory = BaseDirectory(base.path)
    return .done(
      loader.counts, try ListWalk(loader.touched, base: directory, volume: volume, rules),
      ListedPaths(touched: loader.touched, base: directory))
  }
}
