import Glibc
import GlusterCommand
import GlusterfindList
import Programs

/// Checks what glusterfind requires of the volume, and of this host, which has to be a node of the volume.
package enum GlusterfindNeeds {
  /// - Parameter volume: name of the volume, as libgfapi has connected to it: letters, digits, `-` and `_`.
  package static func look(_ volume: String, into findings: inout Findings) {
    let subject = "glusterfind"
    for (program, package) in [("glusterfind", "glusterfs-server"), ("ssh-keygen", "openssh-client")] where !isInPath(program) {
      findings.add(.problem, subject, "\(program) is not there", cure: "install \(package) on each node of the volume")
    }
    // glusterfind itself names this interpreter, so its module is checked.
    if outputOfProgram("/usr/bin/python3", ["-c", "import xattr"]) == nil {
      findings.add(
        .problem, subject, "Python's module xattr is not there", cure: "install python3-pyxattr on each node of the volume")
    }
    let keys = "/var/lib/glusterd/glusterfind/.keys"
    if access(keys, F_OK) != 0 {
      findings.add(.problem, subject, "\(keys): \(String(cString: strerror(errno)))", cure: "mkdir -p \(keys) on each node of the volume")
    }
    for option in ChangelogOptions.names {
      guard let value = value(of: option, volume) else {
        findings.add(
          .problem, subject, "gluster gives no information about the volume",
          cure: "run the wrapper, and this, as root on a node of the volume")
        break
      }
      if !ChangelogOptions.isOn(value) {
        findings.add(
          .warning, subject, "\(option) is \(value): changes are not logged", cure: "gluster volume set \(volume) \(option) on")
      }
    }
    if !findings.all.contains(where: { $0.subject == subject }) { findings.add(subject, "all that it needs is here") }
  }

  /// Returns true if the bricks of a volume log changes; nil if this host is not a node of the volume.
  ///
  /// - Parameter volume: see ``look(_:into:)``.
  package static func areChangesLogged(_ volume: String) -> Bool? {
    ChangelogOptions.names.first.flatMap { value(of: $0, volume) }.map(ChangelogOptions.isOn)
  }

  private static func value(of option: String, _ volume: String) -> String? {
    // Asked once: a check must not wait for what another caller does.
    try? waiting { try await GlusterCommand.value(of: option, ofVolume: volume, whileBusyFor: 0) }
  }
}
