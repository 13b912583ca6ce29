import Testing

@testable import Gluster

@Suite("The diagnosis of a failed connection")
struct ConnectionDiagnosisTests {
  let gone = GlusterError(errno: .socketNotConnected, call: "glfs_init")

  func words(
    _ error: GlusterError?, _ problem: ConnectionLog.Problem? = nil, _ answers: [ServerProbe.Answer] = [("one:24007", .success(.zero))]
  ) throws -> String? {
    ConnectionDiagnosis.words(try VolumeURI("gluster://one/myvol"), error, problem, answers)
  }

  @Test("If no server answers, the diagnosis names each server with the reason")
  func servers() throws {
    let unknown = ServerProbe.Reason(text: "Name or service not known", isOfName: true)
    let refused = ServerProbe.Reason(text: "Connection refused")
    #expect(
      try words(gone, nil, [("one:24007", .failure(unknown))])
        == "one:24007: Name or service not known: correct the server in volume=, or the name resolution of this host")
    #expect(
      try words(nil, nil, [("one:24007", .failure(unknown)), ("two:9", .failure(refused))])
        == "one:24007: Name or service not known, two:9: Connection refused: correct the server in volume=, or the name resolution of "
        + "this host; check that glusterd runs there, its port, and the firewall")
    // One server that answers is enough.
    #expect(
      try words(gone, .noBrickRuns, [("one:24007", .failure(unknown)), ("two:9", .success(.zero))])?.hasPrefix("no brick runs") == true)
  }

  @Test("If a server answers, the diagnosis names the problem of the volume")
  func volume() throws {
    #expect(try words(GlusterError(errno: .noSuchFileOrDirectory, call: "glfs_init")) == "there is no volume myvol (gluster volume list)")
    let snapshot = try ConnectionDiagnosis.words(
      VolumeURI("gluster://one/snaps/a/myvol"), GlusterError(errno: .noSuchFileOrDirectory, call: "glfs_init"), nil, [])
    #expect(snapshot?.contains("for a snapshot, give the URI of its volume, and snapshot=NAME") == true)
    #expect(try words(nil, .noBrickRuns) == "no brick runs, or too few of them: is the volume started (gluster volume status myvol)?")
    #expect(try words(nil, .refused)?.contains("auth.allow") == true)
    #expect(try words(nil, .tls("no certificate"), [("one:24007", .failure(.init(text: "no")))]) == "TLS: no certificate")
    #expect(try words(nil, nil)?.contains("that server.allow-insecure is on") == true)
    #expect(try words(gone, nil) == gone.cure && gone.cure != nil)
  }

  @Test(
    "The diagnosis recognizes known problems in the log of libgfapi",
    arguments: [
      ("", nil),
      (
        "[t] E [MSGID: 114058] [client-handshake.c:1193:client_query_portmap_cbk] 0-v-client-0: failed to get the port number for "
          + "remote subvolume. Please run gluster volume status on server to see if brick process is running []", .noBrickRuns
      ),
      (
        "[t] E [MSGID: 114044] [client-handshake.c:756:client_setvolume_cbk] 0-v-client-0: SETVOLUME on remote-host failed "
          + "[{remote-error=Authentication failed}, {errno=13}, {error=Permission denied}]", .refused
      ),
      ("[t] W [x] 0-v: SETVOLUME on remote-host failed Authentication failed", nil),
      (
        "[t] E [socket.c:4434:ssl_setup_connection_params] 0-v-client-0: could not load our cert at /etc/ssl/glusterfs.pem",
        .tls("could not load our cert at /etc/ssl/glusterfs.pem")
      ),
      (
        "[t] E [socket.c:245:ssl_dump_error_stack] 0-v-client-0:   error:0A000086:SSL routines::certificate verify failed",
        .tls("the server's certificate is not signed by what glusterfs.ca holds")
      ),
    ] as [(String, ConnectionLog.Problem?)])
  func log(_ log: String, _ problem: ConnectionLog.Problem?) {
    #expect(ConnectionLog.problem("[t] I [x] something\n" + log + "\n") == problem)
  }
}
