import Gluster
import GlusterfindList

/// What a plugin line says: which volume, and how to treat it.
///
///     gfapi:volume=gluster\://server/vol/dir[:snapdir=…][:gffilelist=…][:gfencoding=…][:gfseparator=…][:attributes=…]
///     [:statedir=…][:readahead=…][:workers=…][:logfile=…][:loglevel=…][:timeout=…][:metrics=…]
///
/// Arguments are separated by colons, keys stand in any case, `\` takes the next character as itself, one colon may
/// trail.
package struct PluginDefinition: Equatable, Sendable {
  /// The keys of a plugin line.
  package enum Key: String, CaseIterable, Sendable {
    case volume, snapdir, gffilelist, gfencoding, gfseparator, attributes, statedir, readahead, workers, logfile, loglevel, timeout,
      metrics
  }

  /// What is wrong with a line: the argument at fault and the reason. Its description is the whole job message.
  package struct ParseError: Error, Equatable, Sendable, CustomStringConvertible {
    package let argument: String
    package let reason: String

    package var description: String {
      "plugin definition: \"\(argument)\": \(reason)\n\(PluginDefinition.grammar)"
    }
  }

  package static let name = "gfapi"

  /// Grammar of the line, for messages.
  package static let grammar = """
    the form is gfapi:volume=URI[:snapdir=DIR][:gffilelist=FILE][:gfencoding=percent|plus|none][:gfseparator=TEXT]
    [:attributes=check|dated][:statedir=DIR][:readahead=BYTES][:workers=NUMBER][:logfile=FILE][:loglevel=LEVEL][:timeout=SECONDS]
    [:metrics=FILE]
    with URI = \(VolumeURI.grammar), and a \\ before each colon in a value
    """

  package var volume: VolumeURI
  /// Entry point of user serviceable snapshots.
  package var snapshotDirectory: String?
  /// List of changed entries, written by glusterfind.
  package var fileList: [UInt8]?
  /// How that list is written.
  package var listFormat = ListFormat()
  /// Whether entries whose times have not changed are asked for their attributes, for Gluster does not date every change of these.
  package var checksAttributes = true
  /// Where what jobs saw is kept; nil: in the daemon's working directory.
  package var stateDirectory: String?
  /// How much may be fetched or kept ahead of the daemon, in bytes; 0: nothing.
  package var readAhead = 64 << 20
  /// How many calls may be on their way at once; 0: none ahead of the daemon.
  package var workers = 24
  package var logging: Volume.Logging
  /// Seconds after which an unanswered connection is given up.
  package var timeout: Int

  /// Where the numbers of each job are put for Prometheus.
  package var metricsFile: String?

  /// Whether anything is done ahead of the daemon.
  package var readsAhead: Bool { workers > 0 && readAhead > 0 }

  /// The arguments of one line, not yet judged: a line may be partial when another adds to it.
  package struct Arguments: Equatable, Sendable {
    package private(set) var values: [Key: [UInt8]] = [:]

    package init() {}

    /// A volume alone: its URI, without escapes.
    package init(volume: [UInt8]) { values[.volume] = volume }

    /// Reads arguments in the form in which Bacula's console asks for options: a line for each, `key="value"` with `\` before
    /// a quote or a backslash; `#` begins a comment.
    package init(options: some Collection<UInt8>) throws(ParseError) {
      let (quote, backslash) = (UInt8(ascii: "\""), UInt8(ascii: "\\"))
      for line in options.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == 0 }) {
        guard let first = line.first(where: { $0 != 0x20 && $0 != 0x09 }), first != UInt8(ascii: "#") else { continue }
        let text = String(decoding: line, as: UTF8.self)
        guard let equals = line.firstIndex(of: UInt8(ascii: "=")) else {
          throw ParseError(argument: text, reason: "not of the form key=value")
        }
        let keyText = String(decoding: line[..<equals], as: UTF8.self).filter { $0 != " " && $0 != "\t" }
        var value: [UInt8] = []
        var isEscaped = false
        for byte in line[line.index(after: equals)...] {
          if isEscaped || byte != quote && byte != backslash { value.append(byte) }
          isEscaped = !isEscaped && byte == backslash
        }
        try set(keyText, value)
      }
    }

    /// Sets one argument, by the name that was written.
    private mutating func set(_ name: String, _ value: [UInt8]) throws(ParseError) {
      guard let key = Key(rawValue: name.lowercased()) else {
        throw ParseError(
          argument: name, reason: "unknown argument: known are \(Key.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      guard values[key] == nil else { throw ParseError(argument: name, reason: "given twice") }
      guard !value.contains(0) else { throw ParseError(argument: name, reason: "a zero byte in the value") }
      values[key] = value
    }

    /// Splits a line into its arguments.
    ///
    /// - Parameter line: with or without the plugin's name in front, in raw bytes.
    package init(_ line: some Collection<UInt8>) throws(ParseError) {
      for (index, argument) in splitUnescaped(line).enumerated() {
        let text = String(decoding: argument.raw, as: UTF8.self)
        if argument.raw.isEmpty { continue }
        guard let equals = argument.value.firstIndex(of: UInt8(ascii: "=")) else {
          if index == 0, text.lowercased() == PluginDefinition.name || text == "*all*" { continue }
          throw ParseError(
            argument: text,
            reason: text.hasPrefix("//")
              ? "a URI's colons need a \\ before them: volume=gluster\\://server/vol; in a configuration file two: gluster\\\\://server/vol"
              : "not of the form key=value")
        }
        let keyText = String(decoding: argument.value[..<equals], as: UTF8.self)
        try set(keyText, Array(argument.value[(equals + 1)...]))
      }
    }

    /// The arguments as a line, with a `\` before each colon and each `\` in a value.
    package var line: [UInt8] {
      var line = Array(PluginDefinition.name.utf8)
      for key in Key.allCases {
        guard let value = values[key] else { continue }
        line += Array(":\(key.rawValue)=".utf8)
        for byte in value {
          if byte == UInt8(ascii: ":") || byte == UInt8(ascii: "\\") { line.append(UInt8(ascii: "\\")) }
          line.append(byte)
        }
      }
      return line
    }

    /// These arguments, with another value of one.
    package func setting(_ key: Key, _ value: [UInt8]) -> Arguments {
      var result = self
      result.values[key] = value
      return result
    }

    /// These arguments, with those of `other` in the place of same ones.
    package func overridden(by other: Arguments) -> Arguments {
      var result = self
      result.values.merge(other.values) { _, new in new }
      return result
    }
  }

  /// Judges arguments.
  package init(_ arguments: Arguments) throws(ParseError) {
    func text(_ key: Key) throws(ParseError) -> String? {
      guard let value = arguments.values[key] else { return nil }
      guard !value.isEmpty else { throw ParseError(argument: "\(key.rawValue)=", reason: "no value") }
      guard let text = String(validating: value, as: UTF8.self) else {
        throw ParseError(argument: "\(key.rawValue)=\(printable(value))", reason: "not UTF-8")
      }
      return text
    }
    guard let uri = arguments.values[.volume] else { throw ParseError(argument: "volume", reason: "missing") }
    do {
      volume = try VolumeURI(uri)
    } catch {
      throw ParseError(argument: "volume=\(printable(uri))", reason: error.description)
    }
    snapshotDirectory = try text(.snapdir)
    if let list = arguments.values[.gffilelist] {
      guard list.first == UInt8(ascii: "/") else {
        throw ParseError(argument: "gffilelist=\(printable(list))", reason: "the path of the list is absolute")
      }
      fileList = list
    }
    if let encoding = try text(.gfencoding) {
      guard let known = ListFormat.Encoding(rawValue: encoding.lowercased()) else {
        throw ParseError(
          argument: "gfencoding=\(encoding)",
          reason: "not an encoding: \(ListFormat.Encoding.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      listFormat.encoding = known
    }
    if let separator = arguments.values[.gfseparator] {
      guard let decoded = ListFormat().decode(separator), !decoded.isEmpty, !decoded.contains(UInt8(ascii: "\n")),
        !decoded.contains(0)
      else {
        throw ParseError(
          argument: "gfseparator=\(printable(separator))",
          reason: "not a field separator: one byte at least, no newline; %09 is a tab, %25 a percent sign")
      }
      listFormat.separator = decoded
    }
    if let attributes = try text(.attributes) {
      guard let checks = ["check": true, "dated": false][attributes.lowercased()] else {
        throw ParseError(argument: "attributes=\(attributes)", reason: "not check or dated")
      }
      checksAttributes = checks
    }
    stateDirectory = try text(.statedir)
    if let directory = stateDirectory, !directory.hasPrefix("/") {
      throw ParseError(argument: "statedir=\(directory)", reason: "the path of the directory is absolute")
    }
    func number(_ key: Key, _ range: ClosedRange<Int>, _ what: String) throws(ParseError) -> Int? {
      guard let text = try text(key) else { return nil }
      guard let number = Int(text), range.contains(number) else {
        throw ParseError(
          argument: "\(key.rawValue)=\(text)",
          reason: "not a number of \(what) from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
    if let bytes = try number(.readahead, 0...(1 << 40), "bytes") { readAhead = bytes }
    if let count = try number(.workers, 0...64, "workers") { workers = count }
    logging = Volume.Logging(file: try text(.logfile))
    if let file = logging.file, !file.hasPrefix("/") {
      throw ParseError(argument: "logfile=\(file)", reason: "the path of the log is absolute")
    }
    if let level = try text(.loglevel) {
      guard let number = Volume.Logging.level(level) else {
        throw ParseError(argument: "loglevel=\(level)", reason: Volume.Logging.noLevel)
      }
      logging.level = number
    }
    timeout = try number(.timeout, 1...86400, "seconds") ?? 60
    metricsFile = try text(.metrics)
    if let file = metricsFile, !file.hasPrefix("/") {
      throw ParseError(argument: "metrics=\(file)", reason: "the path of the metrics is absolute")
    }
  }

  /// Parses a whole line.
  package init(_ line: String) throws(ParseError) {
    try self.init(Arguments(line.utf8))
  }

  /// Whether plugin options that a daemon hands to all its plugins are meant for this one: they name it, name all, or
  /// begin with one of its keys.
  package static func concerns(_ options: some Collection<UInt8>) -> Bool {
    let head = String(decoding: options.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self).lowercased()
    return head == name || head == "*all*" || Key.allCases.contains { head.hasPrefix($0.rawValue + "=") }
  }
}

/// Splits at colons that no `\` precedes; `raw` is each piece as written, `value` without its escapes.
private func splitUnescaped(_ line: some Collection<UInt8>) -> [(raw: [UInt8], value: [UInt8])] {
  var pieces: [(raw: [UInt8], value: [UInt8])] = [([], [])]
  var escaped = false
  for byte in line {
    if !escaped, byte == UInt8(ascii: ":") {
      pieces.append(([], []))
      continue
    }
    pieces[pieces.count - 1].raw.append(byte)
    if !escaped, byte == UInt8(ascii: "\\") {
      escaped = true
      continue
    }
    pieces[pieces.count - 1].value.append(byte)
    escaped = false
  }
  return pieces
}
