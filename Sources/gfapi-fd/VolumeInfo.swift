import ArgumentParser
import Glibc
import Gluster
import MiniDaemon
import Programs

struct VolumeInfo: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "volume-info",
    abstract: "Saves the definition, options, quota limits and TLS files of a volume, which a backup does not have.",
    discussion: """
      Run it as root on a node of the volume, for example before each job. The archive has the answers of `gluster` about the volume, the \
      volume's directory in /var/lib/glusterd, and the TLS files of this node with the private key. Only root can read it.
      """)

  @Argument(help: "The volume's name.")
  var volume: String

  @Option(name: [.short, .long], help: ArgumentHelp("The archive, a tar file compressed by gzip.", valueName: "file"))
  var output: String

  /// TLS files of this node, in the places where distributions keep them.
  private static let tlsFiles = ["/usr/lib/ssl", "/etc/ssl", "/etc/pki/tls"].flatMap { folder in
    ["pem", "key", "ca", "crl"].map { "\(folder)/glusterfs.\($0)" }
  }

  func validate() throws {
    guard (try? VolumeURI("gluster://h/\(volume)"))?.volume == volume else { throw ValidationError("\(volume): not the name of a volume") }
  }

  func run() throws {
    do { try save() } catch let error as DaemonError {
      Progress.line("gfapi-fd: \(error)")
      throw GfapiFDTool.Status.nothingDone
    }
  }

  private func save() throws {
    var template = Array("\(getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp")/gfapi-fd-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw DaemonError("GFD-305", "no temporary directory: \(reason)") }
    let folder = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { _ = outputOfProgram("rm", ["-rf", folder]) }
    let parts = [
      ("info", ["volume", "info", volume]), ("options", ["volume", "get", volume, "all"]), ("status", ["volume", "status", volume]),
      ("quota", ["volume", "quota", volume, "list"]), ("quota-objects", ["volume", "quota", volume, "list-objects"]),
      ("snapshots", ["snapshot", "info", "volume", volume]), ("servers", ["pool", "list"]),
    ]
    var names: [String] = []
    for (name, command) in parts {
      guard let text = outputOfProgram("gluster", ["--mode=script"] + command, within: 60) else {
        // Other commands may fail: a volume without quota has no limits.
        if name == "info" {
          throw DaemonError("GFD-311", "gluster gives no information about volume \(volume): run this as root on one of its nodes")
        }
        continue
      }
      try write(text, to: "\(folder)/\(name)")
      names.append(name)
    }
    let glusterd = ["vols/\(volume)", "glusterd.info", "secure-access"].map { "/var/lib/glusterd/\($0)" }
    let files = (Self.tlsFiles + glusterd).filter { access($0, F_OK) == 0 }.map { String($0.dropFirst()) }
    let new = output + ".part"
    // The archive contains the private key, so nobody else may read it, not even while it is written.
    let mask = umask(0o077)
    defer { umask(mask) }
    unlink(new)
    guard outputOfProgram("tar", ["-czf", new, "-C", folder] + names + ["-C", "/"] + files) != nil, rename(new, output) == 0 else {
      unlink(new)
      throw DaemonError("GFD-304", "the archive cannot be written: \(output): check its directory and the free space")
    }
    Progress.line("saved \(names.count) answers of gluster and \(files.count) files of volume \(volume)")
  }

  private var reason: String { String(cString: strerror(errno)) }

  private func write(_ text: String, to path: String) throws {
    guard let file = fopen(path, "w") else { throw DaemonError("GFD-305", "\(path): \(reason)") }
    defer { fclose(file) }
    guard fputs(text, file) >= 0, fflush(file) == 0 else { throw DaemonError("GFD-305", "\(path): \(reason)") }
  }
}
