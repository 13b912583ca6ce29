import Glibc
import Gluster
import PartStore

/// One operation on the volume, from connecting to the end of the process.
struct Operation {
  let store: PartStore
  private let volume: Volume
  private let watchdog: Watchdog

  /// Connects, runs `body`, and ends the process.
  ///
  /// - Parameter expectsMissing: if true, a missing part is a normal answer and is not logged.
  static func run(expectsMissing: Bool = false, _ body: (Operation) throws -> Void) -> Never {
    // A receiver that takes no more data is reported as an error of the write.
    signal(SIGPIPE, SIG_IGN)
    // A pipe that holds as much as one call on the volume transfers needs fewer switches between the daemon and this process.
    let setPipeSize: Int32 = 1031  // F_SETPIPE_SZ, which Swift's module for C does not have
    for descriptor: Int32 in [0, 1] { _ = fcntl(descriptor, setPipeSize, Int32(PartStore.pieceSize)) }
    @Sendable func leave(_ error: any Error, _ why: String = "") -> Never {
      let ending = Ending(error)
      ending.leave("\(error)\(why)", isLogged: !(expectsMissing && ending == .missing))
    }
    do {
      let operation = try Operation(Settings())
      do {
        try body(operation)
      } catch let error where Ending(error) != .unreachable {
        let volume = operation.volume
        let why = volume.retry.newCauses().map { cause in
          // The storage daemon runs as a user of its own, and does not need root.
          cause == .denied && geteuid() != 0
            ? ": give the base directory and its content to user \(geteuid())" : ": " + cause.words(volume.uri.volume)
        }.joined()
        operation.settle { leave(error, why) }
      }
      operation.settle { Ending.well.leave() }
    } catch {
      leave(error)
    }
  }

  private init(_ settings: Settings) throws {
    let log = settings.logging.file.map(ConnectionLog.init(file:)) ?? ConnectionLog()
    let watchdog = Watchdog(seconds: settings.timeout) { action, setback in
      let why = "\(action)" == "connecting" ? settings.uri.whyUnreachable(nil, log).map { ": \($0)" } ?? "" : ""
      let words = "\(settings.uri): no answer within \(settings.timeout) s (timeout=) while \(action)\(why)"
      Ending.unreachable.leave(setback?.description ?? words)
    }
    self.watchdog = watchdog
    func failure(_ error: GlusterError) -> StoreError {
      let why = settings.uri.whyUnreachable(error, log).map { ": \($0)" } ?? ""
      return StoreError(.unreachable, "cannot connect to \(settings.uri): \(error)\(why)")
    }
    watchdog.begin("connecting")
    do {
      // Connecting is not tried for longer, so that enough time is left for the last try.
      volume = try Volume.connect(within: settings.timeout / 2, onSetback: { watchdog.note(failure($0)) }) { () throws(GlusterError) in
        // No call follows for which a lock would be kept, and the end of the process would wait for the lock.
        try Volume(settings.uri, logging: settings.logging, keepsLocks: false, log: log)
      }
    } catch {
      throw failure(error)
    }
    store = try PartStore(volume) { watchdog.begin($0) }
  }

  /// Waits until the client has finished the calls that it still makes after the volume's answer, and ends the process. If this takes too
  /// long, the process ends all the same, and the rest is left to the bricks: by now the operation is done or has failed.
  private func settle(_ leave: @escaping @Sendable () -> Never) -> Never {
    watchdog.begin("ending", giveUp: leave)
    try? volume.settle()
    leave()
  }

  /// Reads data from standard input. Returns the number of bytes; 0 at the end of the data.
  func take(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let count = watchdog.pause { retried { read(0, buffer.baseAddress, buffer.count) } }
    guard count >= 0 else { throw StoreError(.cutOff, "cannot read the data: \(String(cString: strerror(errno)))") }
    return count
  }

  /// Writes all of `bytes` to standard output.
  func put(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = watchdog.pause { retried { write(1, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count) } }
      guard count > 0 else { throw StoreError(.cutOff, "the data were not accepted: \(String(cString: strerror(errno)))") }
      rest = rest.dropFirst(count)
    }
  }

  func put(_ text: String) throws {
    try Array(text.utf8).withUnsafeBytes(put)
  }

  /// Repeats a call that a signal has interrupted.
  private func retried(_ call: () -> Int) -> Int {
    while true {
      let result = call()
      if result >= 0 || errno != EINTR { return result }
    }
  }
}

/// The process that sends a part. If it is killed, its end of the pipe is closed, which looks like the end of the data.
struct Sender {
  private let process = getppid()

  /// True if the process has neither ended nor begun to end. From the beginning of its exit, before its files are closed, the kernel shows
  /// a flag.
  ///
  /// The flag is read before the parent is compared: a process that ends between the two checks has no flag any more, but it is no longer
  /// the parent either.
  var isAlive: Bool { !hasBegunToEnd && getppid() == process }

  private var hasBegunToEnd: Bool {
    let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 1024)
    let count = read(descriptor, &text, text.count)
    return count > 0 && Self.isExiting(text[..<count])
  }

  /// Returns true if a process has begun to end.
  ///
  /// - Parameter status: content of `/proc/PID/stat`: `pid (name) state ppid pgrp session tty tpgid flags …`. The name may contain any
  ///   character.
  static func isExiting(_ status: ArraySlice<UInt8>) -> Bool {
    guard let name = status.lastIndex(of: UInt8(ascii: ")")) else { return false }
    let fields = status[(name + 1)...].split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
    let exiting: UInt = 0x4  // PF_EXITING
    guard fields.count > 6, let flags = UInt(fields[6]) else { return false }
    return flags & exiting != 0
  }
}
