import DaemonReleases
import MiniDaemon
import Testing

@Suite("The supported releases of the daemons")
struct ReleasesTests {
  @Test("The small daemon plays every release")
  func played() {
    #expect(ABI.allCases.compactMap(\.bareos) == BareosRelease.allCases)
    #expect(ABI.allCases.compactMap(\.bacula) == BaculaRelease.allCases)
    #expect(ABI.newest.bareos == BareosRelease.allCases.last)
  }

  @Test("Messages name the ranges of releases")
  func words() {
    #expect(BareosRelease.allCases.map(\.words) == ["Bareos 18.2 to 21", "Bareos 22 to 25", "Bareos 26"])
    #expect(BareosRelease.allInWords == "Bareos 18.2 to 26" && BaculaRelease.allInWords == "Bacula 9.6, 11, 13 and 15")
  }
}
