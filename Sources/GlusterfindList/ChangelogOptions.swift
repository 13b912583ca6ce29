/// What a volume has to have turned on for glusterfind to know its changes.
public enum ChangelogOptions {
  public static let names = ["changelog.changelog", "changelog.capture-del-path", "storage.build-pgfid"]

  /// Whether a value that `gluster volume get` prints means that an option is on.
  public static func isOn(_ value: String) -> Bool { ["on", "enable", "true", "yes", "1"].contains(value.lowercased()) }
}
