import Glibc
import Locks

/// Lets only one job of the process restore at a time.
///
/// Bacula 9.6 stores the state of a plugin's current entry only once for all jobs. If two restores run through one plugin, one of them
/// ends with "Second call to startRestoreFile" or "Unbalanced call to createFile".
final class RestoreTurn: Sendable {
  static let shared = RestoreTurn()

  private let holder = Mutex<ObjectIdentifier?>(nil)

  /// Waits for the turn.
  ///
  /// - Parameters:
  ///   - onWait: called once, if it is necessary to wait.
  ///   - isCancelled: called a few times a second while waiting.
  /// - Returns: false if the waiting was cancelled.
  func take(_ job: AnyObject, onWait: () -> Void, isCancelled: () -> Bool) -> Bool {
    var hasWaited = false
    while !tryTake(job) {
      if isCancelled() { return false }
      if !hasWaited { onWait() }
      hasWaited = true
      usleep(100_000)
    }
    return true
  }

  private func tryTake(_ job: AnyObject) -> Bool {
    holder.withLock { holder in
      if holder == nil { holder = ObjectIdentifier(job) }
      return holder == ObjectIdentifier(job)
    }
  }

  /// Gives the turn back, if `job` has it.
  func giveBack(_ job: AnyObject) {
    holder.withLock { if $0 == ObjectIdentifier(job) { $0 = nil } }
  }
}
