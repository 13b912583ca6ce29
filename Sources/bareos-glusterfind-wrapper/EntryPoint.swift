import GlusterfindWrapper

@main
enum EntryPoint {
  static func main() async { await Wrapper.main() }
}
