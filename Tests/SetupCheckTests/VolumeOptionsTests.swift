import Testing

@testable import SetupCheck

@Suite("The check of a volume's options")
struct VolumeOptionsTests {
  func found(_ options: String...) -> [Findings.Finding] {
    var findings = Findings()
    let info = "\nVolume Name: myvol\nType: Distribute\nBrick1: one:/b\nOptions Reconfigured:\n" + options.map { $0 + "\n" }.joined()
    VolumeOptions.look(info, "myvol", into: &findings)
    return findings.all
  }

  @Test(
    "Volume options that obstruct a job are found, each with its cure",
    arguments: [
      ("server.root-squash: on", Findings.Verdict.problem, "gluster volume set myvol server.root-squash off"),
      ("server.all-squash: enable", .problem, "gluster volume set myvol server.all-squash off"),
      ("features.read-only: on", .warning, "gluster volume set myvol features.read-only off"),
      ("features.worm: 1", .warning, "gluster volume set myvol features.worm off"),
      ("features.worm-file-level: yes", .warning, "gluster volume set myvol features.worm-file-level off"),
      ("features.trash: on", .warning, "exclude that folder in the FileSet"),
    ])
  func told(_ option: String, _ verdict: Findings.Verdict, _ cure: String) {
    let all = found("nfs.disable: on", option)
    #expect(all.count == 1 && all[0].verdict == verdict && all[0].cure == cure, "\(all)")
    #expect(all[0].text.hasPrefix(option.prefix { $0 != ":" } + " is on"), "\(all)")
  }

  @Test("The finding about the trash names the folder that the volume has set")
  func trash() { #expect(found("features.trash: on", "features.trash-dir: bin")[0].text.hasSuffix("in the folder bin")) }

  @Test("Options that are off, and other options, give no findings")
  func others() {
    #expect(found("features.read-only: off", "features.worm: disable", "server.root-squash: false", "nfs.disable: on").isEmpty)
  }
}
