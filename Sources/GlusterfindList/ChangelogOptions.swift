/// The options of a volume that must be on so that glusterfind can list its changes.
public enum ChangelogOptions {
  public static let names = ["changelog.changelog", "changelog.capture-del-path", "storage.build-pgfid"]

  /// Returns true if a value that `gluster volume get` prints means that an option is on.
  public static func isOn(_ value: String) -> Bool { ["on", "enable", "true", "yes", "1"].contains(value.lowercased()) }
}
