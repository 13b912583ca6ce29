import Glibc
import Gluster
import SystemPackage

/// Walks a tree on a volume, an entry at a time, with a stack of its own: what it holds grows with the depth of the tree,
/// not with its width. A directory is told twice, before its content and after it.
package final class Crawler: EntrySource {
  private final class Level {
    let entry: SourceEntry
    let directory: Directory
    /// State of the distribution when the directory was opened.
    let state: Distribution.State?
    init(_ entry: SourceEntry, _ directory: consuming Directory, _ state: Distribution.State?) {
      self.entry = entry
      self.directory = directory
      self.state = state
    }
  }

  private var stack: [Level] = []
  /// The directory that was told last and may be entered.
  private var offered: SourceEntry?
  private var base: SourceEntry?

  private let trustsListings: Bool
  private let distribution: Distribution?

  /// - Parameters:
  ///   - base: where the walk begins; told like any other entry.
  ///   - trustsListings: directory listings tell files' sizes; else each file is asked for its own.
  ///   - distribution: tells whether a listing can be whole.
  package init(base: SourceEntry, trustsListings: Bool, distribution: Distribution?) {
    self.base = base
    self.distribution = distribution
    self.trustsListings = trustsListings
  }

  /// The next step of the walk.
  package func next() -> SourceStep {
    if let base {
      self.base = nil
      return tell(base)
    }
    if let offered {
      self.offered = nil
      return .directoryEnd(offered)
    }
    guard let level = stack.last else { return .end }
    do {
      guard let name = try level.directory.next() else {
        // A listing leaves out what is on a subvolume that cannot be reached, and says nothing.
        if let state = level.state { try distribution?.check(since: state) }
        stack.removeLast()
        return .directoryEnd(level.entry)
      }
      return tell(name, in: level.entry)
    } catch {
      // What came before the error is told; the rest of this directory is not. The walk above goes on.
      stack.removeLast()
      offered = level.entry
      return .failed(SourceFailure(kind: .directory, path: level.entry.path, error: asGlusterError(error)))
    }
  }

  /// Enters the directory that the last step told.
  ///
  /// - Returns: the failure, if it cannot be opened: then only its end will be told.
  package func enter() -> SourceFailure? {
    guard let entry = offered else { return nil }
    do {
      let state = try distribution?.check()
      stack.append(Level(entry, try entry.object.openDirectory(), state))
      offered = nil
      return nil
    } catch {
      return SourceFailure(kind: .directory, path: entry.path, error: asGlusterError(error))
    }
  }

  /// Ends the walk of everything that has not been told yet, for a directory whose end shall not be told either.
  package func skip() { offered = nil }

  private func tell(_ entry: SourceEntry) -> SourceStep {
    guard entry.status.isDirectory else { return .entry(entry) }
    offered = entry
    return .directory(entry)
  }

  private func tell(_ name: Directory.Entry, in parent: SourceEntry) -> SourceStep {
    let path = (parent.path == [UInt8(ascii: "/")] ? [] : parent.path) + [UInt8(ascii: "/")] + name.name
    if let failure = SourceFailure.ofLength(path) { return .failed(failure) }
    do {
      var found = try name.found ?? parent.object.lookUp(name.name)
      if !trustsListings, found.status.isRegular { found.status = try found.object.status() }
      return tell(
        SourceEntry(path: path, status: found.status, object: found.object, isListed: parent.isListed))
    } catch {
      return .failed(SourceFailure(kind: .entry, path: path, error: asGlusterError(error)))
    }
  }
}
