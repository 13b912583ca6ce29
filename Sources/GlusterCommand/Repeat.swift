import Glibc
import Programs

/// Makes a call, and repeats it if it timed out or glusterd was busy.
///
/// A call that timed out is made up to three times in all. libgfchangelog waits for ever when it has read a few changes faster than it
/// noted that it had begun (GlusterFS 10: `gf_history_changelog` marks its work as running after it has started it).
///
/// A call that glusterd refuses because it is busy is repeated for up to `seconds` seconds. glusterd does one thing at a time for all
/// its callers.
package func retried(
  whileBusyFor seconds: Int = GlusterCommand.busySeconds, _ call: () async throws -> ProgramResult
) async throws -> ProgramResult {
  let deadline = time(nil) + seconds
  var timeouts = 0
  while true {
    let result = try await call()
    if result.isTimedOut { timeouts += 1 }
    guard result.isTimedOut ? timeouts < 3 : result.isRefusedForNow && time(nil) < deadline else { return result }
    if !result.isTimedOut { try await Task.sleep(for: .milliseconds(.random(in: 500..<1500))) }
  }
}

extension ProgramResult {
  /// True if glusterd refused the call because it is doing something for another caller, or a brick is closing its changelog. After a
  /// time-out the bricks let go of a changelog that they hold for a snapshot (10.3: 120 s), and the next call succeeds.
  var isRefusedForNow: Bool {
    // "Another transaction is in progress for VOLUME. Please try again after some time."
    lines.contains {
      $0.contains("Another transaction") && $0.contains("in progress") || $0.contains("Locking failed on")
        || $0.contains("changelog notify failed") || $0.contains("Request timed out")
    }
  }
}
