import ArgumentParser
import Glibc
import GfapiFD
import Gluster

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checks a plugin line: parses it, connects, and says what the volume is.")

  @Argument(help: "The plugin line, as in a FileSet.")
  var definition: String

  func run() throws {
    let parsed: PluginDefinition
    do {
      parsed = try PluginDefinition(definition)
    } catch {
      print("\(error)")
      print("cure: correct the line; in the director's configuration each backslash is written twice")
      throw GfapiFDTool.Status.nothingDone
    }
    print("definition:  valid")
    print("volume:      \(parsed.volume)")
    let volume = JobVolume(parsed)
    defer { volume.close() }
    let report: VolumeReport
    do {
      report = try volume.connectAndReport()
    } catch {
      print("\(error)")
      print("cure: see that the volume is started (gluster volume status \(parsed.volume.volume)), that this host reaches")
      print("      glusterd's port 24007 and the bricks' ports, that auth.allow admits it, and that the directory exists;")
      print("      with TLS, that glusterfs.pem, .key and .ca are here, and /var/lib/glusterd/secure-access as on the servers")
      throw GfapiFDTool.Status.nothingDone
    }
    print("connected:   yes")
    print("type:        \(report.type)")
    print("libgfapi:    \(report.clientVersion)")
    print("space:       \(report.free >> 20) MiB free of \(report.size >> 20) MiB")
    print("ACLs:        \(report.acls ?? "supported")")
    print("xattrs:      \(report.extendedAttributes ?? "supported")")
    if report.acls != nil || report.extendedAttributes != nil {
      print("cure: the bricks' file system must be mounted with ACLs and extended attributes (XFS has both)")
      throw GfapiFDTool.Status.someFailed
    }
    if let list = parsed.fileList.map({ String(decoding: $0, as: UTF8.self) }), access(list, R_OK) != 0 {
      print("gffilelist:  \(list): \(String(cString: strerror(errno)))")
      print("cure: the list is written by bareos-glusterfind-wrapper before the job")
      throw GfapiFDTool.Status.someFailed
    }
  }
}
