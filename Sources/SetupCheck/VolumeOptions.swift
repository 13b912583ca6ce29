import Gluster
import Programs

/// Checks for options of a volume that hinder a backup or a restore.
package enum VolumeOptions {
  /// Asks glusterd for the options that are set. glusterd answers other hosts as well, but the command `gluster` is required on this host.
  /// Without this command nothing is found.
  package static func look(_ uri: VolumeURI, into findings: inout Findings) {
    let known = { (byte: UInt8) in
      byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".") || Character(Unicode.Scalar(byte)).isLetter
        || Character(Unicode.Scalar(byte)).isNumber
    }
    for server in uri.servers {
      // Without `--remote-host` the command uses glusterd's own socket.
      let host = uri.transport == .unix ? [] : ["--remote-host=\(server.host)"]
      guard uri.transport == .unix || server.host.utf8.allSatisfy(known) else { continue }
      let arguments = ["--mode=script"] + host + ["volume", "info", uri.volume]
      guard let answer = outputOfProgram("gluster", arguments, within: 10) else { continue }
      look(answer, uri.volume, into: &findings)
      return
    }
  }

  /// - Parameter info: output of `gluster volume info`. An option is a line of the form `features.worm: on`.
  static func look(_ info: String, _ volume: String, into findings: inout Findings) {
    var options: [Substring: String] = [:]
    for line in info.split(separator: "\n") {
      let parts = line.split(separator: ": ", maxSplits: 1)
      if parts.count == 2, parts[0].contains(".") { options[parts[0]] = parts[1].lowercased() }
    }
    func isOn(_ name: Substring) -> Bool { ["on", "enable", "yes", "true", "1"].contains(options[name]) }
    let subject = "options"
    func cure(_ name: Substring) -> String { "gluster volume set \(volume) \(name) off" }
    for name: Substring in ["server.root-squash", "server.all-squash"] where isOn(name) {
      findings.add(
        .problem, subject,
        "\(name) is on: root is another user on the volume, so what only root may read is not saved, and a restore fails",
        cure: cure(name))
    }
    if isOn("features.read-only") {
      findings.add(.warning, subject, "features.read-only is on: nothing can be restored onto the volume", cure: cure("features.read-only"))
    }
    if isOn("features.worm") {
      findings.add(
        .warning, subject,
        "features.worm is on: a restore makes new files, replaces none and makes no hard links, and the storage program cannot store parts",
        cure: cure("features.worm"))
    }
    if isOn("features.worm-file-level") {
      findings.add(
        .warning, subject,
        "features.worm-file-level is on: a file becomes read-only some time after its last change (features.auto-commit-period); a restore does not replace it then, and the storage program does not replace or remove a part",
        cure: cure("features.worm-file-level"))
    }
    if isOn("features.trash") {
      findings.add(
        .warning, subject,
        "features.trash is on: each backup has errors of what is in the folder \(options["features.trash-dir"] ?? ".trashcan")",
        cure: "exclude that folder in the FileSet")
    }
  }
}
