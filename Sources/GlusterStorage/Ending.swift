import Glibc
import Gluster
import PartStore

/// The exit status of the program. The storage daemon writes the number to the job's log.
enum Ending: Int32 {
  case well = 0
  /// There is no such part.
  case missing = 1
  /// The command line, a name or an option is wrong.
  case wrong = 2
  /// The volume cannot be reached, or does not answer.
  case unreachable = 3
  /// No space is left, or a quota is used up.
  case full = 4
  /// The volume refused or failed.
  case failed = 5
  /// The data did not arrive completely, or the receiver did not take it.
  case cutOff = 6

  init(_ error: any Error) {
    switch error {
    case is Settings.Wrong: self = .wrong
    case let error as StoreError:
      switch error.kind {
      case .missing: self = .missing
      case .badName: self = .wrong
      case .unreachable: self = .unreachable
      case .full: self = .full
      case .failed: self = .failed
      case .cutOff: self = .cutOff
      }
    default: self = .failed
    }
  }

  /// The code of its messages: docs/troubleshooting.md explains them under it.
  private var code: String { "GFD-\(200 + rawValue)" }

  /// Ends the process without the functions that `exit` runs, and without disconnecting: disconnecting takes 10 s, and all data is on the
  /// bricks.
  func leave() -> Never { _exit(rawValue) }

  /// Reports the reason on one line, and ends the process.
  ///
  /// Storage daemons write standard error only to their trace (Bareos 24 to 26). Therefore the reason is also written to the log file, or
  /// to syslog if no log file is set.
  func leave(_ reason: String, isLogged: Bool = true) -> Never {
    let call = CommandLine.arguments.dropFirst().joined(separator: " ")
    let line = "\(code) \(call): \(reason)".split(whereSeparator: \.isNewline).joined(separator: " ")
    write(to: 2, "bareos-gluster-storage: \(line)\n")
    guard isLogged else { leave() }
    if let file = Settings.text(.logfile), file.hasPrefix("/") {
      LogFile(file).append(line)
    } else {
      openlog("bareos-gluster-storage", LOG_PID, LOG_DAEMON)
      line.withCString { text in withVaList([text]) { vsyslog(LOG_ERR, "%s", $0) } }
    }
    leave()
  }
}
