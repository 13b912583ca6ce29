import FDPluginABI
import Foundation
import Testing
import TestSupport

@testable import MiniDaemon

/// Calls of a broken daemon: in any order, and with any content of the packets that a pointer and a length allow.
@Suite("Hostile calls", .serialized)
struct HostileCallTests {
  /// Makes random calls of one job.
  final class Caller {
    private let job: MiniJob
    private let line: String
    private var random: Random
    private let names: [String]
    private let place: String
    private var strings: [UnsafeMutablePointer<CChar>] = []
    private let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: 1 << 16)
    /// The names of the calls so far, for the message of a failure.
    private(set) var story: [String] = []

    /// - Parameters:
    ///   - line: a valid definition.
    ///   - place: the directory into which restores write.
    ///   - names: names for restored entries; some of them lead out of `place`.
    init(_ job: MiniJob, line: String, place: String, names: [String], seed: UInt64) {
      (self.job, self.line, self.place, self.names, random) = (job, line, place, names, Random(seed: seed))
      buffer.initialize(repeating: 7, count: 1 << 16)
    }

    deinit {
      for string in strings { free(string) }
      buffer.deallocate()
    }

    private func pick<T>(_ values: [T]) -> T { values.randomElement(using: &random)! }
    private func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

    private func string(_ text: String?) -> UnsafeMutablePointer<CChar>? {
      guard let text else { return nil }
      let copy = strdup(text)!
      strings.append(copy)
      return copy
    }

    private func someBytes() -> [UInt8] {
      (0..<pick([0, 1, 3, 4, 8, 44, 300, 5000])).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    private func someLine() -> String? {
      chance(70)
        ? line
        : pick([
          nil, "", "gfapi", "gfapi:", "gfapi:volume=", "other:volume=x:", line + "nonsense=1:", String(repeating: "x", count: 100_000),
        ])
    }

    private func someStatus() -> stat {
      var status = stat()
      status.st_mode =
        pick([S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, 0, 0o170000]) | mode_t.random(in: 0...0o7777, using: &random)
      status.st_uid = pick([0, 1000, .max])
      status.st_size = pick([0, 1, 65536, -1, .max, .min])
      status.st_mtim = timespec(tv_sec: pick([0, -1, .max, .min, 1_700_000_000]), tv_nsec: pick([0, -1, 999_999_999, .max]))
      status.st_atim = status.st_mtim
      status.st_rdev = pick([0, .max])
      return status
    }

    private func somePacket() -> fd_restore_packet {
      var packet = fd_restore_packet()
      packet.type = chance(80) ? Int32(pick([1, 2, 3, 4, 5, 6, 17])) : Int32(truncatingIfNeeded: random.next())
      packet.statp = someStatus()
      packet.ofname = UnsafePointer(string(chance(95) ? place + pick(names) : nil))
      packet.olname = UnsafePointer(string(chance(80) ? pick(names.map { place + $0 } + ["", "/", "..", "target"]) : nil))
      packet.where = UnsafePointer(string(place))
      packet.replace = Int32(pick([FD_REPLACE_ALWAYS, FD_REPLACE_IF_NEWER, FD_REPLACE_IF_OLDER, FD_REPLACE_NEVER, 0, -1]))
      packet.LinkFI = Int32(pick([0, 1, -1, Int(Int32.max)]))
      packet.file_index = Int32(pick([0, 1, -1, Int(Int32.max)]))
      return packet
    }

    private func io(_ function: Int) {
      var packet = fd_io_packet()
      packet.func = Int32(function)
      // The plugin cannot check the size of a buffer, so counts do not exceed the size of this one. Without a buffer every count is wrong.
      packet.buf = chance(85) ? buffer : nil
      packet.count = Int32(pick(packet.buf == nil ? [0, 1, -1, Int(Int32.max), Int(Int32.min)] : [0, 1, 65536, 512, -1, Int(Int32.min)]))
      packet.flags = pick([O_WRONLY | O_CREAT | O_TRUNC, O_RDONLY, -1])
      packet.fname = UnsafePointer(string(chance(80) ? pick(names) : nil))
      packet.offset = pick([0, 0, 65536, -1, .max, .min])
      packet.whence = pick([SEEK_SET, SEEK_SET, SEEK_CUR, SEEK_END, 99])
      _ = job.calls.io(&packet)
    }

    /// Passes raw pointers in the packets of ACLs and extended attributes, and null pointers in place of packets.
    private func rawAttributes() {
      if let calls = job.calls as? BareosCalls {
        var acl = bareos_acl_packet()
        acl.pkt_size = Int32(pick([MemoryLayout<bareos_acl_packet>.size, MemoryLayout<bareos_acl_packet>.size, 0, -1, 39]))
        acl.fname = UnsafePointer(string(chance(70) ? pick(names) : nil))
        acl.content = chance(50) ? buffer : nil
        acl.content_length = acl.content == nil ? pick([0, 1, .max, 1 << 31]) : pick([0, 1, 40, 65536])
        _ = calls.functions.set_acl(calls.context, &acl)
        _ = calls.functions.set_acl(calls.context, nil)
        var attribute = bareos_xattr_packet()
        attribute.pkt_size = Int32(pick([MemoryLayout<bareos_xattr_packet>.size, MemoryLayout<bareos_xattr_packet>.size, 0, -1, 57]))
        attribute.fname = acl.fname
        attribute.name = chance(50) ? buffer : nil
        attribute.name_length = attribute.name == nil ? pick([0, 1, .max]) : pick([0, 1, 40, 65536])
        attribute.value = chance(50) ? buffer : nil
        attribute.value_length = attribute.value == nil ? pick([0, 1, .max, 1 << 31]) : pick([0, 1, 40, 65536])
        _ = calls.functions.set_xattr(calls.context, &attribute)
        _ = calls.functions.set_xattr(calls.context, nil)
        _ = calls.functions.check_file(calls.context, string(chance(50) ? pick(names) : nil))
        _ = calls.functions.start_restore_file(calls.context, nil)
        for call in [calls.functions.plugin_io, calls.functions.create_file, calls.functions.set_file_attributes] {
          _ = call!(calls.context, nil)
        }
        _ = calls.functions.start_backup_file(calls.context, nil)
        _ = calls.functions.get_acl(calls.context, nil)
        _ = calls.functions.get_xattr(calls.context, nil)
        _ = calls.functions.handle_event(calls.context, nil, nil)
      } else if let calls = job.calls as? BaculaCalls {
        var packet = bacula_xacl_packet()
        packet.pkt_size = Int32(pick([MemoryLayout<bacula_xacl_packet>.size, MemoryLayout<bacula_xacl_packet>.size, 0, -1, 33]))
        packet.func = Int32(pick([BACULA_ACL_BACKUP, BACULA_ACL_RESTORE, BACULA_XATTR_BACKUP, BACULA_XATTR_RESTORE, 0, 99, -1]))
        packet.content = chance(50) ? buffer : nil
        packet.count = Int32(packet.content == nil ? pick([0, 1, -1, Int(Int32.max)]) : pick([0, 1, 40, 65536, -1]))
        _ = calls.functions.handle_xacl(calls.context, &packet)
        _ = calls.functions.handle_xacl(calls.context, nil)
        _ = calls.functions.check_file(calls.context, string(chance(50) ? pick(names) : nil))
        _ = calls.functions.start_restore_file(calls.context, nil)
        for call in [calls.functions.create_file, calls.functions.set_file_attributes] { _ = call!(calls.context, nil) }
        _ = calls.functions.plugin_io(calls.context, nil)
        _ = calls.functions.start_backup_file(calls.context, nil)
        _ = calls.functions.handle_event(calls.context, nil, nil)
      }
    }

    func callSomething() {
      let calls = job.calls!
      let choices: [(String, () -> Void)] = [
        (
          "command",
          { [self] in
            let event = pick([DaemonEvent.backupCommand, .restoreCommand, .estimateCommand, .pluginCommand, .newPluginOptions])
            job.send(event, UnsafeMutableRawPointer(string(someLine())))
          }
        ),
        (
          "event",
          { [self] in
            let event = pick([
              DaemonEvent.jobStart, .jobEnd, .startBackupJob, .endBackupJob, .startRestoreJob, .endRestoreJob, .startBackupJob,
            ])
            job.send(event, nil)
          }
        ),
        (
          "level",
          { [self] in
            job.send(pick([.level, .since]), UnsafeMutableRawPointer(bitPattern: pick([0, 1, 73, 68, 70, 1 << 40])))
          }
        ),
        ("startBackupFile", { [self] in _ = calls.startBackupFile(job.options) }),
        ("endBackupFile", { _ = calls.endBackupFile() }),
        ("acls", { _ = calls.acls() }),
        ("extendedAttributes", { _ = calls.extendedAttributes() }),
        ("open", { [self] in io(FD_IO_OPEN) }),
        ("read", { [self] in io(FD_IO_READ) }),
        ("write", { [self] in io(FD_IO_WRITE) }),
        ("close", { [self] in io(FD_IO_CLOSE) }),
        ("io", { [self] in io(pick([FD_IO_SEEK, 0, 99, -1])) }),
        ("startRestoreFile", { [self] in calls.startRestoreFile(Array((someLine() ?? "").utf8)) }),
        ("endRestoreFile", { calls.endRestoreFile() }),
        ("createFile", { [self] in _ = calls.createFile(somePacket(), original: Array(pick(names).utf8)) }),
        ("setFileAttributes", { [self] in calls.setFileAttributes(somePacket(), original: Array(pick(names).utf8)) }),
        ("setACLs", { [self] in calls.setACLs(someBytes(), of: Array(pick(names).utf8)) }),
        (
          "setExtendedAttributes",
          { [self] in
            calls.setExtendedAttributes([(someBytes(), someBytes()), (Array("user.x".utf8), someBytes())], of: Array(pick(names).utf8))
          }
        ),
        ("raw", { [self] in rawAttributes() }),
        ("getValue", { [self] in _ = calls.getValue(pick([1, 2, 99, -1]), nil) }),
        ("setValue", { [self] in _ = calls.setValue(pick([1, 2, 99, -1]), nil) }),
      ]
      let (name, call) = pick(choices)
      story.append(name)
      call()
    }
  }

  // The plugin cannot check the bytes behind a pointer: it has to trust the daemon that a name ends and that a length is right.
  @Test(
    "hostile calls crash nothing and write nothing outside the restore's place, and the next job works",
    arguments: Soak.cases([.bareos26, .bacula9, .bacula15], of: ABI.allCases))
  func calls(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    #expect(
      try run(
        "sh", "-c",
        """
        cd '\(local)' && mkdir -p outside source/sub place && echo kept > outside/file && ln -s ../outside place/link &&
        for n in 1 2 3 4 5; do echo $n > source/$n; ln -s $n source/sub/l$n; setfattr -n user.x -v $n source/$n; done
        """
      ).status == 0)
    func outside() throws -> String {
      try run("sh", "-c", "cd '\(local)/outside' && ls -laR --time-style=full-iso | grep -v '^total' | grep -v ' \\.\\.$' && cat file")
        .output
    }
    let before = try outside()
    // The calls that made each connection, by connection.
    var stories = Dictionary(uniqueKeysWithValues: try ProcessUsage.clients(getpid()).map { ($0, "before") })
    let names = [
      "/file", "/file", "/dir", "/dir/file", "/link", "/link/through", "/../outside/file", "/dir/../../outside/new", "/./x",
      "//", "/", "", "relative", "/a\u{1}b", "/" + String(repeating: "n", count: 300),
      String(repeating: "/deep", count: 1000), "/dir/",
    ]
    for seed in 0..<UInt64(Soak.rounds(40, 1000)) {
      try withJob(abi: abi) { job throws in
        let caller = Caller(job, line: Scratch.line("plain", path + "/source"), place: path + "/place", names: names, seed: seed)
        for _ in 0..<60 { caller.callSomething() }
        for client in try ProcessUsage.clients(getpid()) where stories[client] == nil { stories[client] = "seed \(seed): \(caller.story)" }
        #expect(try outside() == before, "seed \(seed): \(caller.story)")
      }
    }
    let saved = MemoryBackup()
    let counts = try withJob(abi: abi) { try $0.backup(Scratch.line("plain", path + "/source"), to: saved) }
    #expect(counts?.entries == 12 && counts?.failed == 0, "\(String(describing: counts))")
    // A connection takes ten seconds to end.
    var left: [String] = []
    #expect(
      try eventually(within: 60) {
        left = try ProcessUsage.clients(getpid()).compactMap { stories[$0] }.filter { $0 != "before" }
        return left.isEmpty
      }, "connections are left: \(left)")
  }
}
