import Glibc

// What the client knows of itself and of the volume, mostly from the virtual directory `/.meta`.
extension Volume {
  /// The version of libgfapi, such as `10.3`; `unknown` before there has been a connection.
  public static let clientVersion = loadedClientVersion()

  /// Returns the version of libgfapi. It has no call for this, so the version is taken from the path of a translator that it has loaded:
  /// `…/glusterfs/10.3/xlator/…`.
  private static func loadedClientVersion() -> String {
    guard let maps = fopen("/proc/self/maps", "r") else { return "unknown" }
    defer { fclose(maps) }
    var line = [CChar](repeating: 0, count: 4096)
    while fgets(&line, Int32(line.count), maps) != nil {
      let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
      let parts = text.split(separator: "/")
      if let folder = parts.firstIndex(of: "xlator"), folder > 0 { return String(parts[folder - 1]) }
    }
    return "unknown"
  }

  /// The number of calls that a client has under way, without the call that reads this number. Calls that the client makes after it has
  /// answered its caller count as well: for instance, to remove the mark that the bricks have to be compared.
  ///
  /// - Parameter frames: text of the virtual file `/.meta/frames`, which the client itself serves. A call has one line for each translator
  ///   that works on it, `"Xlator": "<name>"`, and then a line `"Unique": <number>`. An open that the translator `open-behind` postpones
  ///   until it is needed does not count: it may never be sent.
  private static func callsUnderWay(_ frames: String) -> Int {
    var count = -1
    var isPutOff = true
    for line in frames.split(separator: "\n") {
      if line.contains("\"Xlator\":") {
        if !line.contains("-open-behind\"") { isPutOff = false }
      } else if line.contains("\"Unique\":") {
        if !isPutOff { count += 1 }
        isPutOff = true
      }
    }
    return count
  }

  /// Waits until this client has no call under way any more.
  ///
  /// A process that ends without waiting leaves marks on replicated and dispersed volumes that the written files have to be healed. On
  /// dispersed volumes it also leaves directories that cannot be read until they are healed.
  ///
  /// - Parameter milliseconds: maximum time to wait. Both types of volumes may delay a call for a second (`disperse.eager-lock-timeout`,
  ///   `cluster.post-op-delay-secs`).
  public func settle(within milliseconds: Int = 3000) throws(GlusterError) {
    let deadline = ContinuousClock.now + .milliseconds(milliseconds)
    let frames = try lookUp(Self.meta.appending(Array("frames".utf8))).object
    while try Self.callsUnderWay(frames.virtualText()) > 0, ContinuousClock.now < deadline { usleep(1000) }
  }

  /// The types of the translators between this client and the bricks, such as `cluster/disperse`. A type is listed once for each translator
  /// of this type.
  ///
  /// The types are read from the virtual directory `/.meta`, which the client itself serves. `glfs_get_volfile` reports them as well, but
  /// it copies memory from beyond its text and may crash the process (Gluster 10.3).
  public func translators() throws(GlusterError) -> [String] { try translatorDirectories().map(\.type) }

  /// The name of the directory that leads to snapshots, in each directory (`features.snapshot-directory`); nil if users see no snapshots
  /// (`features.uss` is off).
  public func snapshotDirectoryName() throws(GlusterError) -> String? {
    guard let translator = try translatorDirectories().first(where: { $0.type == "features/snapview-client" }) else { return nil }
    let option = try? translator.object.lookUp("options".utf8).object.lookUp("snapshot-directory".utf8).object.virtualText()
    return option.map { $0.filter { !$0.isWhitespace } } ?? ".snaps"
  }

  /// Returns true if the volume refuses all changes (`features.read-only`). To find out, this function removes an attribute that the root
  /// does not have.
  public func isReadOnly() -> Bool {
    do { try root().object.removeExtendedAttribute("user.gfapi-fd.none".utf8) } catch {
      return error.errno == .readOnlyFileSystem
    }
    return false
  }

  /// Names of the client's translators that are not connected to their brick, such as `myvol-client-0`.
  public func unreachableBricks() throws(GlusterError) -> [String] {
    var unreachable: [String] = []
    for translator in try translatorDirectories() where translator.type == "protocol/client" {
      // If users see snapshots, there is one more translator of this type, for the snapshots. It has no brick.
      guard !translator.name.elementsEqual("\(uri.volume)-snapd-client".utf8) else { continue }
      let state = try translator.object.lookUp("private".utf8).object.virtualText()
      if state.contains("connected = 0\n") { unreachable.append(String(decoding: translator.name, as: UTF8.self)) }
    }
    return unreachable.sorted()
  }

  /// A virtual directory, which the client itself serves.
  private static let meta = VolumePath(components: [".meta".utf8])

  /// The directories of the translators in `/.meta`.
  func translatorDirectories() throws(GlusterError) -> [(name: [UInt8], type: String, object: Object)] {
    let graphs = try lookUp(Self.meta.appending(Array("graphs".utf8))).object
    let active = try graphs.lookUp(try graphs.lookUp("active".utf8).object.linkTarget()).object
    let directory = try active.openDirectory()
    var found: [(name: [UInt8], type: String, object: Object)] = []
    while let entry = try directory.next() {
      let translator = try active.lookUp(entry.name)
      // Besides the directories of the translators there are files, and a link to the topmost translator.
      guard translator.status.isDirectory else { continue }
      let type = try translator.object.lookUp("type".utf8).object.virtualText()
      found.append((entry.name, type.filter { !$0.isWhitespace }, translator.object))
    }
    return found
  }
}
