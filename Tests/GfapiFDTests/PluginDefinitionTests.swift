import Gluster
import Testing
import TestSupport

@testable import GfapiDefinition

@Suite("The plugin definition")
struct PluginDefinitionTests {
  @Test("A plugin definition accepts keys in any case, escapes and a trailing colon")
  func whole() throws {
    let definition = try PluginDefinition(
      #"gfapi:Volume=gluster+tcp\://server\:24008/vol/a\:b:SNAPDIR=/s:gffilelist=/var/a\\b:LogFile=/log\:1:loglevel=Debug:timeout=5:"#)
    #expect(definition.volume.servers == [.init(host: "server", port: 24008)])
    #expect(definition.volume.directory.bytes == Array("/a:b".utf8))
    #expect(definition.snapshotDirectory == "/s")
    #expect(definition.source == .changes(Array(#"/var/a\b"#.utf8)))
    #expect(definition.logging == .init(file: "/log:1", level: 8))
    #expect(definition.timeout == 5)
  }

  @Test("A plugin definition requires only a volume")
  func least() throws {
    let definition = try PluginDefinition(#"gfapi:volume=gluster\://h/v"#)
    #expect(definition.timeout == 60)
    #expect(definition.source == .crawl)
    #expect(definition.logging == .init())
  }

  @Test("A wrong definition is rejected with the argument at fault and the grammar", arguments: try Fixtures.rows("definitions-bad.txt"))
  func bad(_ row: [String]) {
    let error = #expect(throws: PluginDefinition.ParseError.self) { try PluginDefinition(row[0]) }
    #expect(error?.argument == row[1])
    #expect(error?.reason.contains(row[2]) == true, "\(error?.reason ?? "")")
    #expect(error?.description.contains("gluster[+tcp|+unix|+rdma]://") == true)
    #expect(error?.description.contains("\"\(row[1])\"") == true)
  }

  @Test("A plugin definition is written as it was read, also after one value was replaced")
  func written() throws {
    let line = #"gfapi:volume=gluster\://h\:1/v/d:gffilelist=/a\:b\\c:timeout=5"#
    let arguments = try PluginDefinition.Arguments(line.utf8)
    #expect(String(decoding: arguments.line, as: UTF8.self) == line)
    let other = try PluginDefinition.Arguments(arguments.setting(.volume, Array("gluster://x:2/y".utf8)).line)
    #expect(other.values[.volume] == Array("gluster://x:2/y".utf8) && other.values[.gffilelist] == Array(#"/a:b\c"#.utf8))
  }

  @Test("Restore options override a plugin definition key by key")
  func override() throws {
    let line = try PluginDefinition.Arguments(#"gfapi:volume=gluster\://h/v:logfile=/l"#.utf8)
    let options = try PluginDefinition.Arguments(#"gfapi:volume=gluster\://other/w:"#.utf8)
    let definition = try PluginDefinition(line.overridden(by: options))
    #expect(definition.volume.volume == "w")
    #expect(definition.logging.file == "/l")
  }

  @Test("Restore options are accepted with or without the plugin's name; those of other plugins are ignored")
  func concerns() {
    for ours in [#"gfapi:volume=gluster\://h/v"#, "GFAPI:timeout=3", "volume=x", "Timeout=3", "*all*:timeout=3"] {
      #expect(PluginDefinition.concerns(ours.utf8), "\(ours)")
    }
    for others in ["python:module_path=/x", "gfapi2:volume=x", "", "mysql"] {
      #expect(!PluginDefinition.concerns(others.utf8), "\(others)")
    }
  }
}

@Suite("Names in messages")
struct PrintableTests {
  @Test("Bytes that cannot be printed are shown as octal numbers")
  func octal() {
    #expect(printable(Array("plain/päth".utf8)) == "plain/päth")
    #expect(printable(Array("a\nb\\c".utf8)) == "a\\012b\\134c")
    #expect(printable([0x61, 0xff, 0xc3, 0xa4, 0xe2, 0x82]) == "a\\377ä\\342\\202")
    #expect(printable([UInt8]()) == "")
  }

  @Test("Every key is in the grammar that messages show, and in docs/reference.md", arguments: PluginDefinition.Key.allCases)
  func documented(_ key: PluginDefinition.Key) throws {
    #expect(PluginDefinition.grammar.contains("\(key.rawValue)="))
    #expect(try DocumentsTests.text("docs/reference.md").contains("| `\(key.rawValue)` |"))
  }
}
