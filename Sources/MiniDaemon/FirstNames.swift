import FDPluginABI
import Glibc

/// Remembers the first name of each file with several hard links, because a backup has the data of such a file only once.
public struct FirstNames {
  private struct Inode: Hashable {
    let device: dev_t
    let number: ino_t
  }

  private var paths: [Inode: [UInt8]] = [:]

  public init() {}

  /// Returns the entry. An additional hard link becomes a link to the first name.
  public mutating func resolved(_ entry: SavedEntry) -> SavedEntry {
    guard entry.status.st_nlink > 1, entry.status.st_mode & S_IFMT != S_IFDIR else { return entry }
    let inode = Inode(device: entry.status.st_dev, number: entry.status.st_ino)
    guard let first = paths[inode] else {
      paths[inode] = entry.path
      return entry
    }
    var entry = entry
    (entry.type, entry.link) = (FD_FT_LNKSAVED, first)
    return entry
  }
}
