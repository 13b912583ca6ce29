import Foundation
import MiniDaemon
import Testing
import TestSupport

@Suite("Dispersed volumes")
struct DispersedTests {
  @Test("a backup of a dispersed volume has the size that a file was truncated to a moment ago")
  func truncated() throws {
    let (local, path) = try Scratch.folder(on: "dispersed")
    for number in 0..<10 {
      let descriptor = open("\(local)/\(number)", O_WRONLY | O_CREAT, 0o644)
      let data = [UInt8](repeating: 7, count: 8192)
      #expect(Foundation.write(descriptor, data, data.count) == data.count)
      close(descriptor)
      chmod("\(local)/\(number)", 0o600)
      truncate("\(local)/\(number)", 4097)
      let old = timespec(tv_sec: 1_000_000_000, tv_nsec: 0)
      utimensat(AT_FDCWD, "\(local)/\(number)", [old, old], 0)
    }
    let backup = MemoryBackup()
    try withJob { job throws in
      _ = try job.backup(Scratch.line("dispersed", path), to: backup)
      #expect(job.messages.allSatisfy { $0.severity == .info }, "\(job.messages)")
    }
    for number in 0..<10 {
      let item = try #require(backup.item("\(path)/\(number)"))
      #expect(item.entry.status.st_size == 4097 && item.data.count == 4097)
    }
  }
}
