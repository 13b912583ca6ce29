import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Dispersed volumes")
struct DispersedTests {
  /// A listing, and the client's cache after it, would have the former sizes.
  @Test("a backup of a dispersed volume has the sizes that files got a moment ago", arguments: [0, 1, 4097, 8193, 20_000, 2_000_000])
  func resized(to size: Int) throws {
    let (local, path) = try Scratch.folder(on: "dispersed")
    let (old, added) = ([UInt8](repeating: 7, count: 8192), [UInt8](repeating: 9, count: max(size - 8192, 0)))
    for number in 0..<10 {
      let descriptor = open("\(local)/\(number)", O_WRONLY | O_CREAT, 0o644)
      #expect(Foundation.write(descriptor, old, old.count) == old.count)
      close(descriptor)
      chmod("\(local)/\(number)", 0o600)
      if added.isEmpty {
        truncate("\(local)/\(number)", size)
      } else {
        let descriptor = open("\(local)/\(number)", O_WRONLY | O_APPEND)
        #expect(Foundation.write(descriptor, added, added.count) == added.count)
        close(descriptor)
      }
      let time = timespec(tv_sec: 1_000_000_000, tv_nsec: 0)
      utimensat(AT_FDCWD, "\(local)/\(number)", [time, time], 0)
    }
    let backup = MemoryBackup()
    try withJob { job throws in
      _ = try job.backup(Scratch.line("dispersed", path), to: backup)
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
    }
    for number in 0..<10 {
      let item = try #require(backup.item("\(path)/\(number)"))
      #expect(item.entry.status.st_size == size && item.data == old.prefix(size) + added)
    }
  }

  @Test("a backup of a dispersed volume has a single state of a file that keeps changing")
  func changing() throws {
    let (local, path) = try Scratch.folder(on: "dispersed")
    let writer = Process()
    writer.executableURL = URL(fileURLWithPath: "/bin/sh")
    // Each state of the file is lines of one number, as many as the number says.
    writer.arguments = [
      "-c", "cd '\(local)'; n=0; while :; do n=$(((n + 7) % 200)); yes $n | head -n $n > .new; mv .new file; done",
    ]
    try writer.run()
    defer {
      kill(writer.processIdentifier, SIGKILL)
      writer.waitUntilExit()
    }
    for _ in 0..<10 {
      let backup = MemoryBackup()
      _ = try withJob { try $0.backup(Scratch.line("dispersed", path), to: backup) }
      guard let item = backup.item("\(path)/file") else { continue }
      let lines = String(decoding: item.data, as: UTF8.self).split(separator: "\n")
      #expect(item.data.count == Int(item.entry.status.st_size))
      #expect(Set(lines).count <= 1 && lines.first.map { Int($0) == lines.count } ?? true, "\(lines)")
    }
  }
}
