import Foundation

/// The resources of a process: threads, open files, and memory in KiB.
public struct ProcessUsage: CustomStringConvertible {
  public let threads: Int
  public let descriptors: Int
  public let memory: Int

  public init(_ process: pid_t) throws {
    let folder = "/proc/\(process)"
    threads = try FileManager.default.contentsOfDirectory(atPath: folder + "/task").count
    descriptors = try FileManager.default.contentsOfDirectory(atPath: folder + "/fd").count
    let status = try String(contentsOfFile: folder + "/status", encoding: .utf8)
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
      let memory = line.split(separator: " ").compactMap({ Int($0) }).first
    else { throw TestError("\(folder)/status: no VmRSS") }
    self.memory = memory
  }

  /// Returns the resources after all connections that are being closed have ended, which takes 10 s each. Threads that libgfapi keeps for
  /// later work may stay for minutes.
  public static func settled(_ process: pid_t) throws -> ProcessUsage {
    _ = try eventually(within: 60) {
      try !threads(process).values.contains { $0.hasPrefix("glfs_") && !$0.hasPrefix("glfs_sproc") }
    }
    return try ProcessUsage(process)
  }

  /// The names of a process's threads by their numbers. If a thread ends meanwhile, the kernel may leave another one out of its list;
  /// so the list is read until it is the same twice.
  public static func threads(_ process: pid_t) throws -> [String: String] {
    let folder = "/proc/\(process)/task"
    var numbers: [String] = []
    for _ in 0..<100 {
      let before = numbers
      numbers = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      if numbers == before { break }
    }
    return Dictionary(
      uniqueKeysWithValues: numbers.map {
        ($0, (try? String(contentsOfFile: "\(folder)/\($0)/comm", encoding: .utf8)) ?? "")
      })
  }

  /// The connections of a process to volumes, each as the number of its one thread that receives from the bricks.
  public static func clients(_ process: pid_t) throws -> Set<String> {
    Set(try threads(process).filter { $0.value.hasPrefix("glfs_epoll") }.keys)
  }

  public var description: String { "\(threads) threads, \(descriptors) descriptors, \(memory / 1024) MiB" }
}
