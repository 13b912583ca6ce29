import ArgumentParser
import GfapiDefinition
import GfapiJob
import Glibc
import Gluster
import GlusterfindWrapper
import MiniDaemon
import Programs
import SetupCheck

struct Check: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Checks module, plugin line, servers and volume, and prints a cure for each problem.",
    discussion: """
      Exit status: 0 if all is well, 1 if there are problems or warnings but a backup could begin, 2 if no backup could begin.
      """)

  @Argument(help: pluginLineHelp, transform: pluginLine)
  var definition: String

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var module: ModuleArgument

  func run() throws {
    var findings = Findings()
    let mayBegin = check(&findings)
    print(json ? findings.json : findings.text(isColoured: Self.isColoured), terminator: "")
    if !mayBegin { throw GfapiFDTool.Status.nothingDone }
    if findings.count(.problem) + findings.count(.warning) > 0 { throw GfapiFDTool.Status.someFailed }
  }

  /// True on a terminal, unless NO_COLOR is set (no-color.org).
  private static var isColoured: Bool {
    isatty(STDOUT_FILENO) == 1 && getenv("NO_COLOR").map { $0.pointee == 0 } ?? true
  }

  /// Returns true if a backup could begin.
  private func check(_ findings: inout Findings) -> Bool {
    let isLoadable = checkModule(&findings)
    let parsed: PluginDefinition
    do {
      parsed = try PluginDefinition(definition)
    } catch {
      findings.add(
        .problem, "definition", "\(error)", cure: "correct the line; in the director's configuration each backslash is written twice")
      return false
    }
    findings.add("definition", "valid")
    findings.add("volume", "\(parsed.volume)")
    checkServers(parsed.volume, &findings)
    if geteuid() != 0 {
      findings.add(
        .problem, "user", "this is user \(geteuid()), not root: a daemon of this user saves only what it may read, and cannot set owners",
        cure: "run the file daemon as root, and this command as the daemon's user")
    }
    let isReached = checkVolume(parsed, &findings)
    checkList(parsed, &findings)
    return isLoadable && isReached
  }

  /// Loads the module as each daemon does. Returns true if it can be loaded.
  private func checkModule(_ findings: inout Findings) -> Bool {
    let module = module.path
    var answered: [String] = []
    for abi in ABI.allCases {
      do {
        let loaded = try PluginModule(module, abi)
        answered.append(abi.releases)
        loaded.unload()
      } catch {
        findings.add(
          .problem, "module", "as \(abi.releases) loads it: \(error)",
          cure: "install the package gfapi-fd, and libgfapi (libgfapi0), or name the module with --module")
        return false
      }
    }
    var status = stat()
    if lstat(module, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
      findings.add(
        .warning, "module", "\(module) is a symbolic link: the daemons leave it out", cure: "put the file itself there, or a hard link")
    } else {
      findings.add("module", "\(module), for \(answered.joined(separator: ", "))")
    }
    return true
  }

  private func checkServers(_ uri: VolumeURI, _ findings: inout Findings) {
    guard uri.transport != .rdma else { return }
    for server in uri.servers {
      let name = ServerProbe.name(server, uri.transport)
      switch ServerProbe.connect(to: server, uri.transport, within: 5) {
      case .success(let time): findings.add("server", "\(name) answers in \(milliseconds(time))")
      case .failure(let reason):
        findings.add(
          uri.servers.count > 1 ? .warning : .problem, "server", "\(name): \(reason.text)",
          cure: "see that glusterd runs there, that this host knows the name, and that no firewall is between them")
      }
    }
  }

  private func checkVolume(_ parsed: PluginDefinition, _ findings: inout Findings) -> Bool {
    let volume = JobVolume(parsed)
    defer { volume.close() }
    let report: VolumeReport
    let latency: VolumeLatency
    let took: Duration
    do {
      (report, latency, took) = try volume.connectAndReport()
    } catch {
      let failure = error as? JobVolume.ConnectionFailure
      findings.add(
        .problem, "connected", failure?.problem ?? "\(error)",
        cure: failure?.cure
          ?? "see that the volume is started (gluster volume status \(parsed.volume.volume)), that this host reaches the bricks' ports "
          + "(49152 and up), that auth.allow admits it, and that the directory exists; with TLS, that glusterfs.pem, .key and .ca are "
          + "here, and /var/lib/glusterd/secure-access as on the servers")
      return false
    }
    findings.add("connected", "yes, in \(milliseconds(took))")
    findings.add("type", report.type)
    if !report.unreachableBricks.isEmpty {
      let isFatal = report.missingSubvolume != nil
      findings.add(
        isFatal ? .problem : .warning, "bricks",
        "not connected: \(report.unreachableBricks.joined(separator: ", "))" + (isFatal ? ": a job waits for them, and fails" : ""),
        cure: "gluster volume status \(parsed.volume.volume); start the bricks, and open their ports in the firewall")
    }
    findings.add("libgfapi", report.clientVersion)
    findings.add("space", "\(report.free >> 20) MiB free of \(report.size >> 20) MiB")
    func check(_ subject: String, _ problem: String?, _ text: String, cure: String) {
      if let problem { findings.add(.problem, subject, problem, cure: cure) } else { findings.add(subject, text) }
    }
    check("directory", report.access, "may be read", cure: "run the file daemon as root, or let its user read the directory")
    let fileSystem = "the bricks' file system must be mounted with ACLs and extended attributes (XFS has both)"
    check("ACLs", report.acls, "supported", cure: fileSystem)
    check("xattrs", report.extendedAttributes, "supported", cure: fileSystem)
    findings.add(
      "latency",
      "\(milliseconds(latency.lookUp)) for looking a name up"
        + (latency.read.map { ", \(milliseconds($0)) for reading a small file" } ?? ""))
    if report.wasSharded {
      findings.add(
        .problem, "shards",
        "features.shard is off, and there are files in shards: each of them fails, because the volume returns only its first shard",
        cure: "gluster volume set \(parsed.volume.volume) features.shard on, with the features.shard-block-size of before")
    }
    VolumeOptions.look(parsed.volume, into: &findings)
    checkChanges(parsed, report, latency, &findings)
    SnapshotNeeds.look(parsed.volume.volume, isWanted: parsed.moment.isOfJob, into: &findings)
    return report.access == nil && report.missingSubvolume == nil
  }

  /// Reports which changes an incremental job finds, and at what cost.
  private func checkChanges(_ parsed: PluginDefinition, _ report: VolumeReport, _ latency: VolumeLatency, _ findings: inout Findings) {
    let changes = "changes"
    if case .changes = parsed.source {
      findings.add(changes, "by list: all that the bricks log, and what they do not log: fallocate, holes, zeroed ranges")
    } else if !report.keepsTimes {
      findings.add(changes, "by crawl: all, because the bricks date every change (features.ctime is off)")
    } else if parsed.checksAttributes {
      // Each call takes a tenth of a millisecond of processor time on client and brick (measured), however many calls are under way.
      let seconds = 100_000 * max(latency.lookUp / .seconds(1) / Double(max(parsed.workers, 1)), 0.0001)
      findings.add(
        changes,
        "by crawl: all; Gluster does not date attributes, ACLs and holes (features.ctime), so an incremental job asks each unchanged entry: "
          + "about \(max(Int(seconds.rounded()), 1)) s for 100,000")
    } else {
      findings.add(
        .warning, changes,
        "by crawl: not all; Gluster does not date attributes, ACLs and holes (features.ctime), and attributes=dated misses them",
        cure: "remove attributes=dated from the plugin line")
    }
    if case .changes = parsed.source { return }
    switch GlusterfindNeeds.areChangesLogged(parsed.volume.volume) {
    case .some(true): findings.add("changelogs", "on: with a list of glusterfind (gffilelist=) a job does not crawl")
    case .some(false): findings.add("changelogs", "off: a job can only crawl")
    case nil: findings.add("changelogs", "not known: gluster answers only on a node of the volume")
    }
    guard report.isSharded else { return }
    if let problem = report.shards {
      findings.add(
        .warning, "shards", "cannot be listed, so each incremental job backs up every file of more than one shard: \(problem)",
        cure: "install libgfapi 6.6 or later")
    } else {
      findings.add("shards", "are listed, because the times of a file are those of its first shard")
    }
  }

  /// Reports how far back a list can reach, and how much disk space the changelogs use.
  private func checkChangelogs(_ volume: String, _ findings: inout Findings) {
    let subject = "changelogs"
    guard let bricks = try? waiting({ try await ChangelogReach.ofAll(bricksOf: volume) }) else { return }
    for brick in bricks {
      guard let start = brick.start, let size = brick.kilobytes else {
        findings.add(
          .warning, subject, "\(brick.brick): \(brick.problem ?? "it has none, and the next list is of everything")",
          cure: "see that changelog.changelog is on, and that root of this node can log in to the brick's node with glusterfind's key")
        continue
      }
      findings.add(subject, "\(brick.brick): since \(utc(start)), \(sizeInWords(Double(size) * 1024)) on its disk")
    }
    if let state = try? waiting({ try await ChangelogReach.rebalance(of: volume) }), state != "not started" {
      findings.add(subject, "rebalance: \(state); what it moved is listed all the same")
    }
  }

  private func checkList(_ parsed: PluginDefinition, _ findings: inout Findings) {
    let list: String
    switch parsed.source {
    case .crawl: return
    case .paths(let file):
      let file = String(decoding: file, as: UTF8.self)
      if access(file, R_OK) == 0 {
        findings.add("pathlist", "\(file) may be read")
      } else {
        findings.add(.problem, "pathlist", "\(file): \(String(cString: strerror(errno)))", cure: "write it before the job")
      }
      return
    case .changes(let file): list = String(decoding: file, as: UTF8.self)
    }
    GlusterfindNeeds.look(parsed.volume.volume, into: &findings)
    checkChangelogs(parsed.volume.volume, &findings)
    guard access(list, R_OK) == 0 else {
      findings.add(
        .warning, "gffilelist", "\(list): \(String(cString: strerror(errno)))",
        cure: "bareos-glusterfind-wrapper writes it before each job: see that the Job has its RunScripts")
      return
    }
    findings.add("gffilelist", "\(list) may be read")
  }
}

/// Returns a time as text, such as `0.31 ms`.
private func milliseconds(_ time: Duration) -> String {
  let hundredths = Int((time / .milliseconds(1) * 100).rounded())
  return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) ms"
}
