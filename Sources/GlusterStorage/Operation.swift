import Glibc
import Gluster
import PartStore

/// One operation on the volume, from its connection to the end of the process.
struct Operation {
  let store: PartStore
  private let volume: Volume
  private let patience: Patience

  /// Connects, does something, and ends the process.
  ///
  /// - Parameter expectsMissing: that there is no such part is an answer, and not logged.
  static func run(expectsMissing: Bool = false, _ body: (Operation) throws -> Void) -> Never {
    // Who does not take the data any more is told of as an error of the writing.
    signal(SIGPIPE, SIG_IGN)
    // A pipe that holds as much as one call on the volume takes: fewer switches between the daemon and this process.
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
        let why = volume.patience.newCauses().map { cause in
          // The storage daemon has a user of its own, and needs no root.
          cause == .denied && geteuid() != 0
            ? ": give the base directory, and what is in it, to user \(geteuid())" : ": " + cause.words(volume.uri.volume)
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
    let patience = Patience(seconds: settings.timeout) { action, setback in
      let why = "\(action)" == "connecting" ? settings.uri.whyUnreachable(nil, log).map { ": \($0)" } ?? "" : ""
      let words = "\(settings.uri): no answer within \(settings.timeout) s (timeout=) while \(action)\(why)"
      Ending.unreachable.leave(setback?.description ?? words)
    }
    self.patience = patience
    func failure(_ error: GlusterError) -> StoreError {
      let why = settings.uri.whyUnreachable(error, log).map { ": \($0)" } ?? ""
      return StoreError(.unreachable, "cannot connect to \(settings.uri): \(error)\(why)")
    }
    patience.begin("connecting")
    do {
      // Not so long that there is no time for the last try.
      volume = try Volume.connect(within: settings.timeout / 2, onSetback: { patience.note(failure($0)) }) {
        // Nothing follows for which a lock would be kept, and the end waits for it.
        try Volume(settings.uri, logging: settings.logging, keepsLocks: false, log: log)
      }
    } catch let error as GlusterError {
      throw failure(error)
    }
    store = try PartStore(volume) { patience.begin($0) }
  }

  /// Has the client do what is left to do of calls that the volume has answered, and leaves. If that takes too long the bricks
  /// are left to do it: what was asked for is done, or has failed, by now.
  private func settle(_ leave: @escaping @Sendable () -> Never) -> Never {
    patience.begin("ending", giveUp: leave)
    try? volume.settle()
    leave()
  }

  /// Takes data from standard input: returns how many bytes, 0 at their end.
  func take(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let count = patience.pause { retried { read(0, buffer.baseAddress, buffer.count) } }
    guard count >= 0 else { throw StoreError(.cutOff, "cannot read the data: \(String(cString: strerror(errno)))") }
    return count
  }

  /// Puts all of `bytes` to standard output.
  func put(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = patience.pause { retried { write(1, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count) } }
      guard count > 0 else { throw StoreError(.cutOff, "the data are not taken: \(String(cString: strerror(errno)))") }
      rest = rest.dropFirst(count)
    }
  }

  func put(_ text: String) throws {
    try Array(text.utf8).withUnsafeBytes(put)
  }

  /// Makes a call again that a signal has interrupted.
  private func retried(_ call: () -> Int) -> Int {
    while true {
      let result = call()
      if result >= 0 || errno != EINTR { return result }
    }
  }
}

/// The process that sends a part. If it is killed its end of the pipe is closed, which looks like the end of the data.
struct Sender {
  private let process = getppid()

  /// Whether it has neither ended nor begun to: from its exit on, before its files are closed, the kernel shows a flag.
  ///
  /// The flag is read first: a process that is gone between the two looks has no flag any more, and is no parent any more.
  var isAlive: Bool { !hasBegunToEnd && getppid() == process }

  private var hasBegunToEnd: Bool {
    let descriptor = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    var text = [UInt8](repeating: 0, count: 1024)
    let count = read(descriptor, &text, text.count)
    return count > 0 && Self.isExiting(text[..<count])
  }

  /// Whether a process has begun to end.
  ///
  /// - Parameter status: what `/proc/PID/stat` tells: `pid (name) state ppid pgrp session tty tpgid flags …`; the name may have
  ///   anything in it.
  static func isExiting(_ status: ArraySlice<UInt8>) -> Bool {
    guard let name = status.lastIndex(of: UInt8(ascii: ")")) else { return false }
    let fields = status[(name + 1)...].split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
    let exiting: UInt = 0x4  // PF_EXITING
    guard fields.count > 6, let flags = UInt(fields[6]) else { return false }
    return flags & exiting != 0
  }
}
