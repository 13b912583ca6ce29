/// A JSON value. Its description is the text, on one line, with a blank after each comma and each colon of an object or array.
package enum JSON: Sendable {
  case null
  case string(String)
  case integer(Int)
  /// A number with a fraction. JSON has no infinite number and no NaN: they become `null`.
  case number(Double)
  case array([JSON])
  /// The members of an object, which stay in their order. Their names should differ.
  case object([(name: String, value: JSON)])
}

extension JSON: CustomStringConvertible {
  package var description: String {
    var text = ""
    write(to: &text)
    return text
  }

  private func write(to text: inout String) {
    switch self {
    case .null: text += "null"
    case .string(let string): Self.quote(string, to: &text)
    case .integer(let number): text += "\(number)"
    case .number(let number): text += number.isFinite ? "\(number)" : "null"
    case .array(let values):
      text += "["
      for (index, value) in values.enumerated() {
        if index > 0 { text += ", " }
        value.write(to: &text)
      }
      text += "]"
    case .object(let members):
      text += "{"
      for (index, member) in members.enumerated() {
        if index > 0 { text += ", " }
        Self.quote(member.name, to: &text)
        text += ": "
        member.value.write(to: &text)
      }
      text += "}"
    }
  }

  /// Only what JSON requires is escaped: quotes, backslashes and the control characters before the blank.
  private static func quote(_ string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case ..<" ": text += "\\u00" + Hex.text([UInt8(scalar.value)])
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

extension JSON: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByNilLiteral
{
  package init(dictionaryLiteral members: (String, JSON)...) { self = .object(members.map { (name: $0.0, value: $0.1) }) }
  package init(arrayLiteral values: JSON...) { self = .array(values) }
  package init(stringLiteral string: String) { self = .string(string) }
  package init(integerLiteral number: Int) { self = .integer(number) }
  package init(nilLiteral: ()) { self = .null }
}
