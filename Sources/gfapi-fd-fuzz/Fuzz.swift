import DeltaFormat
import GfapiAttributes
import GfapiDefinition
import Glibc
import Gluster
import GlusterfindList
import MiniDaemon
import PartStore

/// The parsers and decoders that libFuzzer tests. `FUZZ` in the environment names one of them. Whatever bytes it gets, it must neither
/// crash nor hang, and its result must meet the conditions below. `scripts/fuzz` runs it.
private enum Parser: String, CaseIterable {
  case uri, definition, options, list, acl, attributes, archive, name, delta

  func parse(_ bytes: [UInt8]) {
    switch self {
    case .uri:
      if let uri = try? VolumeURI(bytes) {
        hold(!uri.servers.isEmpty && !uri.volume.isEmpty && !uri.description.isEmpty)
        hold(VolumePath(uri.directory.bytes) == uri.directory && VolumePath(components: uri.directory.components) == uri.directory)
      }
    case .definition:
      do {
        let arguments = try PluginDefinition.Arguments(bytes)
        hold(arguments.overridden(by: arguments) == arguments)
        _ = try PluginDefinition(arguments)
      } catch {
        hold(!error.description.isEmpty)
      }
      _ = PluginDefinition.concerns(bytes)
    case .options:
      if let arguments = try? PluginDefinition.Arguments(options: bytes) { _ = try? PluginDefinition(arguments) }
    case .list:
      for line in bytes.split(separator: UInt8(ascii: "\n")) {
        _ = ListHeader.directive(line)
        for encoding in ListFormat.Encoding.allCases {
          var format = ListFormat()
          format.encoding = encoding
          guard let changes = try? Change.read(line, format) else { continue }
          for change in changes where !change.isGuess {
            hold((try? Change.read(change.line.dropLast(), ListFormat())) == [change])
          }
        }
      }
    case .acl: _ = try? ACLStream.decode(bytes)
    case .attributes:
      if let items = try? AttributeStream.decode(bytes) {
        hold((try? AttributeStream.decode(AttributeStream.encode(items))) == items)
      }
    case .archive: readArchive(bytes)
    case .delta: readDelta(bytes)
    case .name:
      let name = StoredName(bytes)
      hold(bytes.isEmpty || StoredName(stored: name.stored) == name)
      hold(!name.stored.contains(UInt8(ascii: "/")) && name.stored.first != UInt8(ascii: "."))
      if let found = StoredName(stored: bytes) { hold(found.stored == bytes) }
    }
  }

  /// Decodes a delta in one piece and in small pieces: both say the same, and every range is within the file and after the one before.
  private func readDelta(_ bytes: [UInt8]) {
    func decoded(_ size: Int) -> (size: Int?, bytes: Int, isWhole: Bool) {
      var (decoder, result, reached) = (DeltaDecoder(), (size: Int?.none, bytes: 0, isWhole: false), 0)
      do {
        for start in stride(from: 0, to: bytes.count, by: size) {
          try bytes[start..<min(start + size, bytes.count)].withUnsafeBytes { piece in
            try decoder.take(piece) { event in
              switch event {
              case .header(let header):
                hold(result.size == nil && header.number > 0 && header.size >= 0 && header.identity.count == 16)
                result.size = header.size
              case .data(let piece, let offset):
                hold(offset >= reached && offset + piece.count <= result.size!)
                reached = offset + piece.count
                result.bytes += piece.count
              case .hole(let count, let offset):
                hold(count > 0 && offset >= reached && count <= result.size! - offset)
                reached = offset + count
              }
            }
          }
        }
        result.isWhole = try decoder.end().count == 16
      } catch {
        hold(error is DeltaDecoder.Malformed)
      }
      return result
    }
    hold(decoded(max(bytes.count, 1)) == decoded(3))
  }

  private func readArchive(_ bytes: [UInt8]) {
    _ = ftruncate(archiveFile, 0)
    _ = bytes.withUnsafeBytes { pwrite(archiveFile, $0.baseAddress, $0.count, 0) }
    guard let reader = try? ArchiveReader("/proc/self/fd/\(archiveFile)") else { return }
    do {
      var entries = 0
      while entries < 1000, let (entry, length) = try reader.next() {
        hold(entry.path.first == UInt8(ascii: "/"))
        entries += 1
        var count = 0
        if length > 0 {
          try reader.data { _, piece in
            count += piece.count
            return count < 1 << 20
          }
        }
      }
    } catch {}
  }
}

/// A file in memory without a name.
private let archiveFile: CInt = {
  var name = Array("/dev/shm/gfapi-fd-fuzz-XXXXXX\0".utf8CString)
  let file = mkstemp(&name)
  unlink(name)
  return file
}()

/// Ends the process if a condition is false, in a release build as well.
private func hold(_ condition: Bool, _ line: Int = #line) {
  guard !condition else { return }
  fatalError("what line \(line) says does not hold")
}

private let parser: Parser = {
  let name = getenv("FUZZ").map { String(cString: $0) } ?? ""
  guard let parser = Parser(rawValue: name) else {
    fatalError("FUZZ names one of \(Parser.allCases.map(\.rawValue).joined(separator: ", "))")
  }
  return parser
}()

/// libFuzzer's main function. It is a C function, but pointers and numbers are passed to it in the same way as to a Swift function.
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
  _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ try: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// libFuzzer calls this function, by this name, for each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func tryInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  parser.parse(Array(UnsafeBufferPointer(start: start, count: count)))
  return 0
}

@main struct Fuzz {
  static func main() {
    var (count, arguments) = (CommandLine.argc, CommandLine.unsafeArgv)
    exit(runFuzzer(&count, &arguments, tryInput))
  }
}
