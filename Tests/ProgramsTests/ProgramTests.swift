import Foundation
import Programs
import Testing
import TestSupport

@Suite("Programs of this host")
struct ProgramTests {
  @Test("The output of a program is split into lines, also where Python prints it as bytes")
  func lines() {
    let result = ProgramResult(isWell: true, isTimedOut: false, output: "one\n\n  two \n", errors: "b'three\\nit\\'s four\\n'\n\"five\"")
    #expect(result.lines == ["one", "two", "b'three", "it's four", "five"])
    #expect(ProgramResult(isWell: true, isTimedOut: false, output: "", errors: "").lines == [])
  }

  @Test("A program runs in the C locale, and its success, failure or timeout is recognized")
  func run() async throws {
    let well = try await runProgram("sh", ["-c", "echo out; echo $LC_ALL >&2"])
    #expect(well.isWell && !well.isTimedOut && well.output == "out\n" && well.errors == "C.UTF-8\n")
    for (status, isTimedOut) in [(1, false), (124, true), (137, true)] {
      let result = try await runProgram("/bin/sh", ["-c", "exit \(status)"])
      #expect(!result.isWell && result.isTimedOut == isTimedOut)
    }
    let failure = await #expect(throws: ProgramFailure.self) { try await runProgram("/nonexistent/program", []) }
    #expect(failure?.program == "/nonexistent/program" && failure?.description.isEmpty == false)
  }

  @Test("A program can write its output into a file, but not through a symbolic link")
  func file() async throws {
    let folder = try TemporaryFolder()
    let result = try await runProgram("echo", ["out"], into: folder.path + "/file", within: 60)
    #expect(result.isWell && result.output.isEmpty)
    #expect(try String(contentsOfFile: folder.path + "/file", encoding: .utf8) == "out\n")
    try FileManager.default.createSymbolicLink(atPath: folder.path + "/link", withDestinationPath: folder.path + "/file")
    await #expect(throws: ProgramFailure.self) { try await runProgram("echo", ["other"], into: folder.path + "/link") }
  }

  @Test("The arguments of a program reach it as they are, without a shell")
  func arguments() async throws {
    let words = ["a b", "$HOME", "`x`", "it's", "", "*", "ü"]
    #expect(try await runProgram("printf", ["%s|"] + words).output == words.map { $0 + "|" }.joined())
  }

  @Test("A program that takes too long is ended with all that it has started")
  func limit() async throws {
    let result = try await runProgram("sh", ["-c", "sleep 60 & echo $!; sleep 60; :"], within: 1)
    #expect(result.isTimedOut && !result.isWell)
    let child = try #require(Int32(result.output.trimming(\.isWhitespace)))
    // A child that was ended is a zombie until init has waited for it.
    let state = try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8)
    #expect(!(state?.contains(") S ") ?? false), "\(state ?? "")")
  }

  @Test("A caller that is not asynchronous gets the output of a program, or nil if it fails, takes too long or is missing")
  func waits() async {
    // On a thread of its own, as in the tool. A thread of Swift's concurrency must not wait.
    let outputs = await withCheckedContinuation { ended in
      Thread.detachNewThread {
        struct Broken: Error {}
        #expect(throws: Broken.self) { try waiting { throw Broken() } }
        ended.resume(
          returning: [
            outputOfProgram("sh", ["-c", "echo out; echo no >&2"]), outputOfProgram("printf", ["\\377"]),
            outputOfProgram("sh", ["-c", "echo out; exit 1"]), outputOfProgram("sleep", ["60"], within: 1),
            outputOfProgram("/nonexistent/program", []),
          ])
      }
    }
    #expect(outputs == ["out\n", "\u{fffd}", nil, nil, nil])
  }
}
