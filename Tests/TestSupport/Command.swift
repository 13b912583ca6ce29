import Foundation

/// A part of the test environment failed.
public struct TestError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// The exit status and the output of a program.
public struct CommandResult: Sendable {
  public let status: Int32
  /// Standard output and standard error, in the order in which they were written.
  public let output: String
}

/// Runs a program and waits for it.
@discardableResult
public func run(_ program: String, _ arguments: String..., environment: [String: String] = [:]) throws -> CommandResult {
  try run(program, arguments, environment: environment)
}

public func run(_ program: String, _ arguments: [String], environment: [String: String] = [:]) throws -> CommandResult {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: program.contains("/") ? program : "/usr/bin/env")
  process.arguments = program.contains("/") ? arguments : [program] + arguments
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
  process.standardInput = FileHandle.nullDevice
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  try process.run()
  let output = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return CommandResult(status: process.terminationStatus, output: String(decoding: output, as: UTF8.self))
}

/// Runs a program that must succeed, and returns its peak memory in KiB.
public func peakMemory(_ program: String, _ arguments: String...) throws -> Int {
  let script = """
    import resource, subprocess, sys
    done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss if done.returncode == 0 else done.stderr.decode(errors="replace"))
    """
  let output = try run("python3", ["-c", script, program] + arguments).output.trimmingCharacters(in: .newlines)
  guard let peak = Int(output) else { throw TestError("\(program) \(arguments): \(output)") }
  return peak
}

/// Waits until a condition is true. Returns false if it is not within `seconds`.
public func eventually(within seconds: Double = 30, _ condition: () throws -> Bool) rethrows -> Bool {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while ContinuousClock.now < deadline {
    if try condition() { return true }
    usleep(20_000)
  }
  return try condition()
}

/// Waits until later changes have later times than all earlier ones, in whole seconds.
public func nextSecond() {
  var now = timespec()
  clock_gettime(CLOCK_REALTIME, &now)
  // The kernel gives files the time of its last tick, as `time` does.
  while time(nil) <= now.tv_sec { usleep(10_000) }
}
