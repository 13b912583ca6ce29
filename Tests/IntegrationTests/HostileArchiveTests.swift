import FDPluginABI
import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Hostile archives")
struct HostileArchiveTests {
  /// Writes an archive.
  ///
  /// - Parameter entries: lines of Python that add entries with `add(name, type, link="", data=b"")`; types as in `tarfile`.
  func archive(_ entries: String) throws -> String {
    let path = try Scratch.temporaryFile(".pax")
    let program = """
      import io, sys, tarfile
      archive = tarfile.open(sys.argv[1], "w", format=tarfile.PAX_FORMAT)
      def add(name, type=tarfile.REGTYPE, link="", data=b"planted"):
          info = tarfile.TarInfo(name)
          info.type, info.linkname, info.mode = type, link, 0o640
          if type == tarfile.REGTYPE: info.size = len(data)
          if type in (tarfile.CHRTYPE, tarfile.BLKTYPE): info.devmajor, info.devminor = 1, 3
          archive.addfile(info, io.BytesIO(data) if type == tarfile.REGTYPE else None)
      \(entries)
      archive.close()
      """
    let made = try run("python3", "-c", program, path)
    try #require(made.status == 0, "\(made.output)")
    return path
  }

  /// Makes a folder for a restore, and a folder `outside` in which nothing may change.
  ///
  /// - Returns: the paths of the folder that has both, and a function that describes the content of `outside`.
  func makePlace() throws -> (local: String, path: String, outside: () throws -> String) {
    let (local, path) = try Scratch.folder()
    let commands = """
      cd '\(local)' && mkdir outside root && echo untouched > outside/victim && chmod 600 outside/victim && mkdir outside/folder
      """
    try #require(try run("sh", "-c", commands).status == 0)
    let outside = { try run("sh", "-c", "cd '\(local)/outside' && find . -printf '%p %y %m %u %s %T@ %n\\n' | sort; cat victim").output }
    return (local, path, outside)
  }

  @Test(
    "a restore writes nothing outside its place: through climbing paths, planted links, or names of outside files",
    arguments: [
      #"add("../escaped")"#,
      #"add("a/../../escaped")"#,
      #"add("OUTSIDE/escaped"); add("/OUTSIDE/escaped2")"#,
      #"add("way", tarfile.SYMTYPE, "OUTSIDE"); add("way/escaped")"#,
      #"add("way", tarfile.SYMTYPE, "../outside"); add("way/folder/escaped"); add("way", tarfile.DIRTYPE)"#,
      #"add("way/file"); add("way/file2"); add("way", tarfile.SYMTYPE, "OUTSIDE"); add("way/escaped")"#,
      #"add("d", tarfile.DIRTYPE); add("d/link", tarfile.SYMTYPE, "OUTSIDE/victim"); add("d/link", data=b"changed")"#,
      #"add("d/link", tarfile.SYMTYPE, "OUTSIDE"); add("d/link", tarfile.DIRTYPE); add("d/link/victim")"#,
      #"add("name", tarfile.LNKTYPE, "../outside/victim"); add("name", data=b"changed")"#,
      #"add("way", tarfile.SYMTYPE, "OUTSIDE"); add("name", tarfile.LNKTYPE, "way/victim")"#,
      #"add("way", tarfile.SYMTYPE, "OUTSIDE/victim"); add("name", tarfile.LNKTYPE, "way"); add("name", data=b"changed")"#,
    ])
  func escapes(_ entries: String) throws {
    let (local, path, outside) = try makePlace()
    let before = try outside()
    let archive = try archive(entries.replacingOccurrences(of: "OUTSIDE", with: path + "/outside"))
    let result = try run(Scratch.tool, "restore", archive, Scratch.line(), "--where", path + "/root")
    #expect([0, 1].contains(result.status), "\(result.output)")
    try Scratch.remount("plain")
    #expect(try outside() == before, "\(result.output)")
    // Nothing was written elsewhere on the volume either.
    let others = try run("find", try Scratch.mount("plain"), "-name", "escaped*", "-not", "-path", "*/root/*")
    #expect(others.output == "", "\(others.output)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: local).sorted() == ["outside", "root"])
  }

  @Test("a restore refuses a symbolic link at its place or above it", arguments: ["root", "root/below/further"])
  func linkedRoot(_ place: String) throws {
    let (local, path, outside) = try makePlace()
    try #require(try run("sh", "-c", "cd '\(local)' && rmdir root && ln -s outside root").status == 0)
    let before = try outside()
    let result = try run(
      Scratch.tool, "restore", try archive(#"add("file"); add("folder", tarfile.DIRTYPE); add("victim")"#), Scratch.line(), "--where",
      "\(path)/\(place)")
    #expect(result.status == 1 && result.output.contains("\(path)/root is a symbolic link"), "\(result.output)")
    #expect(result.output.contains("3 failed"), "\(result.output)")
    #expect(try outside() == before)
  }

  @Test("a restore makes device files and opens none")
  func devices() throws {
    let (local, path, _) = try makePlace()
    let archive = try archive(#"add("c", tarfile.CHRTYPE); add("b", tarfile.BLKTYPE); add("f", tarfile.FIFOTYPE); add("after")"#)
    let result = try run(Scratch.tool, "restore", archive, Scratch.line(), "--where", path + "/root")
    #expect(result.status == 0, "\(result.output)")
    let made = try run("sh", "-c", "cd '\(local)/root' && stat -c '%n %F %t %T' *").output
    #expect(made == "after regular file 0 0\nb block special file 1 3\nc character special file 1 3\nf fifo 0 0\n", "\(made)")
  }

  @Test("a restore reports an archive that is cut off or invalid, and restores the entries before", arguments: [100, 600, 1300, 100_000])
  func cutOff(_ length: Int) throws {
    let (local, path, _) = try makePlace()
    let whole = try archive(#"add("first"); add("second", data=bytes(200000))"#)
    try #require(truncate(whole, off_t(length)) == 0)
    let result = try run(Scratch.tool, "restore", whole, Scratch.line(), "--where", path + "/root")
    #expect(result.status == (length > 512 ? 1 : 2), "\(result.output)")
    #expect(result.output.contains("the archive cannot be read: "), "\(result.output)")
    if length == 100_000 { #expect(result.output.contains("error: GFD-303 /second: incomplete"), "\(result.output)") }
    if length > 1024 { #expect(try String(contentsOfFile: local + "/root/first", encoding: .utf8) == "planted") }
  }
}

@Suite("Attributes at their limits")
struct LimitTests {
  @Test(
    "a restore brings back ACLs and extended attributes as large and as many as a FUSE mount accepts",
    arguments: Soak.cases(["plain", "replicated"], of: ["plain", "distributed", "replicated", "dispersed"]))
  func attributes(_ kind: String) throws {
    let (local, path) = try Scratch.folder(on: kind)
    // setfattr would take a value that begins with 0x or 0s for an encoded one.
    let commands = """
      cd '\(local)' && mkdir tree tree/folder && echo data > tree/file &&
      seq 10001 10490 | sed 's/.*/u:&:r-x/' | setfacl -M - tree/file &&
      seq 10001 10490 | sed 's/.*/d:g:&:rwx/' | setfacl -M - tree/folder &&
      { echo -n v; head -c 30000 /dev/urandom | base64 -w 0; } > value && setfattr -n user.large -v "$(head -c 40000 value)" tree/file &&
      for n in $(seq 200); do setfattr -n "user.number-$n" -v "$(head -c 200 value)" tree/folder || exit 1; done &&
      setfattr -n "user.$(head -c 250 value | tr '/+' aa)" -v name tree/folder && setfattr -n user.empty tree/file
      """
    let made = try run("bash", "-c", commands)
    try #require(made.status == 0, "\(made.output)")
    for layout in ["bareos26", "bacula9"] {
      let archive = try Scratch.temporaryFile(".pax")
      let backup = try run(Scratch.tool, "backup", Scratch.line(kind, path + "/tree"), "-o", archive, "--abi", layout)
      #expect(backup.status == 0, "\(backup.output)")
      let restore = try run(Scratch.tool, "restore", archive, Scratch.line(kind), "--where", path + "/" + layout, "--abi", layout)
      #expect(restore.status == 0, "\(restore.output)")
      let comparison = try run(Scratch.script("compare-trees"), local + "/tree", local + "/\(layout)\(path)/tree")
      #expect(comparison.status == 0, "\(comparison.output.suffix(2000))")
    }
  }

  @Test(
    "a restore brings back an ACL of a thousand users, which no FUSE mount accepts",
    arguments: Soak.cases(["plain", "dispersed"], of: ["plain", "distributed", "replicated", "dispersed"]))
  func largeACL(_ kind: String) throws {
    func number(_ number: Int, _ size: Int) -> [UInt8] { (0..<size).map { UInt8(number >> (8 * $0) & 0xff) } }
    // The extended attribute holds version 2, then tag, permissions and id of each entry, little-endian.
    var value = number(2, 4) + [1, 0, 7, 0, 255, 255, 255, 255]
    for user in 10_001...11_000 { value += [2, 0, 5, 0] + number(user, 4) }
    for tag in [4, 16, 32] as [UInt8] { value += [tag, 0, 5, 0, 255, 255, 255, 255] }
    // The stream holds big-endian lengths, and the name with its NUL.
    let name = Array("system.posix_acl_access\0".utf8)
    let stream = number(name.count, 4).reversed() + name + number(value.count, 4).reversed() + value
    let (local, path) = try Scratch.folder(on: kind)
    var status = stat()
    (status.st_mode, status.st_nlink) = (S_IFREG | 0o755, 1)
    var entry = SavedEntry(type: FD_FT_REGE, path: Array((path + "/file").utf8), link: [], status: status)
    entry.acls = Array(stream)
    for abi in [ABI.bareos26, .bacula9] {
      try withJob(abi: abi) { job throws in
        #expect(try MemoryBackup([MemoryBackup.Item(entry: entry)]).restore(job, Scratch.line(kind)).failed == 0, "\(job.messages)")
      }
      let saved = MemoryBackup()
      try withJob(abi: abi) { job throws in
        #expect(try job.backup(Scratch.line(kind, path), to: saved)?.failed == 0, "\(job.messages)")
      }
      #expect(saved.item(path + "/file")?.entry.acls == entry.acls)
      try FileManager.default.removeItem(atPath: local + "/file")
    }
  }
}
