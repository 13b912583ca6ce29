import Glibc
import Gluster

/// The options of a Device resource, which the storage daemon passes as environment variables.
struct Settings {
  /// The names of the options, in the order in which the command `options` prints them.
  enum Key: String, CaseIterable {
    case uri, logfile, loglevel, timeout
  }

  /// An error in an option.
  struct Wrong: Error, CustomStringConvertible {
    let description: String
  }

  let uri: VolumeURI
  let logging: Volume.Logging
  /// Seconds within which the volume must answer a call.
  let timeout: Int

  /// - Parameter text: returns the value of an option; nil if the option is missing or empty.
  init(_ text: (Key) -> String? = Self.text) throws(Wrong) {
    guard let uri = text(.uri) else {
      throw Wrong(
        description:
          "the option uri is missing: Device Options = \"program=bareos-gluster-storage,uri=gluster://server.example.com/myvol/bareos\"")
    }
    do {
      self.uri = try VolumeURI(uri)
    } catch {
      throw Wrong(description: "uri=\(uri): \(error); the form is \(VolumeURI.grammar)")
    }
    var logging = Volume.Logging(file: text(.logfile))
    if let file = logging.file {
      guard file.hasPrefix("/") else { throw Wrong(description: "logfile=\(file): the path of the log is absolute") }
      do { try LogFile(file).make() } catch { throw Wrong(description: "logfile=\(file): cannot be written: \(error)") }
    }
    if let level = text(.loglevel) {
      guard let number = Volume.Logging.level(level) else {
        throw Wrong(description: "loglevel=\(level): \(Volume.Logging.noLevel)")
      }
      logging.level = number
    }
    self.logging = logging
    let timeout = text(.timeout) ?? "25"
    guard let seconds = Int(timeout), (1...86400).contains(seconds) else {
      throw Wrong(description: "timeout=\(timeout): not a number of seconds from 1 to 86400")
    }
    self.timeout = seconds
  }

  /// The value of an option; nil if it is missing or empty.
  static func text(_ key: Key) -> String? {
    guard let value = getenv(key.rawValue), value.pointee != 0 else { return nil }
    return String(cString: value)
  }
}
