import Glibc
import Gluster
import SystemPackage

/// Walks a tree on a volume, an entry at a time, with a stack of its own: what it holds grows with the depth of the tree,
/// not with its width. A directory is told twice, before its content and after it.
package final class Crawler {
  /// An entry that the crawl has come to.
  package struct Entry: Sendable {
    /// Absolute path on the volume, in raw bytes; `/` for the root.
    package let path: [UInt8]
    package let status: stat
    package let object: Object
  }

  package enum Step: Sendable {
    /// An entry that is no directory.
    case entry(Entry)
    /// A directory, before its content. Call ``Crawler/enter()`` to see what is in it.
    case directory(Entry)
    /// A directory that was not entered, or whose content has all been told.
    case directoryEnd(Entry)
    /// An entry that the volume could not tell anything about.
    case failed(Failure)
    /// All is told.
    case end
  }

  /// Something that could not be read.
  package struct Failure: Sendable {
    package enum Kind: Sendable {
      /// A directory could not be opened, or not be read to its end.
      case directory
      /// A name was there, its attributes could not be had.
      case entry
      /// The path is longer than any file daemon can take.
      case pathTooLong
    }
    package let kind: Kind
    package let path: [UInt8]
    package let error: GlusterError
  }

  /// The longest path, in bytes, without a NUL: Linux's PATH_MAX.
  package static let longestPath = 4095

  private final class Level {
    let entry: Entry
    let directory: Directory
    /// State of the distribution when the directory was opened.
    let state: Distribution.State?
    init(_ entry: Entry, _ directory: consuming Directory, _ state: Distribution.State?) {
      self.entry = entry
      self.directory = directory
      self.state = state
    }
  }

  private var stack: [Level] = []
  /// The directory that was told last and may be entered.
  private var offered: Entry?
  private var base: Entry?

  private let trustsListings: Bool
  private let distribution: Distribution?

  /// - Parameters:
  ///   - base: where the walk begins; told like any other entry.
  ///   - trustsListings: directory listings tell files' sizes; else each file is asked for its own.
  ///   - distribution: tells whether a listing can be whole.
  package init(base: Entry, trustsListings: Bool, distribution: Distribution?) {
    self.base = base
    self.distribution = distribution
    self.trustsListings = trustsListings
  }

  /// The next step of the walk.
  package func next() -> Step {
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
        guard try distribution?.check() == level.state else {
          throw GlusterError(errno: .socketNotConnected, call: "a subvolume went away and came back")
        }
        stack.removeLast()
        return .directoryEnd(level.entry)
      }
      return tell(name, in: level.entry)
    } catch {
      // What came before the error is told; the rest of this directory is not. The walk above goes on.
      stack.removeLast()
      offered = level.entry
      return .failed(Failure(kind: .directory, path: level.entry.path, error: asGlusterError(error)))
    }
  }

  /// Enters the directory that the last step told.
  ///
  /// - Returns: the failure, if it cannot be opened: then only its end will be told.
  package func enter() -> Failure? {
    guard let entry = offered else { return nil }
    do {
      let state = try distribution?.check()
      stack.append(Level(entry, try entry.object.openDirectory(), state))
      offered = nil
      return nil
    } catch {
      return Failure(kind: .directory, path: entry.path, error: asGlusterError(error))
    }
  }

  /// Ends the walk of everything that has not been told yet, for a directory whose end shall not be told either.
  package func skip() { offered = nil }

  private func tell(_ entry: Entry) -> Step {
    guard entry.status.isDirectory else { return .entry(entry) }
    offered = entry
    return .directory(entry)
  }

  private func tell(_ name: Directory.Entry, in parent: Entry) -> Step {
    let path = (parent.path == [UInt8(ascii: "/")] ? [] : parent.path) + [UInt8(ascii: "/")] + name.name
    guard path.count <= Self.longestPath else {
      return .failed(Failure(
        kind: .pathTooLong, path: path, error: GlusterError(errno: .fileNameTooLong, call: "path", path: path)))
    }
    do {
      var found = try name.found ?? parent.object.lookUp(name.name)
      if !trustsListings, found.status.isRegular { found.status = try found.object.status() }
      return tell(Entry(path: path, status: found.status, object: found.object))
    } catch {
      return .failed(Failure(kind: .entry, path: path, error: asGlusterError(error)))
    }
  }
}

/// Every call of `Gluster` throws this one type; the compiler does not know.
func asGlusterError(_ error: any Error) -> GlusterError {
  error as? GlusterError ?? GlusterError(errno: .ioError, call: "\(error)")
}
