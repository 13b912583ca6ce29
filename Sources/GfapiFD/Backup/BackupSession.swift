import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import SystemPackage

/// What a backup needs of the volume, prepared while the job connects.
package struct BackupSession: Sendable {
  /// The base directory.
  package let base: SourceEntry
  let rules: DirectoryReader.Rules
  let fetcher: EntryFetcher
  /// Identifies the volume among those that a database may be kept for.
  package let volumeIdentity: String
  /// True if a snapshot is read.
  var isSnapshot: Bool { base.object.volume.uri.snapshot != nil }
  /// The source of the entries.
  package let source: any PreparedSource

  /// Finds the base directory and prepares the source of its entries.
  ///
  /// - Parameters:
  ///   - kind: the kind of source.
  ///   - since: seconds since 1970; an entry counts as changed if it changed after this time. 0: all entries are backed up.
  /// - Throws: ``GlusterError``, ``JobEndingError``.
  package init(_ connection: JobVolume.Connection, _ definition: PluginDefinition, from kind: any SourceKind, since: Int) throws {
    let (volume, traits) = (connection.volume, connection.traits)
    let directory = volume.uri.directory
    let base = try volume.lookUp(directory)
    // This refuses a symbolic link as well: no link is followed.
    guard base.status.isDirectory else {
      throw GlusterError(errno: .notDirectory, call: "base directory", path: directory.bytes)
    }
    let distribution = Distribution(volume)
    _ = try distribution?.waitUntilWhole()
    volumeIdentity = connection.identity
    var (shards, noShards): (ShardTimes?, GlusterError?)
    if traits.isSharded, since > 0 || definition.makesDeltas {
      do {
        shards = try ShardTimes(
          volume.uri, since: since, keepsStamps: definition.makesDeltas, logging: definition.logging, retry: volume.retry)
      } catch {
        noShards = error
      }
    }
    let wasSharded = try !traits.isSharded && volume.hasVisibleShards()
    fetcher = EntryFetcher(traits, distribution, shards: shards, noShards: noShards, wasSharded: wasSharded)
    rules = DirectoryReader.Rules(
      trustsSizes: traits.listingsTellSizes, isSharded: traits.isSharded,
      // A listing with attributes would put those of one brick into the client's cache, and the look-ups would return them. After a listing
      // of names, a look-up asks all bricks.
      listsNamesOnly: traits.listsFirstShards || traits.readsTellSizes, distribution: distribution)
    self.base = SourceEntry(path: directory, status: base.status, object: base.object)
    let checksAttributes = traits.bricksAgreeOnTimes && definition.checksAttributes
    let compared = ["times"] + (checksAttributes ? ["attributes", "ACLs", "holes"] : []) + (traits.isSharded ? ["shards"] : [])
    source = try kind.prepare(SourceTree(volume: volume, base: self.base, rules: rules, compared: since > 0 ? compared : []))
  }
}
