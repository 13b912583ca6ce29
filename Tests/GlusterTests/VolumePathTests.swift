import Gluster
import Testing

@Suite("A path on a volume")
struct VolumePathTests {
  func text(_ bytes: some Sequence<UInt8>) -> String { String(decoding: Array(bytes), as: UTF8.self) }

  func path(_ text: String) -> VolumePath { VolumePath(Array(text.utf8))! }

  @Test(
    "A path from outside is normalized",
    arguments: [
      ("/a/b", "/a/b"), ("/", "/"), ("", "/"), ("//", "/"), (".", "/"), ("/.", "/"), ("a", "/a"), ("a//b/", "/a/b"), ("/a/b/", "/a/b"),
      ("/./a/./b/.", "/a/b"), ("//a", "/a"), ("/a/.", "/a"), ("/...", "/..."), ("/..a/a..", "/..a/a.."), ("/.a/b.", "/.a/b."),
      ("/ /\n", "/ /\n"),
      ("/a\\b", "/a\\b"), ("/é", "/é"),
    ])
  func normalized(_ raw: String, _ wanted: String) {
    #expect(VolumePath(Array(raw.utf8)).map { text($0.bytes) } == wanted)
  }

  @Test("A path from outside with a name .. is refused", arguments: ["..", "/..", "../a", "/a/../b", "/a/..", "/a/../", "a/.."])
  func up(_ raw: String) { #expect(VolumePath(Array(raw.utf8)) == nil) }

  @Test(
    "Bytes that are not UTF-8 stay as they are",
    arguments: [[0x2f, 0xff], [0x2f, 0xff, 0xfe, 0x2f, 0x80], [0x2f, 0xc3], [0x2f, 0x65, 0xcc, 0x81], [0x2f, 0x01, 0x0a, 0x5c]] as [[UInt8]]
  )
  func bytes(_ bytes: [UInt8]) {
    #expect(VolumePath(bytes)?.bytes == bytes)
    #expect(VolumePath(bytes + [0x2f])?.bytes == bytes)
    #expect(VolumePath.root.appending(Array(bytes.dropFirst())).bytes == bytes)
  }

  @Test(
    "A path has components, a name and a parent, and is joined from its components again",
    arguments: [
      ("/", [], "", "/", ""), ("/a", ["a"], "a", "/", "/a"), ("/a/b", ["a", "b"], "b", "/a", "/a/b"),
      ("/a b/c/.d", ["a b", "c", ".d"], ".d", "/a b/c", "/a b/c/.d"),
    ])
  func parts(_ raw: String, _ components: [String], _ name: String, _ parent: String, _ stem: String) {
    let path = path(raw)
    #expect(path.isRoot == (raw == "/") && path.isRoot == (path == .root))
    #expect(path.components.map(text) == components)
    #expect(text(path.name) == name && text(path.parent.bytes) == parent && text(path.stem) == stem)
    #expect(VolumePath(components: path.components) == path && VolumePath(components: components.map(\.utf8)) == path)
    if !path.isRoot { #expect(path.parent.appending(Array(path.name)) == path) }
  }

  @Test(
    "A path contains itself and what is below it, compared by whole names",
    arguments: [
      ("/", "/", true), ("/", "/a", true), ("/a", "/", false), ("/a", "/a", true), ("/a", "/a/b", true), ("/a", "/a/b/c", true),
      ("/a", "/ab", false), ("/a", "/a2/b", false), ("/a/b", "/a", false), ("/a/b", "/a/bc", false), ("/a/b", "/b/a/b", false),
    ])
  func contains(_ one: String, _ other: String, _ isContained: Bool) { #expect(path(one).contains(path(other)) == isContained) }

  @Test(
    "A directory is behind when no later path can be in it",
    arguments: [
      ("/a", "/a", false), ("/a", "/a/b", false), ("/a", "/a!", false), ("/a", "/a-2", false), ("/a", "/a0", true), ("/a", "/ab", true),
      ("/a", "/b", true), ("/a", "/", false), ("/b", "/a", false), ("/", "/", false), ("/", "/a", false),
    ])
  func contentPrecedes(_ one: String, _ other: String, _ isBefore: Bool) {
    #expect(path(one).contentPrecedes(path(other)) == isBefore)
  }

  @Test(
    "A path that must be absolute begins with a slash",
    arguments: [("/a//b/", true), ("/", true), ("a", false), ("", false), ("/..", false)])
  func absolute(_ raw: String, _ isTaken: Bool) {
    #expect(VolumePath(absolute: Array(raw.utf8)) == (isTaken ? path(raw) : nil))
  }

  @Test("Paths are in the order of their bytes")
  func order() {
    let bytes: [[UInt8]] = [
      [0x2f], [0x2f, 0x01], [0x2f, 0x61], [0x2f, 0x61, 0x20], [0x2f, 0x61, 0x2d, 0x32], [0x2f, 0x61, 0x2f, 0x62], [0x2f, 0x61, 0x62],
      [0x2f, 0xc3, 0xa9], [0x2f, 0xff],
    ]
    let paths = bytes.map { VolumePath($0)! }
    #expect(paths.reversed().sorted() == paths)
    #expect(zip(paths, paths.dropFirst()).allSatisfy(<) && !paths.contains { $0 < $0 })
  }

  @Test("Equal paths have equal hashes, and paths that only look alike are different")
  func hash() {
    #expect(Set([path("/a/b"), path("/a//b/"), path("a/./b")]).count == 1)
    #expect(Set([path("/é"), path("/e\u{301}"), path("/É"), path("/e")]).count == 4)
  }
}
