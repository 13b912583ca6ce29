import Glibc
import Gluster
import PartStore
import SystemPackage
import Testing

@Suite("Errors of a stored part")
struct StoreErrorTests {
  @Test(
    "The kind of an error says what a caller can do about it",
    arguments: [
      (.socketNotConnected, .unreachable), (.socketShutdown, .unreachable), (.connectionRefused, .unreachable), (.noSpace, .full),
      (Errno(rawValue: EDQUOT), .full), (.ioError, .failed), (.permissionDenied, .failed), (.noSuchFileOrDirectory, .failed),
      (Errno(rawValue: 0), .failed),
    ] as [(Errno, StoreError.Kind)])
  func kinds(_ errno: Errno, _ kind: StoreError.Kind) {
    #expect(StoreError(GlusterError(errno: errno, call: "glfs_pwrite"), "cannot write").kind == kind)
  }

  @Test("The description of an error is one line with the action and the reason")
  func words() {
    let error = StoreError(GlusterError(errno: .noSpace, call: "glfs_pwrite"), "cannot write")
    #expect("\(error)" == "cannot write: No space left on device (glfs_pwrite)")
  }
}
