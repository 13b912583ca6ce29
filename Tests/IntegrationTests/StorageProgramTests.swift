import Foundation
import Testing
import TestSupport

@Suite("Storage program", .serialized)
struct StorageProgramTests {
  static let kinds = ["plain", "replicated", "dispersed", "distributed", "sharded"]

  /// Returns pseudo-random bytes.
  func random(_ count: Int, _ seed: UInt64 = 1) -> Data {
    var state = seed &* 0x9e37_79b9_7f4a_7c15
    var data = Data(count: (count + 7) / 8 * 8)
    data.withUnsafeMutableBytes { bytes in
      for index in bytes.bindMemory(to: UInt64.self).indices {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        bytes.bindMemory(to: UInt64.self)[index] = state
      }
    }
    return data.prefix(count)
  }

  /// Returns the names of files in a folder on the bricks, without Gluster's own.
  func onBricks(_ kind: String, _ path: String) throws -> [String] {
    try Scratch.bricks(of: kind).flatMap { (try? FileManager.default.contentsOfDirectory(atPath: $0 + path)) ?? [] }.sorted()
  }

  func expectWell(_ result: StorageProgram.Result, _ output: String = "", _ place: SourceLocation = #_sourceLocation) {
    // Storage daemons treat standard error as output.
    #expect(result.status == 0 && result.text == output && result.errors.isEmpty, "\(result.errors)", sourceLocation: place)
  }

  func expectFailure(
    _ result: StorageProgram.Result, _ status: Int32, _ words: String..., at place: SourceLocation = #_sourceLocation
  ) {
    #expect(result.status == status, "\(result.errors)", sourceLocation: place)
    #expect(result.output.isEmpty, sourceLocation: place)
    #expect(
      result.errors.hasPrefix("bareos-gluster-storage: GFD-\(200 + status) ") && result.errors.count(where: \.isNewline) == 1
        && result.errors.hasSuffix("\n"), "\(result.errors)", sourceLocation: place)
    for word in words { #expect(result.errors.contains(word), "\(result.errors)", sourceLocation: place) }
  }

  // MARK: The protocol

  @Test("the storage program stores, lists, describes, reads, replaces and removes parts", arguments: kinds)
  func everything(_ kind: String) throws {
    let (_, path) = try Scratch.folder(on: kind)
    let storage = StorageProgram(kind, path)
    expectWell(try storage.run("testconnection"))
    expectWell(try storage.run("list", "Vol-0001"))
    for operation in ["stat", "download", "remove"] {
      expectFailure(try storage.run(operation, "Vol-0001", "0000"), 1, "\(operation) Vol-0001 0000: no such part")
    }
    let sizes = [0, 1, 65536, 1 << 20, (10 << 20) + 1]
    for (number, size) in sizes.enumerated() {
      expectWell(try storage.run("upload", "Vol-0001", "000\(number)", input: random(size)))
    }
    expectWell(try storage.run("list", "Vol-0001"), sizes.enumerated().map { "000\($0) \($1)\n" }.joined())
    expectWell(try storage.run("list", "Vol-0002"))
    for (number, size) in sizes.enumerated() {
      expectWell(try storage.run("stat", "Vol-0001", "000\(number)"), "\(size)\n")
      let copy = try storage.run("download", "Vol-0001", "000\(number)")
      #expect(copy.status == 0 && copy.output == random(size) && copy.errors.isEmpty)
    }
    for operation in ["stat", "download", "remove"] {
      expectFailure(try storage.run(operation, "Vol-0001", "0009"), 1, "no such part")
    }
    // Replace a longer part by a shorter one, and a shorter part by a longer one.
    expectWell(try storage.run("upload", "Vol-0001", "0004", input: random(1000, 2)))
    expectWell(try storage.run("upload", "Vol-0001", "0001", input: random(9 << 20, 3)))
    #expect(try storage.run("download", "Vol-0001", "0004").output == random(1000, 2))
    #expect(try storage.run("download", "Vol-0001", "0001").output == random(9 << 20, 3))
    expectWell(try storage.run("list", "Vol-0001"), "0000 0\n0001 9437184\n0002 65536\n0003 1048576\n0004 1000\n")

    for number in sizes.indices { expectWell(try storage.run("remove", "Vol-0001", "000\(number)")) }
    expectWell(try storage.run("list", "Vol-0001"))
    expectFailure(try storage.run("stat", "Vol-0001", "0000"), 1, "no such part")
    #expect(try onBricks(kind, path + "/Vol-0001") == [])
  }

  @Test("a part of 300 MiB can be stored and read", arguments: Soak.cases(["replicated"], of: ["plain", "replicated", "dispersed"]))
  func large(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    let storage = StorageProgram(kind, path, timeout: 120)
    let (source, copy) = (try Scratch.temporaryFile(), try Scratch.temporaryFile())
    #expect(try TestSupport.run("sh", "-c", "head -c 314572800 /dev/urandom > '\(source)'").status == 0)
    expectWell(try storage.start("upload", "large", "0000", inputFile: source).result())
    expectWell(try storage.run("stat", "large", "0000"), "314572800\n")
    let download = try TestSupport.run(
      "sh", "-c", "'\(StorageProgram.path)' download large 0000 > '\(copy)' && cmp '\(source)' '\(copy)'", environment: storage.environment)
    #expect(download.status == 0 && StorageProgram.Running.withoutSanitizer(download.output).isEmpty, "\(download.output)")
    expectWell(try storage.run("remove", "large", "0000"))
    for file in [source, copy, local] { try FileManager.default.removeItem(atPath: file) }
  }

  @Test("the storage program keeps parts of volumes with any name apart", arguments: Soak.cases(["distributed"], of: kinds))
  func names(_ kind: String) throws {
    let (_, path) = try Scratch.folder(on: kind)
    let storage = StorageProgram(kind, path)
    let names = [
      "a", "a:b", "a.b", "a b", "a/b", "a_b", "a-b", "A", ".", "..", ".a", "a.", " ", " a", "a ", "/", "//", "-", "-a", "--version", ":",
      "a%2Fb", "a%252Fb", "%", "%2E", ".a.upload-0123456789abcdef", String(repeating: "x", count: 127), String(repeating: "x", count: 255),
      String(repeating: "/", count: 85),
    ]
    for name in names { expectWell(try storage.run("upload", name, "0000", input: Data(name.utf8))) }
    for name in names {
      #expect(try storage.run("download", name, "0000").text == name)
      expectWell(try storage.run("list", name), "0000 \(name.utf8.count)\n")
    }
    // Parts have plain names; what has no plain one is no part of another.
    for part in ["a.b", "..", "-", "0000.1", "part-1"] {
      expectWell(try storage.run("upload", "parts", part, input: Data(part.utf8)))
      #expect(try storage.run("download", "parts", part).text == part)
    }
    expectFailure(try storage.run("upload", String(repeating: "x", count: 256), "0000"), 2, "too long for a name on a volume by 1 bytes")
    expectFailure(try storage.run("upload", "a", String(repeating: "0", count: 240)), 2, "too long")
    expectFailure(try storage.run("upload", "", "0000"), 2, "an empty name")
    expectFailure(try storage.run("upload", "a", ""), 2, "an empty name")
    expectFailure(try storage.run("list", ""), 2, "an empty name")
    expectFailure(try storage.run("upload", "a", "00 00"), 2, "a part's name has no blanks")
  }

  @Test("the storage program does not list files of others or directories")
  func others() throws {
    let (local, path) = try Scratch.folder()
    let storage = StorageProgram("plain", path)
    expectWell(try storage.run("upload", "v", "0000", input: Data("x".utf8)))
    let script = """
      cd '\(local)'; mkdir v/0001 v/.hidden; echo 1 > v/.trash; echo 2 > 'v/%41'; ln -s 0000 v/0002; mkfifo v/0003; echo 3 > file
      ln -s v link; echo 4 > 'v/a b'
      """
    #expect(try run("sh", "-c", script).status == 0)
    expectWell(try storage.run("list", "v"), "0000 1\n")
    for part in ["0001", "0002", "0003"] {
      for operation in ["stat", "download", "remove"] {
        expectFailure(try storage.run(operation, "v", part), 5, "is not a regular file")
      }
    }
    for name in ["file", "link"] {
      expectFailure(try storage.run("list", name), 5, "is not a directory")
      expectFailure(try storage.run("upload", name, "0000", input: Data("x".utf8)), 5, "is not a directory")
    }
    expectFailure(try storage.run("upload", "v", "0001", input: Data("x".utf8)), 5, "cannot put it in its place")
    #expect(try run("sh", "-c", "cd '\(local)'; ls -A v | tr '\\n' ' '").output == "%41 .hidden .trash 0000 0001 0002 0003 a b ")
  }

  @Test(
    "the storage program stores four parts at once, under several names or all under one",
    arguments: ["plain", "replicated", "dispersed", "distributed"])
  func atOnce(_ kind: String) throws {
    let (_, path) = try Scratch.folder(on: kind)
    let storage = StorageProgram(kind, path)
    let data = (1...4).map { random(5_000_000 + $0, UInt64($0)) }
    var files: [String] = []
    for bytes in data {
      files.append(try Scratch.temporaryFile())
      try bytes.write(to: URL(fileURLWithPath: files.last!))
    }
    // Each of these uploads tries to make the folder.
    let running = try (0..<4).map { try storage.start("upload", "v", "000\($0)", inputFile: files[$0]) }
    for upload in running { expectWell(try upload.result()) }
    for number in 0..<4 { #expect(try storage.run("download", "v", "000\(number)").output == data[number]) }
    // A volume of several bricks (Gluster 10.3) may lock up when several clients rename to one name at the same time, until one of
    // the clients ends. A storage daemon never sends the same part twice at a time.
    guard kind == "plain" else { return }
    let same = try (0..<4).map { try storage.start("upload", "v", "0009", inputFile: files[$0]) }
    for upload in same { expectWell(try upload.result()) }
    #expect(data.contains(try storage.run("download", "v", "0009").output))
    #expect(try Set(onBricks(kind, path + "/v")) == ["0000", "0001", "0002", "0003", "0009"])
  }

  @Test(
    "any number of uploads leave nothing to be healed, and a folder that can be read",
    arguments: Soak.cases(["dispersed"], of: ["replicated", "dispersed"]))
  func nothingToHeal(_ kind: String) throws {
    let (_, path) = try Scratch.folder(on: kind)
    let storage = StorageProgram(kind, path)
    let file = try Scratch.temporaryFile()
    try random(10_000).write(to: URL(fileURLWithPath: file))
    for _ in 0..<40 {
      for upload in try (0..<6).map({ try storage.start("upload", "v", "000\($0)", inputFile: file) }) { expectWell(try upload.result()) }
    }
    expectWell(try storage.run("list", "v"), (0..<6).map { "000\($0) 10000\n" }.joined())
    expectWell(try storage.run("remove", "v", "0000"))
    #expect(try Scratch.unhealed(kind, below: path) == [])
  }

  // MARK: Errors

  /// Starts an upload, sends half of the data, and waits until the bricks have the temporary file.
  func half(_ storage: StorageProgram, _ kind: String, _ path: String, _ data: Data) throws -> StorageProgram.Running {
    let upload = try storage.start("upload", "v", "0000")
    try upload.input.fileHandleForWriting.write(contentsOf: data.prefix(data.count / 2))
    try #require(try eventually { try onBricks(kind, path + "/v").contains { $0.hasPrefix(".0000.upload-") } })
    return upload
  }

  @Test("a killed upload leaves no part, or an earlier part unchanged", arguments: ["plain", "replicated", "distributed"])
  func killed(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    let storage = StorageProgram(kind, path)
    for before in ["", "0000 7\n"] {
      if !before.isEmpty { expectWell(try storage.run("upload", "v", "0000", input: Data("earlier".utf8))) }
      let upload = try half(storage, kind, path, random(8 << 20))
      kill(upload.process.processIdentifier, SIGKILL)
      _ = try upload.result()
      expectWell(try storage.run("list", "v"), before)
    }
    #expect(try storage.run("download", "v", "0000").text == "earlier")
    // The files that the killed uploads left are young, so they may belong to a running upload. Later calls remove them.
    let left = Set(try onBricks(kind, path + "/v").filter { $0.hasPrefix(".0000.upload-") })
    #expect(left.count == 2)
    #expect(try run("touch", ["-d", "-61 minutes"] + left.map { "\(local)/v/\($0)" }).status == 0)
    expectWell(try storage.run("list", "v"), "0000 7\n")
    #expect(try Set(onBricks(kind, path + "/v")) == ["0000"])
  }

  @Test("the storage program does not take a part for whole whose sender is killed")
  func senderKilled() throws {
    let (_, path) = try Scratch.folder()
    let storage = StorageProgram("plain", path)
    expectWell(try storage.run("upload", "v", "0000", input: Data("earlier".utf8)))
    // Do as a storage daemon that starts the program, sends data and dies. The daemon ends a moment earlier than its child.
    let script = """
      import os, subprocess, sys
      child = subprocess.Popen([sys.argv[1], "upload", "v", "0000"], stdin=subprocess.PIPE, stderr=open(sys.argv[2], "w"))
      child.stdin.write(os.urandom(3000000))
      child.stdin.flush()
      os.kill(os.getpid(), 9)
      """
    for _ in 0..<10 {
      let errors = try Scratch.temporaryFile(".err")
      _ = try run("python3", ["-c", script, StorageProgram.path, errors], environment: storage.environment)
      #expect(try eventually { try String(contentsOfFile: errors, encoding: .utf8).contains("the process that sends it has ended") })
    }
    expectWell(try storage.run("list", "v"), "0000 7\n")
    #expect(try eventually { try onBricks("plain", path + "/v") == ["0000"] })
  }

  @Test("the storage program reports a part that a full volume does not take, and leaves nothing of it")
  func full() throws {
    let (_, path) = try Scratch.folder(on: "small")
    let storage = StorageProgram("small", path)
    expectWell(try storage.run("upload", "v", "0000", input: random(2_000_000)))
    try Scratch.withFullSmall(leaving: 4_000_000) {
      for part in ["0000", "0001"] {
        expectFailure(
          try storage.run("upload", "v", part, input: random(9_000_000)), 4, "upload v \(part): cannot write", "No space left on device")
        #expect(try onBricks("small", path + "/v") == ["0000"])
      }
      #expect(try storage.run("download", "v", "0000").output == random(2_000_000))
      expectWell(try storage.run("upload", "v", "0001", input: random(1_000_000)))
      // A part whose last piece finds no room fails as well.
      let rest = try run("stat", "-f", "-c", "%a %S", try Scratch.bricks(of: "small")[0]).output.split(whereSeparator: \.isWhitespace)
        .compactMap { Int($0) }
      expectFailure(try storage.run("upload", "v", "0002", input: random(rest[0] * rest[1] + 1)), 4, "No space left on device")
    }
    expectWell(try storage.run("upload", "v", "0002", input: random(9_000_000)))
    for part in ["0000", "0001", "0002"] { expectWell(try storage.run("remove", "v", part)) }
  }

  @Test("the storage program reports a part that a quota does not allow, and leaves nothing of it")
  func quota() throws {
    let (local, path) = try Scratch.folder(on: "small")
    try Scratch.withQuota(path, "3MB") {
      let storage = StorageProgram("small", path)
      expectWell(try storage.run("upload", "v", "0000", input: random(1_000_000)))
      // Gluster updates the used space of a quota some moments later.
      var refused: StorageProgram.Result?
      #expect(
        try eventually {
          refused = try storage.run("upload", "v", "0001", input: random(5_000_000))
          return refused?.status != 0
        })
      expectFailure(try #require(refused), 4, "Disk quota exceeded")
      #expect(try onBricks("small", path + "/v").allSatisfy { !$0.hasPrefix(".") })
      #expect(try storage.run("download", "v", "0000").output == random(1_000_000))
    }
    #expect(try run("rm", "-r", local).status == 0)
  }

  @Test("the storage program reports a stopped volume, and finds its parts when it is started")
  func stopped() throws {
    let (_, path) = try Scratch.folder(on: "small")
    let storage = StorageProgram("small", path, timeout: 4)
    let patient = StorageProgram("small", path)
    expectWell(try patient.run("upload", "v", "0000", input: Data("x".utf8)))
    #expect(try run("gluster", "--mode=script", "volume", "stop", "small", "force").status == 0)
    defer { try? Scratch.remount("small") }
    for arguments in [["testconnection"], ["list", "v"], ["stat", "v", "0000"], ["remove", "v", "0000"], ["upload", "v", "0000"]] {
      let began = ContinuousClock.now
      expectFailure(
        try storage.run(arguments), 3, "cannot connect to tcp scratch (default port), volume small", "is the volume started")
      #expect(ContinuousClock.now - began < .seconds(20))
    }
    #expect(try run("gluster", "--mode=script", "volume", "start", "small").status == 0)
    expectWell(try patient.run("list", "v"), "0000 1\n")
  }

  @Test("the storage program gives up on a server that never answers or drops packets, after timeout=", arguments: [false, true])
  func silent(_ dropsPackets: Bool) throws {
    let server = try SilentServer(dropsPackets: dropsPackets)
    let storage = StorageProgram(environment: ["uri": "gluster://127.0.0.1:\(server.port)/v", "timeout": "2"])
    let began = ContinuousClock.now
    expectFailure(try storage.run("stat", "v", "0000"), 3, "127.0.0.1:\(server.port)", "no answer within 2 s (timeout=) while connecting")
    #expect(ContinuousClock.now - began < .seconds(20))
    // An unused port and an unknown volume are errors as well.
    expectFailure(try StorageProgram(environment: ["uri": "gluster://127.0.0.1:9/v", "timeout": "4"]).run("list", "v"), 3, "127.0.0.1:9")
    expectFailure(try StorageProgram("nosuch", "").run("testconnection"), 3, "volume nosuch")
  }

  @Test("the storage program gives up on a hanging brick after timeout=, and the part can be sent again")
  func hanging() throws {
    let (_, path) = try Scratch.folder(on: "small")
    let storage = StorageProgram("small", path, timeout: 4)
    let data = random(8 << 20)
    let upload = try half(storage, "small", path, data)
    let brick = try Scratch.firstBrick("small")
    kill(brick, SIGSTOP)
    defer { kill(brick, SIGCONT) }
    // The write ends when the program is gone.
    try? upload.input.fileHandleForWriting.write(contentsOf: data.suffix(data.count / 2))
    try upload.input.fileHandleForWriting.close()
    expectFailure(try upload.result(), 3, "no answer within 4 s (timeout=) while")
    kill(brick, SIGCONT)
    expectWell(try storage.run("list", "v"))
    expectWell(try storage.run("upload", "v", "0000", input: data))
    #expect(try storage.run("download", "v", "0000").output == data)
    expectWell(try storage.run("remove", "v", "0000"))
  }

  @Test(
    "the storage program refuses uploads to a read-only or WORM volume at once, and `testconnection` says so",
    arguments: [("features.worm", true), ("features.worm", false), ("features.read-only", true)])
  func unchangeable(_ option: String, _ isTestedBefore: Bool) throws {
    try Scratch.withVolume("kept", bricks: 1) {
      let local = try Scratch.mount("kept")
      #expect(mkdir(local + "/parts", 0o755) == 0)
      let storage = StorageProgram("kept", "/parts")
      expectWell(try storage.run("testconnection"))
      expectWell(try storage.run("upload", "v", "0000", input: random(100)))
      try Scratch.gluster("volume", "set", "kept", option, "on")
      // Bricks apply the option a moment later.
      #expect(eventually { Scratch.mayRename(local) == false })
      let refusal =
        "volume kept refuses changes: it is read-only (gluster volume set kept features.read-only off) or does not replace files"
      func left() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: local + "/parts/v").sorted() }
      if isTestedBefore {
        for _ in 1...2 { expectFailure(try storage.run("testconnection"), 5, refusal) }
      } else {
        // The file that this upload leaves cannot be removed. This happens only once.
        expectFailure(try storage.run("upload", "v", "0001", input: random(100)), 5, "cannot put it in its place", refusal)
        #expect(try left().count == 2)
      }
      let before = try left()
      for _ in 1...2 { expectFailure(try storage.run("upload", "v", "0001", input: random(100)), 5, refusal) }
      #expect(try left() == before)
      #expect(try storage.run("download", "v", "0000").output == random(100))
      try Scratch.gluster("volume", "reset", "kept", option)
      #expect(try eventually { try storage.run("testconnection").status == 0 })
      expectWell(try storage.run("upload", "v", "0001", input: random(100)))
      #expect(!FileManager.default.fileExists(atPath: local + "/parts/.testconnection"))
    }
  }

  @Test("the storage program waits for a slow sender as long as it takes")
  func slowSender() throws {
    let (_, path) = try Scratch.folder()
    let storage = StorageProgram("plain", path, timeout: 3)
    let upload = try half(storage, "plain", path, random(4 << 20))
    usleep(4_000_000)
    try upload.input.fileHandleForWriting.write(contentsOf: random(4 << 20).suffix(2 << 20))
    try upload.input.fileHandleForWriting.close()
    expectWell(try upload.result())
    #expect(try storage.run("download", "v", "0000").output == random(4 << 20))
  }

  @Test("the storage program stores and reads parts while one brick of three is dead")
  func brickDead() throws {
    let (_, path) = try Scratch.folder(on: "replicated")
    let storage = StorageProgram("replicated", path)
    expectWell(try storage.run("upload", "v", "0000", input: random(3_000_000)))
    kill(try Scratch.firstBrick("replicated"), SIGKILL)
    defer { _ = try? run("gluster", "--mode=script", "volume", "start", "replicated", "force") }
    expectWell(try storage.run("upload", "v", "0001", input: random(3_000_000, 2)))
    expectWell(try storage.run("upload", "v", "0000", input: random(4_000_000, 3)))
    expectWell(try storage.run("list", "v"), "0000 4000000\n0001 3000000\n")
    #expect(try run("gluster", "--mode=script", "volume", "start", "replicated", "force").status == 0)
    #expect(try run("gluster", "--mode=script", "volume", "heal", "replicated", "full").status == 0)
    #expect(
      try eventually(within: 60) {
        let info = try run("gluster", "volume", "heal", "replicated", "info").output
        return info.matches(of: /Number of entries: 0/).count == 3
      })
    #expect(try storage.run("download", "v", "0000").output == random(4_000_000, 3))
    #expect(try storage.run("download", "v", "0001").output == random(3_000_000, 2))
  }

  @Test("the storage program does not take parts for missing if a brick of a distributed volume is dead")
  func subvolumeMissing() throws {
    let (_, path) = try Scratch.folder(on: "distributed")
    let storage = StorageProgram("distributed", path, timeout: 8)
    // Another test may have restarted a brick.
    #expect(try eventually { try storage.run("testconnection").status == 0 })
    let parts = (0..<10).map { "000\($0)" }
    for part in parts { expectWell(try storage.run("upload", "v", part, input: Data(part.utf8))) }
    // The rename at the end of an upload has moved no file to another brick, and left no pointers to other bricks.
    let found = try onBricks("distributed", path + "/v")
    #expect(found == parts, "\(found)")
    kill(try Scratch.firstBrick("distributed"), SIGKILL)
    defer { _ = try? run("gluster", "--mode=script", "volume", "start", "distributed", "force") }
    expectFailure(try storage.run("list", "v"), 3, "subvolume distributed-client-0")
    expectFailure(try storage.run("testconnection"), 3, "subvolume distributed-client-0")
    for part in parts {
      let result = try storage.run("stat", "v", part)
      #expect(result.status == 3 || result.status == 0 && result.text == "4\n", "\(result.status) \(result.errors)")
    }
    expectFailure(try storage.run("stat", "v", "nosuchpart"), 3)
    #expect(try run("gluster", "--mode=script", "volume", "start", "distributed", "force").status == 0)
    #expect(try eventually { try storage.run("list", "v").text == parts.map { "\($0) 4\n" }.joined() })
    try Scratch.remount("distributed")
  }

  // MARK: The call

  @Test(
    "the storage program reports missing and wrong options",
    arguments: [
      ([:], "the option uri is missing"), (["uri": ""], "the option uri is missing"),
      (["uri": "gluster://scratch"], "uri=gluster://scratch: "), (["uri": "gluster+udp://scratch/plain"], "unknown transport"),
      (["uri": "gluster://scratch/plain", "loglevel": "loud"], "loglevel=loud: not a level"),
      (["uri": "gluster://scratch/plain", "logfile": "log"], "logfile=log: the path of the log is absolute"),
      (["uri": "gluster://scratch/plain", "timeout": "0"], "timeout=0: not a number of seconds"),
      (["uri": "gluster://scratch/plain", "timeout": "soon"], "timeout=soon: not a number of seconds"),
    ])
  func wrongOptions(_ environment: [String: String], _ words: String) throws {
    let storage = StorageProgram(environment: environment)
    expectFailure(try storage.run("stat", "v", "0000"), 2, words)
    expectWell(try storage.run("options"), "uri\nlogfile\nloglevel\ntimeout\n")
  }

  @Test("a wrong call of the storage program prints the usage and touches no part")
  func wrongCall() throws {
    let storage = StorageProgram("plain", "")
    for arguments in [["nonsense"], ["stat", "v"], ["upload"], ["list"], ["stat", "v", "0000", "more"]] {
      let result = try TestSupport.run(StorageProgram.path, arguments, environment: storage.environment)
      #expect(result.status == 64 && result.output.contains("Usage: "), "\(result.output)")
    }
    let help = try TestSupport.run(StorageProgram.path, "--help")
    #expect(help.status == 0 && help.output.contains("dplcompat") && help.output.contains("testconnection"))
    let (_, path) = try Scratch.folder()
    expectFailure(try StorageProgram("plain", path + "/missing").run("testconnection"), 5, "base directory \(path)/missing", "make it")
  }

  @Test("the storage program needs no root, and reports what an unprivileged user may not do")
  func unprivileged() throws {
    let (local, path) = try Scratch.folder()
    let (program, log) = (try Scratch.temporaryFile(), try Scratch.temporaryFile(".log"))
    try FileManager.default.copyItem(atPath: StorageProgram.path, toPath: program)
    #expect(try run("chmod", "755", program, try Scratch.temporaryFolder()).status == 0)
    func asNobody(_ command: String, logfile: String = "") throws -> CommandResult {
      try run(
        "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "sh", "-c", command,
        environment: ["uri": "gluster://scratch/plain\(path)", "logfile": logfile])
    }
    let refused = try asNobody("echo x | '\(program)' upload v 0000")
    #expect(refused.status == 5 && refused.output.contains("Permission denied"), "\(refused.output)")
    let check = try asNobody("'\(program)' testconnection")
    #expect(check.status == 5 && check.output.contains("cannot read and write the base directory: Permission denied"), "\(check.output)")
    #expect(try run("chown", "nobody", local).status == 0)
    let stored = try asNobody(
      "'\(program)' testconnection && echo x | '\(program)' upload v 0000 && '\(program)' list v && '\(program)' download v 0000")
    #expect(stored.status == 0 && stored.output == "0000 2\nx\n", "\(stored.output)")
    #expect(try run("stat", "-c", "%U %a", local + "/v", local + "/v/0000").output == "nobody 750\nnobody 640\n")
    // A log file that this user cannot write is an error: the program does not go on silently without it.
    let noLog = try asNobody("'\(program)' list v", logfile: log)
    #expect(noLog.status == 2 && noLog.output.contains("logfile=\(log): cannot be written: Permission denied"), "\(noLog.output)")
  }

  @Test("the storage program reports errors in the log file as well")
  func logFile() throws {
    let (_, path) = try Scratch.folder()
    var storage = StorageProgram("plain", path)
    let log = try Scratch.temporaryFile(".log")
    (storage.environment["logfile"], storage.environment["loglevel"]) = (log, "info")
    // For `stat`, a missing part is an answer and no error.
    expectFailure(try storage.run("stat", "v", "0000"), 1, "no such part")
    expectFailure(try storage.run("download", "v", "0000"), 1, "no such part")
    let text = try String(contentsOfFile: log, encoding: .utf8)
    #expect(text.contains("]: GFD-201 download v 0000: no such part\n") && !text.contains("]: stat") && text.contains("[glfs"), "\(text)")
    // The level limits what the program and libgfapi log.
    try FileManager.default.removeItem(atPath: log)
    storage.environment["loglevel"] = "error"
    expectWell(try storage.run("testconnection"))
    #expect(try String(contentsOfFile: log, encoding: .utf8).isEmpty)
    #expect(try run("stat", "-c", "%a", log).output.hasPrefix("6"))
  }

  @Test("a download whose reader has gone is no success")
  func notTaken() throws {
    let (_, path) = try Scratch.folder()
    let storage = StorageProgram("plain", path)
    expectWell(try storage.run("upload", "v", "0000", input: random(3_000_000)))
    let result = try run(
      "bash", "-c", "'\(StorageProgram.path)' download v 0000 | head -c 1000 > /dev/null; echo ${PIPESTATUS[0]}",
      environment: storage.environment)
    #expect(result.output.contains("the data were not accepted: Broken pipe") && result.output.hasSuffix("\n6\n"), "\(result.output)")
  }
}
