import GlusterStorage

@main
enum EntryPoint {
  static func main() { Storage.main() }
}
