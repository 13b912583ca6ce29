import GfapiJob
import Glibc

// The data of the current entry.
extension RestoreRun {
  package func openFile() { current?.isOpen = true }

  /// Takes data of the current entry.
  ///
  /// - Throws: ``WriteFailed`` if the entry has failed, for example because an earlier piece could not be written.
  package func write(_ bytes: UnsafeRawBufferPointer) throws(WriteFailed) {
    guard let current, current.isOpen, !current.hasFailed else { throw WriteFailed() }
    done.bytes += bytes.count
    if let delta = current.delta { take(bytes, of: delta, current) } else if current.take(bytes) { handOn(current) }
    if current.hasFailed { throw WriteFailed() }
  }

  /// Sets the position of the next write. A range that is skipped is a hole.
  package func seek(to offset: Int) { current?.seek(to: offset) }

  package var offset: Int { current?.position ?? 0 }

  package func closeFile() { current?.isOpen = false }

  /// The volume did not take the data. A message has reported this.
  package struct WriteFailed: Error {}

  /// Starts writing the gathered data.
  func handOn(_ current: CurrentEntry) {
    guard let target = current.target else { return }
    let data = current.takeData()
    do {
      // Data that overwrite earlier data must be written after them.
      if data.isOver { try queue.drain() }
    } catch { return failures.fail(current, error) }
    start(current, cost: data.count) { try target.write(data) }
  }

  /// Starts work on a piece of the current entry.
  func start(_ current: CurrentEntry, cost: Int, _ body: @escaping @Sendable () throws -> Void) {
    let pieces = current.pieces ?? WriteBehind.Group(in: current.node)
    current.pieces = pieces
    let work = WriteBehind.Work(
      cost: cost,
      body: {
        try body()
        return []
      },
      deliver: { [unowned self] in if case .failure(let error) = $0 { failures.fail(current, error) } })
    do { try queue.start(work, in: pieces, atMost: Self.mostPieces) } catch { failures.fail(current, error) }
  }
}
