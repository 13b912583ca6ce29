import Glibc
import GlusterCommand
import Programs
import SnapshotName

/// The snapshot of a volume that is taken before a job and deleted after it.
struct JobSnapshot: Sendable {
  let volume: String
  /// The name of the job's run, as the daemon makes it unique (%j).
  let job: String
  /// The node of the volume on which `gluster` is run, by ssh; nil: this host.
  let node: String?

  /// The time limit for one command, in seconds. `gluster` itself gives up earlier.
  private static let timeout = 400

  var name: String { SnapshotName.ofJob(job, volume: volume) }

  /// The description of the snapshot: whose it is. The snapshots of all runs of a job have the same.
  var description: String { "taken by gfapi-fd for the job \(jobWithoutRun) of the client \(Self.host)" }

  /// The job's name without the part that makes a run unique: `nightly` for `nightly.2026-11-27_21.05.00_03`.
  var jobWithoutRun: String {
    guard let match = job.wholeMatch(of: /(.+)\.\d{4}-\d\d-\d\d_\d\d\.\d\d\.\d\d_\d+/) else { return job }
    return String(match.1)
  }

  /// The name of this host.
  private static var host: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    return name.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
  }

  /// Takes the snapshot and activates it. Deletes snapshots that earlier runs of the job have left.
  ///
  /// - Throws: ``Failure``, with Gluster's reason and the cure.
  func take() async throws {
    for old in try await existing() where old.description == description || old.name == name {
      do {
        try await delete(old.name)
        print("the snapshot \(old.name), which an earlier run of the job has left, is deleted")
      } catch let error as Failure {
        complain("GFD-113", "WARNING: an earlier run of the job has left the snapshot \(old.name): \(error)")
      }
    }
    let created = try await gluster("snapshot", "create", name, volume, "no-timestamp", "description", description)
    // If an answer was lost, the command was repeated, and the snapshot is there.
    guard created.isWell || Self.reason(created).contains("already exists") else { throw failure(created) }
    let activated = try await gluster("snapshot", "activate", name)
    guard activated.isWell || Self.reason(activated).contains("already activated") else {
      _ = try? await delete(name)
      throw failure(activated)
    }
    print("the snapshot \(name) of the volume \(volume) is taken")
  }

  /// Deletes the snapshot, if there is one.
  ///
  /// - Throws: ``Failure``.
  func drop() async throws {
    if try await delete(name) { print("the snapshot \(name) of the volume \(volume) is deleted") }
  }

  /// Returns false if there is no such snapshot.
  @discardableResult private func delete(_ name: String) async throws -> Bool {
    let result = try await gluster("snapshot", "delete", name)
    if result.isWell { return true }
    let reason = Self.reason(result)
    if reason.contains("does not exist") { return false }
    throw Failure("GFD-113", "the snapshot \(name) cannot be deleted: \(reason): delete it on a node: gluster snapshot delete \(name)")
  }

  private struct Existing {
    let name: String
    let description: String
  }

  /// The snapshots of the volume.
  private func existing() async throws -> [Existing] {
    let command = "gluster snapshot info volume \(volume)"
    let result = try await gluster("snapshot", "info", "volume", volume, "--xml")
    guard result.isWell else { throw failure(result) }
    let answer = try GlusterCommand.answer(result.output, of: command)
    if let refusal = answer.refusal { throw failure(refusal) }
    return answer.elements("snapshot").compactMap { snapshot in
      guard let name = snapshot.elements("name").first?.text else { return nil }
      return Existing(name: name, description: snapshot.elements("description").first?.text ?? "")
    }
  }

  private func gluster(_ arguments: String...) async throws -> ProgramResult {
    let command = ["--mode=script"] + arguments
    return try await retried {
      guard let node else { return try await runProgram("gluster", command, within: Self.timeout) }
      let login = node.contains("@") ? node : "root@\(node)"
      return try await runProgram(
        "ssh",
        ["-oBatchMode=yes", "-oConnectTimeout=30", "-oServerAliveInterval=30", login] + (["gluster"] + command).map(GlusterVolume.quoted),
        within: Self.timeout)
    }
  }

  // MARK: Reasons

  private func failure(_ result: ProgramResult) -> Failure {
    failure(result.isTimedOut ? "no answer within \(Self.timeout) s" : Self.reason(result))
  }

  private func failure(_ reason: String) -> Failure {
    Failure("GFD-112", "no snapshot of the volume \(volume) can be taken: \(reason)\(Self.cure(reason).map { ": \($0)" } ?? "")")
  }

  /// Returns Gluster's reason without the words that every refusal has.
  static func reason(_ result: ProgramResult) -> String {
    let reason = result.lines.filter { $0 != "Snapshot command failed" }.joined(separator: " ")
    return reason.replacing(#/[Ss]napshot [a-z]+: failed: /#, with: "").replacing(#/\.$/#, with: "")
  }

  /// Returns what to do; nil if the reason says it.
  static func cure(_ reason: String) -> String? {
    let cures = [
      ("thin provisioned", "each brick must be on a thin logical volume of its own"),
      // Gluster 11, which can take snapshots of ZFS as well.
      ("Snapshots not supported", "each brick must be on a thin logical volume of its own, or on ZFS"),
      ("maximum limit", "delete snapshots that nobody needs (gluster snapshot list)"),
      ("Commit failed", "see /var/log/glusterfs/glusterd.log there, and whether the pool has room (lvs)"),
      ("not started", "gluster volume status"),
      ("does not exist", "correct the name of the volume"),
      ("onnection failed", "run this on a node of the volume, or give one with --node"),
    ]
    return cures.first { reason.contains($0.0) }?.1
  }
}

/// The moment that a job sees.
actor JobMoment {
  private let snapshot: JobSnapshot?
  private let orLive: Bool
  private var isReached = false

  /// - Parameters:
  ///   - snapshot: the job's snapshot; nil: the job reads the volume itself.
  ///   - orLive: true if the job may read the volume itself if no snapshot can be taken.
  init(_ snapshot: JobSnapshot?, orLive: Bool = false) { (self.snapshot, self.orLive) = (snapshot, orLive) }

  /// Takes the snapshot, unless it has been taken.
  ///
  /// - Throws: ``Failure``.
  func reach() async throws {
    guard !isReached else { return }
    isReached = true
    do { try await snapshot?.take() } catch {
      guard orLive, let error = Failure(error) else { throw error }
      complain(error.code, "WARNING: \(error): the volume itself is backed up, and may change meanwhile (--or-live)")
    }
  }
}
