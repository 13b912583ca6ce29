import Gluster
import Testing

@Suite("The state of a distributed volume")
struct DistributionTests {
  @Test("The state of a distributed volume names the subvolumes that are unreachable")
  func missing() {
    let state = Distribution.State(
      """
      [xlator.cluster.dht.vol-dht.priv]
      subvol_cnt = 3
      subvolumes[0] = protocol/client.vol-client-0
      subvolume_status[0] = 0
      subvolumes[1] = cluster/replicate.vol.1-replicate-1
      subvolume_status[1] = 1
      subvolumes[2] = protocol/client.vol-client-2
      subvolume_status[2] = 0
      gen = 7
      subvolumes[0] = vol-client-0
      """)
    #expect(state.missing == ["vol-client-0", "vol-client-2"])
    #expect(state.generation == 7)
  }

  @Test("The state of a distributed volume names no subvolume if all are up or if it is empty")
  func whole() {
    #expect(Distribution.State("subvolume_status[0] = 1\ngen = 2").missing == [])
    #expect(Distribution.State("").missing == [])
  }
}
