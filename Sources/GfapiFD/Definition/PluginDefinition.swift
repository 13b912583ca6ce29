import Gluster
import GlusterfindList
import SnapshotName

/// The content of a plugin line: which volume to use, and how.
///
///     gfapi:volume=gluster\://server/vol/dir[:snapshot=…][:snapdir=…][:gffilelist=…][:gfencoding=…][:gfseparator=…][:pathlist=…]
///     [:attributes=…][:delta=…][:statedir=…][:readahead=…][:workers=…][:logfile=…][:loglevel=…][:timeout=…][:metrics=…]
///
/// Colons separate the arguments. Keys are case-insensitive. A `\` escapes the next character. One colon at the end is allowed.
package struct PluginDefinition: Equatable, Sendable {
  /// The keys of a plugin line.
  package enum Key: String, CaseIterable, Sendable {
    case volume, snapshot, snapdir, gffilelist, gfencoding, gfseparator, pathlist, attributes, delta, statedir, readahead, workers, logfile,
      loglevel,
      timeout,
      metrics
  }

  /// An error in a plugin line: the argument and the reason. The description is the whole job message.
  package struct ParseError: Error, Equatable, Sendable, CustomStringConvertible {
    package let argument: String
    package let reason: String

    package var description: String {
      "plugin definition: \"\(argument)\": \(reason)\n\(PluginDefinition.grammar)"
    }
  }

  package static let name = "gfapi"

  /// The grammar of the line, for messages.
  package static let grammar = """
    the form is gfapi:volume=URI[:snapshot=NAME|job|job-or-live][:snapdir=DIR][:gffilelist=FILE][:gfencoding=percent|plus|none][:gfseparator=TEXT]
    [:pathlist=FILE][:attributes=check|dated][:delta=yes|no][:statedir=DIR][:readahead=BYTES][:workers=NUMBER][:logfile=FILE][:loglevel=LEVEL][:timeout=SECONDS]
    [:metrics=FILE]
    with URI = \(VolumeURI.grammar), and a \\ before each colon in a value
    """

  /// The arguments as a line.
  package let line: String
  package var volume: VolumeURI
  /// What a backup reads.
  package enum Moment: Equatable, Sendable {
    /// The volume itself.
    case live
    /// The snapshot with this name.
    case snapshot(String)
    /// The snapshot that was taken for the job; `orLive`: the volume itself, if there is no such snapshot.
    case job(orLive: Bool)

    /// True if a snapshot is taken for the job.
    package var isOfJob: Bool { if case .job = self { true } else { false } }
  }
  package var moment = Moment.live
  /// The entry point of user-serviceable snapshots.
  package var snapshotDirectory: String?
  /// Where the entries of a backup come from.
  package enum Source: Equatable, Sendable {
    /// The base directory, with everything in it.
    case crawl
    /// A list of changed entries, written by glusterfind. The absolute path of the list.
    case changes([UInt8])
    /// A file with the paths to back up, each followed by a zero byte. The absolute path of the file.
    case paths([UInt8])
  }
  package var source = Source.crawl
  /// The format of `fileList`.
  package var listFormat = ListFormat()
  /// True if the job asks for the attributes of entries with unchanged times, because Gluster does not date every change of attributes.
  package var checksAttributes = true
  /// True if an incremental job may store a file of several shards as a delta: only what has changed.
  package var makesDeltas = false
  /// The directory of the state databases, which keep what jobs saw; nil: in the daemon's working directory.
  package var stateDirectory: String?
  /// How many bytes may be fetched or kept ahead of the daemon; 0: none.
  package var readAhead = 64 << 20
  /// How many calls may be in progress at once; 0: no call is made ahead of the daemon.
  package var workers = 24
  package var logging: Volume.Logging
  /// Seconds to wait for an unreachable volume before the job fails.
  package var timeout: Int

  /// The file to which the numbers of each job are written, for Prometheus.
  package var metricsFile: String?

  /// True if anything is done ahead of the daemon.
  package var readsAhead: Bool { workers > 0 && readAhead > 0 }

  /// Checks arguments and makes a definition from them.
  package init(_ arguments: Arguments) throws(ParseError) {
    func text(_ key: Key) throws(ParseError) -> String? {
      guard let value = arguments.values[key] else { return nil }
      guard !value.isEmpty else { throw ParseError(argument: "\(key.rawValue)=", reason: "no value") }
      guard let text = String(validating: value, as: UTF8.self) else {
        throw ParseError(argument: "\(key.rawValue)=\(printable(value))", reason: "not UTF-8")
      }
      return text
    }
    line = String(decoding: arguments.line, as: UTF8.self)
    guard let uri = arguments.values[.volume] else { throw ParseError(argument: "volume", reason: "missing") }
    do {
      volume = try VolumeURI(uri)
    } catch {
      throw ParseError(argument: "volume=\(printable(uri))", reason: error.description)
    }
    switch try text(.snapshot) {
    case nil: break
    case "job": moment = .job(orLive: false)
    case "job-or-live": moment = .job(orLive: true)
    case let name?:
      guard SnapshotName.isValid(name) else {
        throw ParseError(argument: "snapshot=\(name)", reason: "not a snapshot's name: letters, digits, \"-\" and \"_\" make one")
      }
      moment = .snapshot(name)
    }
    snapshotDirectory = try text(.snapdir)
    if snapshotDirectory != nil, moment != .live {
      throw ParseError(argument: "snapdir=\(snapshotDirectory!)", reason: "not together with snapshot=")
    }
    if let list = arguments.values[.gffilelist] {
      guard list.first == UInt8(ascii: "/") else {
        throw ParseError(argument: "gffilelist=\(printable(list))", reason: "the path of the list is absolute")
      }
      source = .changes(list)
    }
    if let list = arguments.values[.pathlist] {
      guard list.first == UInt8(ascii: "/") else {
        throw ParseError(argument: "pathlist=\(printable(list))", reason: "the path of the list is absolute")
      }
      guard source == .crawl else { throw ParseError(argument: "pathlist=\(printable(list))", reason: "not together with gffilelist=") }
      source = .paths(list)
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
    if let delta = try text(.delta), !["yes", "no"].contains(delta.lowercased()) {
      throw ParseError(argument: "delta=\(delta)", reason: "not yes or no")
    }
    makesDeltas = arguments.makesDeltas
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

  /// Returns the definition with the snapshot that a backup reads in ``volume``.
  ///
  /// - Parameter job: the name of the job's run; nil: not known.
  /// - Returns: nil if a snapshot of the job is to be read, and the job's name is not known.
  package func atMoment(ofJob job: String?) -> PluginDefinition? {
    var definition = self
    switch moment {
    case .live: break
    case .snapshot(let name): definition.volume.snapshot = name
    case .job:
      guard let job else { return nil }
      definition.volume.snapshot = SnapshotName.ofJob(job, volume: volume.volume)
    }
    return definition
  }

  /// Parses a whole line.
  package init(_ line: String) throws(ParseError) {
    try self.init(Arguments(line.utf8))
  }

  /// Returns true if plugin options, which a daemon hands to all of its plugins, are meant for this plugin: the options name the plugin,
  /// name all plugins, or begin with one of the plugin's keys.
  package static func concerns(_ options: some Collection<UInt8>) -> Bool {
    let head = String(decoding: options.prefix { $0 != UInt8(ascii: ":") }, as: UTF8.self).lowercased()
    return head == name || head == "*all*" || Key.allCases.contains { head.hasPrefix($0.rawValue + "=") }
  }
}
