import FDPluginABI
import Foundation
import Testing
import TestSupport

@testable import MiniDaemon

@Suite("Bacula interface")
struct BaculaInterfaceTests {
  static let releases = ABI.allCases.filter(\.isBacula)

  func calls(_ job: MiniJob) throws -> BaculaCalls { try #require(job.calls as? BaculaCalls) }

  @Test("for Bacula, an additional hard link has the file index of the first name", arguments: releases)
  func hardLinks(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    let commands = """
      cd '\(local)' && mkdir tree && cd tree && echo first > a && ln a b && ln a c && mkfifo pipe && ln pipe pipe2 &&
      ln -s target link && ln -P link link2 && echo alone > alone
      """
    #expect(try run("sh", "-c", commands).status == 0)
    let backup = MemoryBackup()
    try withJob(abi: abi) { job throws in
      #expect(try job.backup(Scratch.line("plain", path + "/tree"), to: backup)?.entries == 9)
    }
    for names in [["a", "b", "c"], ["pipe", "pipe2"], ["link", "link2"]] {
      let items = names.compactMap { backup.item("\(path)/tree/\($0)") }
      let first = try #require(items.min { $0.entry.fileIndex < $1.entry.fileIndex })
      #expect(first.entry.type != FD_FT_LNKSAVED && first.entry.linkIndex == 0)
      for item in items where item.entry.path != first.entry.path {
        #expect(item.entry.type == FD_FT_LNKSAVED && item.data.isEmpty)
        #expect(item.entry.link == first.entry.path && item.entry.linkIndex == first.entry.fileIndex)
      }
    }
    #expect(backup.item(path + "/tree/alone")?.entry.linkIndex == 0)
    var options = RestoreOptions()
    options.prefix = Array((path + "/restored").utf8)
    _ = try withJob(abi: abi) { try backup.restore($0, Scratch.line(), options) }
    let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/restored" + path + "/tree")
    #expect(comparison.status == 0, "\(comparison.output)")
  }

  @Test("a save packet for Bacula has 64 bits of flags, with the sparse flag for a file with holes", arguments: releases)
  func flags(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-c", "cd '\(local)' && truncate -s 1M hole && echo x > whole && : > empty").status == 0)
    try withJob(abi: abi) { job throws in
      let calls = try calls(job)
      #expect(job.send(.backupCommand, line: Array(Scratch.line("plain", path).utf8)) == Int32(FD_OK))
      var sparse: [String: Bool] = [:]
      repeat {
        let record = try #require(calls.startBackupFile(job.options))
        if record.type == BACULA_FT_PLUGIN_CONFIG { continue }
        sparse[URL(fileURLWithPath: String(decoding: record.path, as: UTF8.self)).lastPathComponent] = record.isSparse
      } while calls.endBackupFile() == Int32(FD_MORE)
      #expect(sparse == ["hole": true, "whole": false, "empty": false, String(path.dropFirst()): false])
    }
    guard abi == .bacula9 else { return }
    // Flags beyond bit 31 that the daemon has set stay set.
    try withJob(abi: abi) { job throws in
      let calls = try calls(job)
      #expect(job.send(.backupCommand, line: Array(Scratch.line("plain", path).utf8)) == Int32(FD_OK))
      var packet = bacula_save_packet_9()
      packet.pkt_size = Int32(MemoryLayout<bacula_save_packet_9>.size)
      #expect(calls.functions.start_backup_file(calls.context, &packet) == Int32(FD_OK))
      #expect(packet.type == Int32(BACULA_FT_PLUGIN_CONFIG) && calls.endBackupFile() == Int32(FD_MORE))
      packet.flags = 1 << 40
      #expect(calls.functions.start_backup_file(calls.context, &packet) == Int32(FD_OK))
      #expect(packet.flags & ~(1 << UInt64(FD_FO_SPARSE)) == 1 << 40)
    }
  }

  @Test("Bacula gets ACLs and extended attributes one stream at a time, in memory that the plugin owns", arguments: releases)
  func attributes(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    let commands = """
      cd '\(local)' && echo x > file && setfacl -m u:7:rw file && setfattr -n user.one -v 1 file &&
      setfattr -n user.empty file && setfattr -n user.binary -v 0x000102ff00 file
      """
    #expect(try run("sh", "-c", commands).status == 0)
    let backup = MemoryBackup()
    try withJob(abi: abi) { job throws in
      #expect(try job.backup(Scratch.line("plain", path), to: backup)?.entries == 2)
      let calls = try calls(job)
      // Without a current entry there are no attributes to return.
      #expect(calls.acls() == [] && calls.extendedAttributes().isEmpty)
    }
    let entry = try #require(backup.item(path + "/file")).entry
    #expect(entry.acls.starts(with: [0, 0, 0, 24] + Array("system.posix_acl_access".utf8) + [0]))
    let attributes = Dictionary(uniqueKeysWithValues: entry.extendedAttributes.map { (String(decoding: $0.name, as: UTF8.self), $0.value) })
    #expect(attributes == ["user.one": Array("1".utf8), "user.empty": [], "user.binary": [0, 1, 2, 255, 0]])
  }

  @Test("more extended attributes than Bareos accepts are backed up and restored with Bacula")
  func manyAttributes() throws {
    let (local, path) = try Scratch.folder()
    let script = """
      import os, sys
      name = sys.argv[1] + "/file"
      open(name, "w").close()
      for number in range(30): os.setxattr(name, "user.%d" % number, bytes([number]) * 60000)
      """
    #expect(try run("python3", "-c", script, local).status == 0)
    let backup = MemoryBackup()
    try withJob(abi: .bacula9) { job throws in
      _ = try job.backup(Scratch.line("plain", path), to: backup)
      #expect(!job.messages.contains { $0.severity != .info }, "\(job.messages)")
    }
    let entry = try #require(backup.item(path + "/file")).entry
    #expect(entry.extendedAttributes.count == 30)
    try FileManager.default.removeItem(atPath: local + "/file")
    _ = try withJob(abi: .bacula9) { try backup.restore($0, Scratch.line()) }
    let names = try run("getfattr", "-m", "user", local + "/file").output
    #expect(names.split(separator: "\n").count { $0.hasPrefix("user.") } == 30, "\(names)")
  }

  @Test("a malformed stream of attributes from Bacula is reported, and nothing is read beyond its end")
  func malformedStreams() throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data())
    let saved = MemoryBackup()
    _ = try withJob(abi: .bacula9) { try $0.backup(Scratch.line("plain", path), to: saved) }
    let entry = try #require(saved.item(path + "/file")).entry
    let name: [UInt8] = [0, 0, 0, 7] + Array("user.n".utf8) + [0]
    let contents: [[UInt8]] = [
      [0], [1, 2, 3], [0xff, 0xff, 0xff, 0xff], name, name + [0, 0, 0, 9, 1], [0, 0, 0, 1, 0, 0, 0, 0, 0],
      [0, 0, 0, 6] + Array("user.n".utf8) + [0, 0, 0, 0],
    ]
    for (function, what) in [(BACULA_ACL_RESTORE, "ACL"), (BACULA_XATTR_RESTORE, "extended attribute")] {
      for content in contents {
        try withJob(abi: .bacula9) { job throws in
          let calls = try calls(job)
          #expect(job.send(.restoreCommand, line: Array(Scratch.line().utf8)) == Int32(FD_OK))
          let created = entry.path.withCString { path in
            var packet = fd_restore_packet()
            packet.type = Int32(entry.type)
            packet.statp = entry.status
            packet.ofname = path
            packet.replace = Int32(FD_REPLACE_ALWAYS)
            return calls.createFile(packet, original: entry.path)
          }
          #expect(created == FD_CF_EXTRACT)
          calls.hand(function, content)
          calls.endRestoreFile()
          let told = job.messages.filter { $0.severity == .error }
          #expect(told.contains { $0.text.contains(what) } == (content != [0]), "\(content): \(job.messages)")
        }
      }
    }
    // A null pointer, a negative count, and an unknown function.
    try withJob(abi: .bacula9) { job throws in
      let calls = try calls(job)
      for (function, count, answer) in [(BACULA_ACL_RESTORE, 9, FD_OK), (BACULA_XATTR_RESTORE, -9, FD_OK), (99, 0, FD_ERROR)] {
        var packet = bacula_xacl_packet()
        packet.pkt_size = Int32(MemoryLayout<bacula_xacl_packet>.size)
        packet.func = Int32(function)
        packet.count = Int32(count)
        #expect(calls.functions.handle_xacl(calls.context, &packet) == Int32(answer))
      }
    }
  }

  @Test("messages have the numbers of the daemon's release; Bacula 13 and later use other numbers", arguments: ABI.allCases)
  func messageTypes(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data())
    try withJob(abi: abi) { job throws in
      _ = try job.backup(Scratch.line("plain", path), to: MemoryBackup())
      #expect(job.messages.map(\.severity) == [.info, .info, .info], "\(job.messages)")
    }
    try withJob(abi: abi) { job throws in
      #expect(try job.backup("gfapi:nonsense", to: MemoryBackup()) == nil)
      #expect(job.messages.map(\.severity) == [.fatal], "\(job.messages)")
    }
  }

  @Test("events have Bacula's numbers: 20 is no plugin option, and 24 reports the wrong place of a line")
  func events() throws {
    try withJob(abi: .bacula9) { job throws in
      let calls = try calls(job)
      // 20 is Bareos's number for plugin options, where a wrong line would end the job.
      var line = Array("gfapi:nonsense".utf8) + [0]
      #expect(line.withUnsafeMutableBytes { calls.send(number: BACULA_EVENT_PLUGIN_COMMAND, $0.baseAddress) } == Int32(FD_OK))
      #expect(job.messages.isEmpty)
      // Bacula asks an option plugin for the data of every local file.
      for _ in 1...2 { #expect(calls.send(number: BACULA_EVENT_HANDLE_BACKUP_FILE, nil) == Int32(FD_CORE)) }
      #expect(job.messages.count == 1 && job.messages[0].text.contains("Include"))
      for number in [0, 7, 15, 18, 26, 27, 99] { #expect(calls.send(number: number, nil) == Int32(FD_OK)) }
    }
  }

  @Test(
    "a restore with a wrong line refuses each entry: after an error Bacula would restore onto its own disk", arguments: releases)
  func refusedRestore(_ abi: ABI) throws {
    try withJob(abi: abi) { job throws in
      let calls = try calls(job)
      #expect(job.send(.restoreCommand, line: Array("gfapi:nonsense".utf8)) == Int32(FD_OK))
      #expect(job.hasFailed)
      #expect(calls.createFile(fd_restore_packet(), original: []) == FD_CF_ERROR)
    }
  }

  @Test("in Bacula 9.6 a second restore waits for the first, and can be cancelled while it waits", arguments: [false, true])
  func restoreTurn(_ isCancelled: Bool) throws {
    let line = Array(Scratch.line().utf8)
    try withJob(abi: .bacula9) { first throws in
      #expect(first.send(.restoreCommand, line: line) == Int32(FD_OK))
      let second = try MiniJob(first.module)
      let done = DispatchSemaphore(value: 0)
      Thread.detachNewThread {
        _ = second.send(.restoreCommand, line: line)
        done.signal()
      }
      #expect(eventually { second.messages.contains { $0.text.contains("waits for another restore") } })
      // The second restore waits as long as the first one runs, however many entries that one has.
      #expect(first.send(.restoreCommand, line: line) == Int32(FD_OK))
      #expect(done.wait(timeout: .now() + .milliseconds(300)) == .timedOut)
      if isCancelled { second.cancel() } else { first.send(.endRestoreJob) }
      #expect(done.wait(timeout: .now() + .seconds(30)) == .success)
      second.end()
      #expect(second.messages.contains { $0.text.contains("0 entries restored") } == !isCancelled, "\(second.messages)")
    }
  }

  @Test("each backup for Bacula offers restore options, which redirect a restore to another volume and directory", arguments: releases)
  func restoreOptions(_ abi: ABI) throws {
    let (local, path) = try Scratch.folder()
    #expect(try run("sh", "-c", "cd '\(local)' && mkdir d && echo x > d/file && ln d/file d/second").status == 0)
    let (other, otherPath) = try Scratch.folder(on: "replicated")
    let backup = MemoryBackup()
    try withJob(abi: abi) { job throws in
      #expect(try job.backup(Scratch.line("plain", path), to: backup)?.entries == 4)
      let offered = String(decoding: job.restoreOptions, as: UTF8.self)
      #expect(offered.contains("\nvolume=@STR@\n") && offered.contains("OptPrompt="))
      // The daemon counts the record of the restore options as an entry of the job. An estimate does not count it.
      #expect(backup.items.first?.entry.fileIndex == 2)
      #expect(job.estimate(Scratch.line("plain", path))?.entries == 4)
    }
    try withJob(abi: abi) { job throws in
      try calls(job).setOptions(
        "# Plugin configuration file\n# Version 1\n# Restore\nvolume=\"gluster://scratch/replicated\(otherPath)/new\"\n\n",
        for: Scratch.line("plain", path))
      // Other lines of the FileSet and other plugins have options of their own.
      try calls(job).setOptions("volume=\"gluster://scratch/plain/wrong\"", for: Scratch.line("plain", "/elsewhere"))
      try calls(job).setOptions("something=else", for: "bpipe:/x:cat:cat")
      _ = try backup.restore(job, Scratch.line("plain", path))
      #expect(!job.messages.contains { $0.severity != .info }, "\(job.messages)")
    }
    let comparison = try run(Scratch.script("compare-trees"), local, other + "/new")
    #expect(comparison.status == 0, "\(comparison.output)")
    // Wrong or lost options are reported, and nothing is restored to another place than requested.
    try FileManager.default.removeItem(atPath: local + "/d")
    for (text, words) in [("volume=\"nonsense\"", "nonsense"), ("place=x", "place"), ("volume", "key=value"), ("", "arrived empty")] {
      try withJob(abi: abi) { job throws in
        try calls(job).setOptions(text, for: Scratch.line("plain", path))
        _ = try backup.restore(job, Scratch.line("plain", path))
        #expect(job.messages.contains { $0.severity == .fatal && $0.text.contains(words) }, "\(job.messages)")
        // The plugin creates no file even if the daemon goes on after the fatal message.
        #expect(job.send(.restoreCommand, line: Array(Scratch.line("plain", path).utf8)) == Int32(FD_OK))
        #expect(try calls(job).createFile(fd_restore_packet(), original: []) == FD_CF_ERROR)
      }
    }
    #expect(!FileManager.default.fileExists(atPath: local + "/d"))
  }

  @Test("a query from the console of Bacula 11 or later is answered line by line", arguments: releases)
  func questions(_ abi: ABI) throws {
    let (_, path) = try Scratch.folder()
    try withJob(abi: abi) { job throws in
      let calls = try calls(job)
      let line = Array(Scratch.line("replicated").utf8)
      guard abi != .bacula9 else {
        #expect(calls.query("volume", line) == nil)
        return
      }
      let lines = try #require(calls.query("volume", line))
      #expect(lines.contains("type=replicated, 3 bricks\n") && lines.contains("acls=supported\n"), "\(lines)")
      // The console removes backslashes.
      #expect(
        calls.query("volume", Array("gfapi:volume=gluster://scratch:24007/replicated:".utf8))
          == lines.map {
            $0.replacingOccurrences(of: "default port", with: "24007").replacingOccurrences(of: " (24007)", with: ":24007")
          })
      #expect(calls.query("databases", line)?.first?.hasPrefix("error=unknown parameter \"databases\"; known: volume") == true)
      #expect(calls.query("volume", Array("gfapi:nonsense".utf8))?.first?.hasPrefix("error=") == true)
      let missing = calls.query("volume", Array(Scratch.line("plain", path + "/missing").utf8))
      #expect(missing?.first?.contains("/missing") == true, "\(missing ?? [])")
    }
  }

  @Test("packets of a size that no Bacula release has are refused with one fatal message", arguments: releases)
  func packetSizes(_ abi: ABI) throws {
    let (_, path) = try Scratch.folder()
    func refused(_ what: String, _ call: (BaculaCalls, UnsafeMutableRawPointer) -> Int32) throws {
      try withJob(abi: abi) { job throws in
        let calls = try calls(job)
        #expect(job.send(.backupCommand, line: Array(Scratch.line("plain", path).utf8)) == Int32(FD_OK))
        let packet = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 16)
        defer { packet.deallocate() }
        packet.initializeMemory(as: UInt8.self, repeating: 0, count: 1024)
        packet.storeBytes(of: 1000, as: Int32.self)
        for _ in 1...2 { #expect(call(calls, packet) == Int32(FD_ERROR)) }
        let fatal = job.messages.filter { $0.severity == .fatal }
        #expect(fatal.count == 1 && fatal[0].text.contains("this daemon's \(what) has 1000 bytes"), "\(job.messages)")
        #expect(fatal[0].text.contains("Bacula 9.6, 11, 13 and 15"))
      }
    }
    try refused("save packet") { $0.functions.start_backup_file($0.context, $1) }
    try refused("I/O packet") { $0.functions.plugin_io($0.context, $1.assumingMemoryBound(to: fd_io_packet.self)) }
    try refused("restore packet") { $0.functions.create_file($0.context, $1) }
    try refused("restore packet") { $0.functions.set_file_attributes($0.context, $1) }
    try refused("restore object packet") { $0.send(number: BACULA_EVENT_RESTORE_OBJECT, $1) }
    try refused("xacl packet") { $0.functions.handle_xacl($0.context, $1.assumingMemoryBound(to: bacula_xacl_packet.self)) }
    try withJob(abi: .bacula9) { job throws in
      let calls = try calls(job)
      var packet = bacula_stream_packet(pkt_size: 99, stream: 26, pkt_end: 99)
      #expect(calls.functions.check_stream(calls.context, &packet) == Int32(FD_ERROR))
      packet = bacula_stream_packet(pkt_size: 12, stream: 26, pkt_end: 12)
      #expect(calls.functions.check_stream(calls.context, &packet) == Int32(FD_ERROR) || packet.stream == 26)
    }
  }

  @Test("a message longer than Bacula's limit is sent whole, in parts")
  func longMessages() throws {
    let (local, path) = try Scratch.folder()
    let component = String(repeating: "é", count: 120)
    var deep = local
    for _ in 1...10 { deep += "/" + component }
    try FileManager.default.createDirectory(atPath: deep, withIntermediateDirectories: true)
    _ = FileManager.default.createFile(atPath: deep + "/file", contents: Data("x".utf8))
    let backup = MemoryBackup()
    _ = try withJob(abi: .bacula9) { try $0.backup(Scratch.line("plain", path), to: backup) }
    // A directory stands in the place of the file, so the restore refuses the file with a message that names it.
    let file = try #require(backup.items.first { $0.entry.path.last == UInt8(ascii: "e") })
    try FileManager.default.removeItem(atPath: deep + "/file")
    try FileManager.default.createDirectory(atPath: deep + "/file", withIntermediateDirectories: true)
    try withJob(abi: .bacula9) { job throws in
      _ = try MemoryBackup([file]).restore(job, Scratch.line())
      let told = job.messages.filter { $0.severity == .error }
      #expect(told.count == 1, "\(job.messages)")
      let whole = job.messages.dropLast().map(\.text).joined()
      #expect(whole.contains(deep.dropFirst(local.count) + "/file: ") && whole.contains("a directory has its name"))
    }
  }
}
