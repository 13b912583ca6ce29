import Glibc
import Gluster
import PartStore

/// How the program ended, as its exit status: the storage daemon puts the number into the job's log.
enum Ending: Int32 {
  case well = 0
  /// There is no such part.
  case missing = 1
  /// The call, a name or an option is wrong.
  case wrong = 2
  /// The volume cannot be reached, or does not answer.
  case unreachable = 3
  /// No space is left, or a quota is used up.
  case full = 4
  /// The volume refused or failed.
  case failed = 5
  /// The data did not come to their end, or were not taken.
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

  /// Leaves without what `exit` runs, and without disconnecting: that takes Gluster 10 s, and all data are on the bricks.
  func leave() -> Never { _exit(rawValue) }

  /// Says on one line why, and leaves.
  ///
  /// Storage daemons put standard error into their trace only (Bareos 24 to 26), so it is said in the log file as well;
  /// where none is given, to syslog.
  func leave(_ reason: String, isLogged: Bool = true) -> Never {
    let call = CommandLine.arguments.dropFirst().joined(separator: " ")
    let line = "\(call): \(reason)".split(whereSeparator: \.isNewline).joined(separator: " ")
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
