import Foundation
import MiniDaemon
import Testing
import TestSupport

/// The tests make certificates, and reset volumes and glusterd at the end.
@Suite("TLS", .serialized)
struct TLSTests {
  /// The folder in which Debian's Gluster looks for the certificate, its key, and the certificates that it trusts.
  static let folder = "/usr/lib/ssl"
  static let secureAccess = "/var/lib/glusterd/secure-access"

  /// Runs `body` with certificates and the small volume on TLS.
  func withTLS(_ body: () throws -> Void) throws {
    let certificates = try Scratch.temporaryFolder() + "/ssl"
    let commands = """
      cp -aL '\(Self.folder)' '\(certificates)' && mount --bind '\(certificates)' '\(Self.folder)' && cd '\(Self.folder)' &&
      openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=scratch -keyout glusterfs.key -out glusterfs.pem 2>/dev/null &&
      cp glusterfs.pem glusterfs.ca
      """
    #expect(try run("sh", "-c", commands).status == 0)
    defer { _ = try? run("sh", "-c", "umount -l '\(Self.folder)'; rm -rf '\(certificates)'") }
    try Scratch.withSmall(["client.ssl": "on", "server.ssl": "on", "auth.ssl-allow": "*"], body)
  }

  /// Runs `body` while one of the files in `folder` is missing.
  func without(_ name: String, _ body: () throws -> Void) throws {
    let file = Self.folder + "/" + name
    #expect(rename(file, file + ".away") == 0)
    defer { rename(file + ".away", file) }
    try body()
  }

  func backup(_ path: String, _ more: String = "") throws -> (counts: JobCounts?, messages: [MiniJob.Message]) {
    try withJob { job throws in (try job.backup(Scratch.line("small", path, more), to: MemoryBackup()), job.messages) }
  }

  @Test("backup, restore and storage program work on a volume with TLS, and report a missing certificate file")
  func volume() throws {
    try withTLS {
      try Scratch.remount("small")
      let (local, path) = try Scratch.folder(on: "small")
      #expect(try run("sh", "-c", "cd '\(local)' && mkdir d && head -c 300000 /dev/urandom > d/file && ln -s file d/link").status == 0)
      let saved = MemoryBackup()
      _ = try withJob { try $0.backup(Scratch.line("small", path), to: saved) }
      var options = RestoreOptions()
      options.prefix = Array((path + "/restored").utf8)
      #expect(try withJob { try saved.restore($0, Scratch.line("small", path), options) }.failed == 0)
      try Scratch.remount("small")
      #expect(try run(Scratch.script("compare-trees"), local + "/d", local + "/restored" + path + "/d").status == 0)

      let program = StorageProgram("small", path, timeout: 3)
      #expect(try program.run("upload", "Vol-0001", "0000", input: Data("part".utf8)).status == 0)
      #expect(try program.run("download", "Vol-0001", "0000").text == "part")

      for (file, words) in [("glusterfs.key", "private key"), ("glusterfs.pem", "cert"), ("glusterfs.ca", "CA list")] {
        try without(file) {
          let messages = try backup(path, ":timeout=3").messages
          #expect(messages.contains { $0.severity == .fatal && $0.text.contains("TLS: ") && $0.text.contains(words) }, "\(messages)")
          let upload = try program.run("upload", "Vol-0001", "0001", input: Data("part".utf8))
          #expect(upload.status != 0 && upload.errors.contains("TLS: "), "\(upload.errors)")
        }
      }
      try without("glusterfs.ca") {
        #expect(
          try run(
            "sh", "-c",
            """
            cd '\(Self.folder)' && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout other.key -out glusterfs.ca 2>/dev/null
            """
          ).status == 0)
        let messages = try backup(path, ":timeout=3").messages
        #expect(messages.contains { $0.severity == .fatal && $0.text.contains("not signed by") }, "\(messages)")
      }
      #expect(try backup(path).counts?.failed == 0)
      #expect(try run("rm", "-r", local).status == 0)
    }
  }

  @Test("a backup works with TLS for the management too, and check reports a missing secure-access file")
  func management() throws {
    try withTLS {
      func restartGlusterd() throws {
        try Scratch.killGlusterd()
        try Scratch.startGlusterd()
        // Restart the bricks, so that they connect to glusterd again as well.
        try Scratch.gluster("volume", "stop", "small", "force")
        try Scratch.gluster("volume", "start", "small")
      }
      #expect(FileManager.default.createFile(atPath: Self.secureAccess, contents: nil))
      defer {
        unlink(Self.secureAccess)
        #expect(throws: Never.self) { try restartGlusterd() }
      }
      try restartGlusterd()
      #expect(try backup("").counts?.failed == 0)
      unlink(Self.secureAccess)
      let check = try run(Scratch.tool, "check", Scratch.line("small", "", ":timeout=3"))
      #expect(check.status == 2 && check.output.contains(Self.secureAccess), "\(check.output)")
    }
  }
}
