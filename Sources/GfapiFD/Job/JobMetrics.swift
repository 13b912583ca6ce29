import GfapiDefinition
import Glibc
import Gluster
import HostFiles

/// The metrics of the last job of a plugin line, in the text format of Prometheus, for its textfile collector (`metrics=`).
///
/// The file has the metrics of the last backup and of the last restore of each volume and directory. It is replaced as a whole, or not
/// changed at all.
package struct JobMetrics {
  /// The operation of a job.
  package enum Operation: String, Sendable { case backup, restore }

  /// The numbers of a job that has ended. `entries` has a number for each type of entry.
  package struct Numbers: Sendable {
    package var hasSucceeded = false
    package var entries: [(type: String, count: Int)] = []
    package var bytes = 0
    package var unchanged = 0
    package var failed = 0

    package init() {}
  }

  package let file: String
  private let labels: String
  private let began = ContinuousClock.now

  /// - Parameters:
  ///   - file: absolute path.
  ///   - uri: the volume and the directory of the job.
  package init(_ file: String, _ operation: Operation, _ uri: VolumeURI) {
    self.file = file
    func quoted(_ text: String) -> String {
      "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n") + "\""
    }
    let directory = printable(uri.directory.bytes)
    labels = "operation=\(quoted(operation.rawValue)),volume=\(quoted(uri.volume)),directory=\(quoted(directory))"
  }

  private static let metrics: [(name: String, help: String)] = [
    ("gfapi_fd_last_run_time_seconds", "When the last job ended, in seconds since 1970."),
    ("gfapi_fd_last_success_time_seconds", "When the last successful job ended, in seconds since 1970."),
    ("gfapi_fd_last_run_success", "1 if the last job was successful, 0 if not."),
    ("gfapi_fd_duration_seconds", "How long the last job took."),
    ("gfapi_fd_entries", "Entries that the last job saved or restored, by type."),
    ("gfapi_fd_bytes", "Bytes of data that the last job saved or restored."),
    ("gfapi_fd_unchanged_entries", "Entries that the last job did not save because they had not changed."),
    ("gfapi_fd_failed_entries", "Entries that the last job could not save or restore completely."),
  ]
  private static let lastSuccess = "gfapi_fd_last_success_time_seconds"

  /// Writes the file.
  ///
  /// - Throws: ``HostFile/Failure``.
  package func write(_ numbers: Numbers) throws {
    let now = time(nil)
    let milliseconds = Int(began.duration(to: .now) / .milliseconds(1))
    let seconds = "\(milliseconds / 1000)." + "\(1000 + milliseconds % 1000)".dropFirst()
    var samples = (try? Self.read(file)) ?? []
    // The time of the last success stays until there is another success.
    samples.removeAll { $0.labels.hasPrefix(labels) && ($0.name != Self.lastSuccess || numbers.hasSucceeded) }
    func add(_ name: String, _ value: String, _ more: String = "") {
      samples.append(Sample(name: "gfapi_fd_\(name)", labels: labels + more, value: value))
    }
    add("last_run_time_seconds", "\(now)")
    if numbers.hasSucceeded { add("last_success_time_seconds", "\(now)") }
    add("last_run_success", numbers.hasSucceeded ? "1" : "0")
    add("duration_seconds", seconds)
    for (type, count) in numbers.entries { add("entries", "\(count)", ",type=\"\(type)\"") }
    add("bytes", "\(numbers.bytes)")
    add("unchanged_entries", "\(numbers.unchanged)")
    add("failed_entries", "\(numbers.failed)")
    let text = Self.metrics.map { name, help in
      let lines = samples.filter { $0.name == name }.map { "\(name){\($0.labels)} \($0.value)\n" }
      return lines.isEmpty ? "" : "# HELP \(name) \(help)\n# TYPE \(name) gauge\n" + lines.joined()
    }
    try Self.replace(file, Array(text.joined().utf8))
  }

  private struct Sample {
    let name: String
    let labels: String
    let value: String
  }

  /// Reads the samples that earlier jobs wrote. Other lines are left out.
  private static func read(_ file: String) throws -> [Sample] {
    let descriptor = try HostFile.open(file.utf8, O_RDONLY)
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self).split(separator: "\n").compactMap { line in
      guard let open = line.firstIndex(of: "{"), let close = line.lastIndex(of: "}"), open < close else { return nil }
      let value = line[line.index(after: close)...].drop { $0 == " " }
      return Sample(
        name: String(line[..<open]), labels: String(line[line.index(after: open)..<close]), value: String(value))
    }
  }

  /// Writes a new file, and replaces an existing one with it.
  private static func replace(_ file: String, _ bytes: [UInt8]) throws {
    let new = file + ".part"
    func failure(_ call: String) -> HostFile.Failure {
      let failure = HostFile.Failure(call: call, errno: errno)
      unlink(new)
      return failure
    }
    // A job that was killed may have left this file.
    unlink(new)
    let descriptor = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure("open") }
    let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    guard close(descriptor) == 0, written == bytes.count else { throw failure("write") }
    // The collector runs as another user and must be able to read the file, whatever the daemon's umask is.
    guard chmod(new, 0o644) == 0, rename(new, file) == 0 else { throw failure("rename") }
  }
}
