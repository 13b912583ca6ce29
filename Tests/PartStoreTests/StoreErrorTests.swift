import Glibc
import Gluster
import PartStore
import SystemPackage
import Testing

@Suite("An error of a part")
struct StoreErrorTests {
  @Test(
    "says what a caller can do about it",
    arguments: [
      (.socketNotConnected, .unreachable), (.socketShutdown, .unreachable), (.connectionRefused, .unreachable), (.noSpace, .full),
      (Errno(rawValue: EDQUOT), .full), (.ioError, .failed), (.permissionDenied, .failed), (.noSuchFileOrDirectory, .failed),
      (Errno(rawValue: 0), .failed),
    ] as [(Errno, StoreError.Kind)])
  func kinds(_ errno: Errno, _ kind: StoreError.Kind) {
    #expect(StoreError(GlusterError(errno: errno, call: "glfs_pwrite"), "cannot write").kind == kind)
  }

  @Test("is one line: what was to be done, and what the volume said")
  func words() {
    let error = StoreError(GlusterError(errno: .noSpace, call: "glfs_pwrite"), "cannot write")
    #expect("\(error)" == "cannot write: No space left on device (glfs_pwrite)")
  }
}
