import Glibc

/// Returns a name in raw bytes in the form for messages: control characters, backslashes and bytes that are not UTF-8 as `\ooo` (octal).
package func printable(_ bytes: some Collection<UInt8>) -> String {
  let safe = bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "\\") }
  if safe, let text = String(validating: bytes, as: UTF8.self) { return text }
  var result = ""
  var rest = Array(bytes)[...]
  while let first = rest.first {
    // The shortest valid sequence that starts here is one character, of one to four bytes.
    let character = (1...min(4, rest.count)).lazy
      .compactMap { String(validating: rest.prefix($0), as: UTF8.self) }.first
    if let character, first >= 0x20, first != 0x7f, first != UInt8(ascii: "\\") {
      result += character
      rest = rest.dropFirst(character.utf8.count)
    } else {
      let octal = String(first, radix: 8)
      result += "\\" + String(repeating: "0", count: 3 - octal.count) + octal
      rest = rest.dropFirst()
    }
  }
  return result
}

/// Returns a time in UTC: `2026-11-25T10:00:00Z`.
///
/// - Parameter seconds: since 1970.
package func utc(_ seconds: Int) -> String {
  var (seconds, fields) = (seconds, tm())
  gmtime_r(&seconds, &fields)
  return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
    strftime(buffer.baseAddress!, buffer.count, "%FT%TZ", &fields)
    return String(cString: buffer.baseAddress!)
  }
}

/// Returns a size in the largest unit of which it has at least one: `1.5 MiB`.
///
/// - Parameter bytes: a number of bytes, or of bytes a second.
package func sizeInWords(_ bytes: Double) -> String {
  var (value, unit) = (bytes, "B")
  for next in ["KiB", "MiB", "GiB", "TiB"] where value >= 1024 { (value, unit) = (value / 1024, next) }
  return unit == "B" ? "\(Int(value)) B" : "\(tenths(value)) \(unit)"
}

/// Returns a number, rounded to tenths.
package func tenths(_ value: Double) -> String {
  let tenths = Int((value * 10).rounded())
  return "\(tenths / 10).\(tenths % 10)"
}
