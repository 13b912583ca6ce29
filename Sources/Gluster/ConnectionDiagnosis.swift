import Glibc

extension VolumeURI {
  /// Finds out why connecting to the volume failed.
  ///
  /// This function connects to the servers, and reads what libgfapi logged. It takes at most two seconds for each address of a server, and
  /// the time in which this host resolves the servers' names.
  ///
  /// - Parameters:
  ///   - error: the error of connecting; nil if connecting took too long.
  ///   - log: the messages that libgfapi logged meanwhile; nil if they are not available.
  /// - Returns: the reason and what to do, in words; nil if nothing was found out.
  public func whyUnreachable(_ error: GlusterError?, _ log: ConnectionLog?) -> String? {
    var answers: [ServerProbe.Answer] = []
    if transport != .rdma {
      answers = servers.map { (ServerProbe.name($0, transport), ServerProbe.connect(to: $0, transport, within: 2)) }
    }
    return ConnectionDiagnosis.words(self, error, log?.problem, answers)
  }
}

enum ConnectionDiagnosis {
  /// - Parameters:
  ///   - answers: the servers' answers; empty if they were not asked.
  static func words(
    _ uri: VolumeURI, _ error: GlusterError?, _ problem: ConnectionLog.Problem?, _ answers: [ServerProbe.Answer]
  ) -> String? {
    let volume = uri.volume
    if case .tls(let text) = problem { return "TLS: \(text)" }
    let failures = answers.compactMap { name, result in if case .failure(let reason) = result { (name, reason) } else { nil } }
    if !answers.isEmpty, failures.count == answers.count {
      let cures =
        (failures.contains { $0.1.isOfName } ? ["correct the server in volume=, or the name resolution of this host"] : [])
        + (failures.contains { !$0.1.isOfName }
          ? [
            uri.transport == .unix
              ? "check that glusterd runs on this host, and the path of its socket"
              : "check that glusterd runs there, its port, and the firewall"
          ] : [])
      return failures.map { "\($0): \($1.text)" }.joined(separator: ", ") + ": " + cures.joined(separator: "; ")
    }
    if let error, error.meansMissing {
      if let snapshot = uri.snapshot { return "volume \(volume) has no snapshot \(snapshot) (gluster snapshot list \(volume))" }
      return "there is no volume \(volume) (gluster volume list)"
        + (volume == "snaps" ? "; for a snapshot, give the URI of its volume, and snapshot=NAME" : "")
    }
    if let snapshot = uri.snapshot, error?.meansNoBrickAnswers == true {
      return "no brick of the snapshot answers; is it activated (gluster snapshot info \(snapshot))?"
    }
    switch problem {
    case .refused:
      return "the bricks refuse this host: check auth.allow and auth.reject, with TLS auth.ssl-allow (gluster volume get \(volume) all)"
    case .noBrickRuns:
      return "no brick runs, or too few of them: is the volume started (gluster volume status \(volume))?"
    case .tls, nil:
      break
    }
    return error?.cure ?? "no brick answers: check their ports in the firewall (49152 and higher), that server.allow-insecure is on "
      + "(gluster volume get \(volume) server.allow-insecure), and, if the servers encrypt management traffic, that "
      + "/var/lib/glusterd/secure-access is on this host"
  }
}
