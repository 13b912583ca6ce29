import Glibc
import Locks

/// Lets one job of the process restore at a time. Bacula 9.6 keeps what it knows of a plugin's entry in hand once for all
/// jobs: two restores through one plugin end one of them with "Second call to startRestoreFile" or "Unbalanced call to
/// createFile".
final class RestoreTurn: Sendable {
  static let shared = RestoreTurn()

  private let holder = Mutex<ObjectIdentifier?>(nil)

  /// Waits for the turn.
  ///
  /// - Parameters:
  ///   - onWait: told once, if there is something to wait for.
  ///   - isCancelled: asked a few times a second.
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
