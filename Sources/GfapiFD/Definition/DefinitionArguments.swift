extension PluginDefinition {
  /// The arguments of one line, not yet checked. A line may be incomplete if another line adds to it.
  package struct Arguments: Equatable, Sendable {
    package private(set) var values: [Key: [UInt8]] = [:]

    package init() {}

    /// Makes arguments with a volume only.
    ///
    /// - Parameter volume: the URI of the volume, without escapes.
    package init(volume: [UInt8]) { values[.volume] = volume }

    /// Reads arguments in the form in which Bacula's console asks for options. Each line is `key="value"`, with `\` before a quote or a
    /// backslash. A `#` begins a comment.
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

    /// Sets one argument by the name that was written.
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
    /// - Parameter line: the line in raw bytes, with or without the plugin's name in front.
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

    /// True for `delta=yes`.
    package var makesDeltas: Bool { values[.delta].map { String(decoding: $0, as: UTF8.self).lowercased() } == "yes" }

    /// Returns these arguments with another value for one key.
    package func setting(_ key: Key, _ value: [UInt8]) -> Arguments {
      var result = self
      result.values[key] = value
      return result
    }

    /// Returns these arguments together with those of `other`. If both have a key, the value of `other` is used.
    package func overridden(by other: Arguments) -> Arguments {
      var result = self
      result.values.merge(other.values) { _, new in new }
      return result
    }
  }
}

/// Splits a line at the colons that no `\` precedes. `raw` is each piece as written, `value` is the piece without its escapes.
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
