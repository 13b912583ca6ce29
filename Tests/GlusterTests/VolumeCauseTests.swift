import Glibc
import SystemPackage
import Testing

@testable import Gluster

@Suite("The causes for which a volume refuses calls")
struct VolumeCauseTests {
  @Test(
    "The cause of some errors is known, and its message says what to do",
    arguments: [
      (Errno.readOnlyFileSystem, 0, "features.read-only off"), (.permissionDenied, 0, "server.root-squash off"),
      (.permissionDenied, 1000, "runs as user 1000"), (.notPermitted, 1000, "run it as root"), (.tooManyLinks, 0, "storage.max-hardlinks"),
      (.diskQuotaExceeded, 0, "gluster volume quota myvol list"),
    ] as [(Errno, uid_t, String)])
  func words(_ errno: Errno, _ user: uid_t, _ words: String) {
    let cause = VolumeCause(GlusterError(errno: errno, call: "glfs_h_mkdir"), user: user)
    #expect(cause?.words("myvol", user: user).contains(words) == true)
    #expect(cause?.words("myvol", user: user).contains("myvol") == true)
  }

  @Test("Other errors have no known cause", arguments: [Errno.notPermitted, .noSuchFileOrDirectory, .noSpace, .ioError])
  func other(_ errno: Errno) { #expect(VolumeCause(GlusterError(errno: errno, call: "glfs_h_mkdir"), user: 0) == nil) }

  @Test("Each cause is recorded for the volume and returned once")
  func once() {
    let retry = OutageRetry(seconds: 0)
    func fail(_ errno: Errno) {
      #expect(throws: GlusterError.self) { try retry.run { _ throws(GlusterError) in throw GlusterError(errno: errno, call: "c") } }
    }
    #expect(retry.newCauses().isEmpty)
    for errno in [Errno.readOnlyFileSystem, .ioError, .readOnlyFileSystem] { fail(errno) }
    #expect(retry.newCauses() == [.readOnly] && retry.newCauses().isEmpty)
    fail(.readOnlyFileSystem)
    fail(.tooManyLinks)
    #expect(retry.newCauses() == [.tooManyLinks])
  }

  @Test("A volume counts as read-only if it refuses to create entries")
  func readOnly() {
    func isReadOnly(_ errno: Errno, _ call: String) -> Bool { GlusterError(errno: errno, call: call).meansReadOnlyVolume }
    #expect(isReadOnly(.readOnlyFileSystem, "glfs_h_creat_open") && isReadOnly(.readOnlyFileSystem, "glfs_h_mkdir"))
    // With features.worm a rename fails with this error, though files can be created.
    #expect(!isReadOnly(.readOnlyFileSystem, "glfs_h_rename") && !isReadOnly(.noSpace, "glfs_h_creat_open"))
  }
}
