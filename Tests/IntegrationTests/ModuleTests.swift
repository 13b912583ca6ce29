import FDPluginABI
import Foundation
import Testing
import TestSupport

@testable import MiniDaemon

@Suite("The module")
struct ModuleTests {
  @Test("the module exports loadPlugin and unloadPlugin and nothing else")
  func exports() throws {
    let symbols = try run("nm", "-D", "--defined-only", "--extern-only", Scratch.modulePath)
    let names = symbols.output.split(separator: "\n").compactMap { $0.split(separator: " ").last }
    #expect(names.sorted() == ["loadPlugin", "unloadPlugin"])
  }

  @Test("the module needs only libgfapi, libacl, libattr, SQLite and the C and C++ runtime")
  func needs() throws {
    let dynamic = try run("readelf", "-dW", Scratch.modulePath)
    let needed = dynamic.output.split(separator: "\n").filter { $0.contains("(NEEDED)") }
      .compactMap { $0.split(whereSeparator: { "[]".contains($0) }).last(where: { $0.contains(".so") }) }
    let allowed: Set<Substring> = [
      "libgfapi.so.0", "libacl.so.1", "libattr.so.1", "libsqlite3.so.0", "libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1",
      "ld-linux-x86-64.so.2",
    ]
    #expect(!needed.isEmpty)
    #expect(Set(needed).isSubset(of: allowed), "\(needed)")
  }

  @Test("the module can be loaded, unloaded and loaded again, with jobs in between")
  func reload() throws {
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    for _ in 1...3 {
      let module = try PluginModule(Scratch.modulePath)
      let job = try MiniJob(module)
      let backup = MemoryBackup()
      #expect(try job.backup(Scratch.line("plain", path), to: backup)?.entries == 2)
      job.end()
      module.unload()
    }
  }

  @Test("the module refuses a daemon with an unknown interface version", arguments: [0, 9, 11, 15, 24, 99] as [UInt32])
  func unknownVersion(_ version: UInt32) throws {
    #expect(throws: DaemonError.self) { try PluginModule(Scratch.modulePath, version: version) }
  }

  @Test("the module refuses a table of callbacks of another size", arguments: ABI.allCases)
  func unknownTable(_ abi: ABI) throws {
    #expect(throws: DaemonError.self) { try PluginModule(Scratch.modulePath, abi, tableSize: 184) }
  }

  @Test("the module describes itself to Bareos's bpluginfo, which announces interface 1 and has a table of 64 bytes")
  func shown() throws {
    let module = try PluginModule(Scratch.modulePath, version: 1, tableSize: 64)
    #expect(module.description.contains("GlusterFS") && module.usage?.contains("volume=") == true)
    module.unload()
  }

  @Test("the module refuses a job through Bareos's gRPC bridge, which announces interface 1, and says what to do")
  func bridge() throws {
    let module = try PluginModule(Scratch.modulePath, version: 1)
    let error = #expect(throws: DaemonError.self) { try MiniJob(module) }
    #expect(error?.description.contains("add gfapi to Plugin Names of the file daemon") == true, "\(error?.description ?? "")")
    // Jobs of the daemon itself work as before.
    let (_, path) = try Scratch.folder()
    try withJob { job throws in #expect(try job.backup(Scratch.line("plain", path), to: MemoryBackup())?.entries == 1) }
  }

  @Test("the module answers each daemon in its own format; only Bareos gets the usage", arguments: ABI.allCases)
  func answers(_ abi: ABI) throws {
    let module = try PluginModule(Scratch.modulePath, abi)
    #expect(module.informationSize == (abi.isBacula ? 56 : 64))
    #expect(module.usage?.contains("volume=") == (abi.isBacula ? nil : true))
    let (local, path) = try Scratch.folder()
    _ = FileManager.default.createFile(atPath: local + "/file", contents: Data("x".utf8))
    try withJob(abi: abi) { job throws in
      #expect(try job.backup(Scratch.line("plain", path), to: MemoryBackup())?.entries == 2)
    }
  }

  @Test("the module refuses packets of an unknown size with one fatal message")
  func unknownPackets() throws {
    let (_, path) = try Scratch.folder()
    try withJob { job throws in
      let calls = try #require(job.calls as? BareosCalls)
      #expect(job.send(.backupCommand, line: Array(Scratch.line("plain", path).utf8)) == Int32(FD_OK))
      var save = bareos_save_packet()
      save.pkt_size = 248
      #expect(calls.functions.start_backup_file(calls.context, &save) == Int32(FD_ERROR))
      var io = bareos_io_packet_22()
      io.pkt_size = 88
      #expect(calls.functions.plugin_io(calls.context, &io) == Int32(FD_ERROR))
      #expect(job.messages.count { $0.severity == .fatal } == 1)
      #expect(job.messages.contains { $0.text.contains("248 bytes") && $0.text.contains("240") })
    }
    try withJob { job throws in
      let calls = try #require(job.calls as? BareosCalls)
      #expect(job.send(.restoreCommand, line: Array(Scratch.line("plain", path).utf8)) == Int32(FD_OK))
      var packet = bareos_restore_packet_26()
      packet.pkt_size = 264
      #expect(calls.functions.create_file(calls.context, &packet) == Int32(FD_ERROR))
      #expect(job.messages.contains { $0.severity == .fatal && $0.text.contains("264 bytes") && $0.text.contains("232, 240, 256") })
    }
  }

  @Test("the module returns its name and description", arguments: ABI.allCases)
  func values(_ abi: ABI) throws {
    try withJob(abi: abi) { job throws in
      for (variable, text) in [(FD_PLUGIN_VAR_NAME, "gfapi"), (FD_PLUGIN_VAR_DESCRIPTION, "GlusterFS")] {
        var value: UnsafePointer<CChar>?
        #expect(job.calls.getValue(variable, &value) == Int32(FD_OK))
        #expect(value.map { String(cString: $0).contains(text) } == true)
      }
      var value: UnsafePointer<CChar>?
      #expect(job.calls.getValue(99, &value) == Int32(FD_ERROR))
      #expect(job.calls.setValue(1, &value) == Int32(FD_OK))
    }
  }

  @Test("the module serves two jobs on two volumes at once")
  func twoJobs() async throws {
    let folders = try ["plain", "replicated"].map { kind in
      let (local, path) = try Scratch.folder(on: kind)
      for number in 0..<200 {
        _ = FileManager.default.createFile(atPath: local + "/\(kind)-\(number)", contents: Data("\(kind) \(number)".utf8))
      }
      return (kind, path)
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (kind, path) in folders {
        group.addTask {
          try withJob { job throws in
            let backup = MemoryBackup()
            #expect(try job.backup(Scratch.line(kind, path), to: backup)?.entries == 201)
            #expect(backup.paths.filter { $0.contains("/\(kind)-") }.count == 200)
            #expect(backup.item("\(path)/\(kind)-7")?.data == Array("\(kind) 7".utf8))
            #expect(!job.messages.contains { $0.severity != .info })
          }
        }
      }
      try await group.waitForAll()
    }
  }

  /// Returns the threads of libgfapi in this process.
  private func clientThreads() throws -> Set<String> {
    let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")
    return Set(
      tasks.filter { task in
        FileManager.default.contents(atPath: "/proc/self/task/\(task)/comm").map { $0.starts(with: Data("glfs_".utf8)) } ?? false
      })
  }

  @Test("a job that ends does not wait for its volume to be disconnected", arguments: [ABI.bareos26, .bacula9])
  func endsAtOnce(_ abi: ABI) throws {
    let (_, path) = try Scratch.folder()
    let saved = MemoryBackup()
    for restores in [false, true] {
      let before = try clientThreads()
      try withJob(abi: abi) { job throws in
        _ = restores ? try saved.restore(job, Scratch.line()) : try job.backup(Scratch.line("plain", path), to: saved)
        #expect(try !clientThreads().subtracting(before).isEmpty)
      }
      // The job's thread is still disconnecting the volume.
      #expect(try !clientThreads().subtracting(before).isEmpty)
    }
  }

  @Test("the module reports a wrong definition with a fatal message that quotes the argument and shows the grammar")
  func wrongDefinition() throws {
    try withJob { job throws in
      #expect(try job.backup(#"gfapi:volume=gluster\://host\:x/vol"#, to: MemoryBackup()) == nil)
      let fatal = try #require(job.messages.first { $0.severity == .fatal })
      #expect(fatal.text.contains("\"volume=gluster://host:x/vol\"") && fatal.text.contains("/volname[/dir]"))
    }
  }
}
