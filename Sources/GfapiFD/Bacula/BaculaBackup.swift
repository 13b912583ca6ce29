import FDPluginABI
import GfapiAttributes
import GfapiBackup
import GfapiPlugin
import Glibc

// The records of a backup, and the streams of ACLs and extended attributes, which a restore uses as well.
extension BaculaDaemon {
  func startBackupFile(_ raw: UnsafeMutableRawPointer) -> Int32 {
    switch release {
    case .v9: start(raw.assumingMemoryBound(to: bacula_save_packet_9.self))
    case .v11: start(raw.assumingMemoryBound(to: bacula_save_packet_11.self))
    case .v13, .v15: start(raw.assumingMemoryBound(to: bacula_save_packet_13.self))
    }
  }

  private func start<P: BaculaSavePacket>(_ packet: UnsafeMutablePointer<P>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<P>.size], "save packet"), let backup = job.backup else {
      return Int32(FD_ERROR)
    }
    if optionsObject == .upcoming {
      optionsObject = .current
      packet.pointee.type = Int32(BACULA_FT_PLUGIN_CONFIG)
      packet.pointee.setObject(Self.optionsName.pointer, Self.optionsText.pointer)
      return Int32(FD_OK)
    }
    do {
      // Bacula does not pass the FileSet's options to its plugins, so everything that belongs to an entry is backed up.
      var options = FileSetOptions()
      options.wanted.acls = true
      options.wanted.extendedAttributes = true
      options.wanted.extendedAttributeLimit = nil
      let record = try fill(packet, options, of: backup)
      // With this flag the daemon does not store blocks of zeros. It takes the flag from the plugin, and drops it if the data are
      // encrypted.
      if record.hasHoles, record.deltaBase == nil { packet.pointee.set(flag: FD_FO_SPARSE, true) }
      self.record = RecordAttributes(hasACLs: !backup.acls.isEmpty)
      candidate = nil
      if let first = hardLinks.first(of: record) {
        state.strings = RecordStrings(name: record.path.bytes, link: first.path.bytes)
        packet.pointee.fname = state.strings.name.pointer
        packet.pointee.link = state.strings.link.pointer
        packet.pointee.type = Int32(FD_FT_LNKSAVED)
        packet.pointee.LinkFI = first.fileIndex
        packet.pointee.no_read = true
        self.record = RecordAttributes(hasACLs: false, isLink: true)
      } else if HardLinks.concern(record), let count = value(release.fileIndexVariable) {
        candidate = (record, count)
      }
      return Int32(FD_OK)
    } catch {
      return ended(error)
    }
  }

  func endBackupFile() -> Int32 {
    if optionsObject == .current {
      optionsObject = .none
      return Int32(FD_MORE)
    }
    // Only a file that has been saved completely can be the first name of a hard link.
    if let (record, count) = candidate, !state.hasFailed, let index = value(release.fileIndexVariable), index == count + 1 {
      hardLinks.remember(record, fileIndex: index)
    }
    candidate = nil
    return endRecord()
  }

  private static let optionsName = Constant(BACULA_OPTIONS_NAME)
  /// The options that the console asks for at a restore, in the format of Bacula's `lib/ini.c`.
  private static let optionsText = Constant(
    """
    # Plugin configuration file
    # Version 1
    OptPrompt="Restore to this volume: gluster://server/volume[/directory]"
    volume=@STR@

    OptPrompt="Seconds to wait for servers that do not answer"
    timeout=@STR@

    OptPrompt="libgfapi's own log, absolute path"
    logfile=@STR@

    OptPrompt="Level of that log"
    loglevel=@STR@

    """)

  // MARK: ACLs and extended attributes

  /// Returns or takes the content of one stream of ACLs or extended attributes.
  ///
  /// A stream of ACLs is an ``ACLStream``. A stream of extended attributes is an ``AttributeStream`` with one attribute, so that no stream
  /// is longer than what a volume takes as one value.
  func handleXACL(_ packet: UnsafeMutablePointer<bacula_xacl_packet>) -> Int32 {
    guard check(packet.pointee.pkt_size, [MemoryLayout<bacula_xacl_packet>.size], "xacl packet") else {
      return Int32(FD_ERROR)
    }
    func content() -> UnsafeRawBufferPointer? {
      self.content(packet.pointee.content, Int(packet.pointee.count), "xacl packet")
    }
    switch Int(packet.pointee.func) {
    case BACULA_ACL_BACKUP:
      handOut(record.hasACLs ? job.backup?.acls : nil, packet)
      record.hasACLs = false
    case BACULA_XATTR_BACKUP:
      let next = record.isLink ? nil : job.backup?.nextExtendedAttribute()
      handOut(next.map { AttributeStream.encode([.init(name: $0.attribute.name, value: $0.attribute.value)]) }, packet)
    case BACULA_ACL_RESTORE:
      if let content = content() { job.restore?.setACLs(content) }
    case BACULA_XATTR_RESTORE:
      if let content = content() { job.restore?.setExtendedAttributes(content) }
    default:
      return Int32(FD_ERROR)
    }
    // Always succeed: failures have been reported, and a second message without a name would not help.
    return Int32(FD_OK)
  }

  /// Returns content to the daemon, which copies it and asks again until there is none.
  private func handOut(_ content: [UInt8]?, _ packet: UnsafeMutablePointer<bacula_xacl_packet>) {
    handedOut = CBytes(content ?? [])
    packet.pointee.count = Int32(content?.count ?? 0)
    packet.pointee.content = content == nil ? nil : handedOut.pointer
  }
}
