import Glibc
import SystemPackage

/// Why a volume refuses calls on many entries: an option of the volume, or the user of this process. A job reports each cause once.
public enum VolumeCause: Hashable, Sendable {
  /// `features.read-only` is on, or `features.worm`, which allows only the creation of new files.
  case readOnly
  /// The process does not run as root, or the volume treats root as another user.
  case denied
  /// The file has as many hard links as `storage.max-hardlinks` allows.
  case tooManyLinks
  /// A quota is used up.
  case quota

  init?(_ error: GlusterError, user: uid_t = geteuid()) {
    switch error.errno {
    case .readOnlyFileSystem: self = .readOnly
    case .permissionDenied: self = .denied
    // Root gets this error for other reasons as well.
    case .notPermitted where user != 0: self = .denied
    case .tooManyLinks: self = .tooManyLinks
    case .diskQuotaExceeded: self = .quota
    default: return nil
    }
  }

  /// The cause and what to do, for a message.
  ///
  /// - Parameters:
  ///   - volume: name of the volume.
  ///   - user: id of the user who makes the calls.
  public func words(_ volume: String, user: uid_t = geteuid()) -> String {
    switch self {
    case .readOnly:
      "volume \(volume) refuses changes: it is read-only (gluster volume set \(volume) features.read-only off) or does not replace files "
        + "(features.worm, features.worm-file-level)"
    case .denied where user == 0:
      "volume \(volume) denies root what root may do: server.root-squash or server.all-squash makes root another user "
        + "(gluster volume set \(volume) server.root-squash off, or server.all-squash off)"
    case .denied: "this program runs as user \(user), and volume \(volume) lets it do only what this user may: run it as root"
    case .tooManyLinks:
      "volume \(volume) allows no more hard links of a file (gluster volume set \(volume) storage.max-hardlinks NUMBER; 0: no limit)"
    case .quota: "a quota of volume \(volume) is used up (gluster volume quota \(volume) list)"
    }
  }
}

extension GlusterError {
  /// True if the whole volume is read-only. Only calls that create an entry count: with `features.worm` entries can still be created and
  /// given attributes.
  public var meansReadOnlyVolume: Bool {
    errno == .readOnlyFileSystem && ["glfs_h_mkdir", "glfs_h_creat_open", "glfs_h_mknod", "glfs_h_symlink"].contains(call)
  }
}
