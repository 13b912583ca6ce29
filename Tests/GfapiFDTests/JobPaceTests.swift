import Testing

@testable import GfapiJob

@Suite("The progress message of a job")
struct JobPaceTests {
  let began = ContinuousClock.now

  @Test("A job reports its progress at most every ten minutes")
  func interval() {
    var pace = JobPace(now: began)
    #expect(
      [0, 599, 600, 601, 1199, 1300, 1899].map { pace.isDue(now: began + .seconds($0)) } == [false, false, true, false, false, true, false])
  }

  @Test(
    "The progress message states time, rates and what the job waits for",
    arguments: [
      (10, 5, 1000, 5 << 20, "in 10.0 s, 100 entries/s, 512.0 KiB/s, 50 % of the time waiting for the daemon"),
      (10, 9, 0, 0, "in 10.0 s, 0 entries/s, 0 B/s, 90 % of the time waiting for the volume"),
      (125, 25, 250, 0, "in 2 min 5 s, 2 entries/s, 0 B/s, 80 % of the time waiting for the daemon"),
      (7320, 7400, 7320, 7320 << 31, "in 2 h 2 min, 1 entries/s, 2.0 GiB/s, 100 % of the time waiting for the volume"),
    ])
  func words(_ seconds: Int, _ waited: Int, _ entries: Int, _ bytes: Int, _ words: String) {
    let pace = JobPace(now: began)
    #expect(pace.words(entries: entries, bytes: bytes, waited: .seconds(waited), now: began + .seconds(seconds)) == words)
  }
}
