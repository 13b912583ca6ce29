// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "gfapi-fd",
  products: [
    .library(name: "gfapi-fd-module", type: .dynamic, targets: ["GfapiFDModule"]),
    .executable(name: "gfapi-fd", targets: ["gfapi-fd"]),
    .executable(name: "bareos-glusterfind-wrapper", targets: ["bareos-glusterfind-wrapper"]),
    .executable(name: "bareos-gluster-storage", targets: ["bareos-gluster-storage"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    // Without its traits: they would link Foundation.
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
  ],
  targets: [
    .systemLibrary(name: "CGFAPI", pkgConfig: "glusterfs-api", providers: [.apt(["libglusterfs-dev"])]),
    .systemLibrary(name: "CXattr", providers: [.apt(["libacl1-dev", "libattr1-dev"])]),
    .systemLibrary(name: "CSysXattr"),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
    .systemLibrary(name: "CXML2", pkgConfig: "libxml-2.0", providers: [.apt(["libxml2-dev"])]),
    // Compiled with optimization always: it is called for each byte of an image.
    .target(name: "CXXHash", cSettings: [.unsafeFlags(["-O2"])]),
    .target(name: "DeltaFormat", dependencies: ["CXXHash"]),
    .target(name: "FDPluginABI"),
    .target(name: "DaemonReleases", dependencies: ["FDPluginABI"]),
    .target(name: "Version"),
    .target(name: "Locks"),
    .target(name: "Encodings"),
    .target(name: "Gluster", dependencies: ["CGFAPI", "Encodings", "Locks", .product(name: "SystemPackage", package: "swift-system")]),
    .target(name: "HostFiles"),
    .target(name: "SnapshotName"),
    .target(
      name: "Programs",
      dependencies: [
        "Locks", .product(name: "Subprocess", package: "swift-subprocess"), .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .target(name: "GlusterfindList", dependencies: ["Encodings", "HostFiles"]),
    // The rooms of the module. Each uses the rooms above it only: see docs/architecture.md.
    .target(
      name: "GfapiDefinition",
      dependencies: ["Gluster", "GlusterfindList", "SnapshotName"],
      path: "Sources/GfapiFD/Definition"),
    .target(
      name: "GfapiAttributes",
      dependencies: ["GfapiDefinition", "Gluster", "CXattr"],
      path: "Sources/GfapiFD/Attributes"),
    .target(
      name: "GfapiJob",
      dependencies: [
        "GfapiDefinition", "GfapiAttributes", "Gluster", "HostFiles", "Locks", .product(name: "DequeModule", package: "swift-collections"),
      ],
      path: "Sources/GfapiFD/Job"),
    .target(
      name: "GfapiBackup",
      dependencies: [
        "GfapiJob", "GfapiDefinition", "GfapiAttributes", "DeltaFormat", "Encodings", "Gluster", "GlusterfindList", "HostFiles", "Locks",
        "CSQLite",
        .product(name: "DequeModule", package: "swift-collections"), .product(name: "SystemPackage", package: "swift-system"),
      ],
      path: "Sources/GfapiFD/Backup"),
    .target(
      name: "GfapiRestore",
      dependencies: [
        "GfapiJob", "GfapiDefinition", "GfapiAttributes", "DeltaFormat", "Gluster", "Locks",
        .product(name: "DequeModule", package: "swift-collections"), .product(name: "SystemPackage", package: "swift-system"),
      ],
      path: "Sources/GfapiFD/Restore"),
    .target(
      name: "GfapiPlugin",
      dependencies: ["GfapiBackup", "GfapiRestore", "GfapiJob", "GfapiDefinition", "GfapiAttributes", "Gluster", "FDPluginABI", "Version"],
      path: "Sources/GfapiFD/Plugin"),
    .target(
      name: "GfapiBareos",
      dependencies: [
        "GfapiPlugin", "GfapiBackup", "GfapiRestore", "GfapiJob", "GfapiDefinition", "GfapiAttributes", "Gluster", "DaemonReleases",
        "FDPluginABI", "Locks",
      ],
      path: "Sources/GfapiFD/Bareos"),
    .target(
      name: "GfapiBacula",
      dependencies: [
        "GfapiPlugin", "GfapiBackup", "GfapiRestore", "GfapiJob", "GfapiDefinition", "GfapiAttributes", "Gluster", "DaemonReleases",
        "FDPluginABI", "Locks",
      ],
      path: "Sources/GfapiFD/Bacula"),
    .target(
      name: "GfapiFDModule", dependencies: ["GfapiBareos", "GfapiBacula", "GfapiJob", "DaemonReleases", "FDPluginABI"],
      exclude: ["exports.map"],
      linkerSettings: [
        // SwiftPM does not link the Swift runtime statically into a dynamic product. `nodelete`: when a daemon unloads its plugins, the
        // runtime must stay loaded for threads that still wait for a volume.
        .unsafeFlags([
          "-static-stdlib",
          "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/GfapiFDModule/exports.map",
          "-Xlinker", "-z", "-Xlinker", "nodelete",
          "-Xlinker", "-soname", "-Xlinker", "gfapi-fd.so",
          "-Xlinker", "--as-needed", "-Xlinker", "--gc-sections",
        ])
      ]),
    .target(name: "MiniDaemonCallbacks", dependencies: ["FDPluginABI"]),
    .target(name: "MiniDaemon", dependencies: ["DaemonReleases", "FDPluginABI", "MiniDaemonCallbacks", "CArchive", "Encodings", "Locks"]),
    .target(name: "GlusterCommand", dependencies: ["CXML2", "Programs"]),
    .target(name: "SetupCheck", dependencies: ["Encodings", "Gluster", "GlusterCommand", "GlusterfindList", "Programs"]),
    .executableTarget(
      name: "gfapi-fd",
      dependencies: [
        "MiniDaemon", "Encodings", "GfapiDefinition", "GfapiJob", "Gluster", "GlusterfindList", "GlusterfindWrapper", "Locks", "Programs",
        "SetupCheck",
        "Version",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "gfapi-fd-bench",
      dependencies: ["MiniDaemon", "Gluster", .product(name: "ArgumentParser", package: "swift-argument-parser")]),
    .target(
      name: "GlusterfindWrapper",
      dependencies: [
        "Encodings", "GlusterCommand", "GlusterfindList", "Programs", "CSysXattr", "SnapshotName", "Version",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(name: "bareos-glusterfind-wrapper", dependencies: ["GlusterfindWrapper"]),
    .target(name: "PartStore", dependencies: ["Encodings", "Gluster"]),
    .target(
      name: "GlusterStorage",
      dependencies: [
        "PartStore", "Gluster", "HostFiles", "Locks", "Version", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(name: "bareos-gluster-storage", dependencies: ["GlusterStorage"]),
    .target(
      name: "TestSupport", dependencies: ["Locks", "MiniDaemon"], path: "Tests/TestSupport", exclude: ["change-all-the-time.py"]),
    .testTarget(
      name: "GlusterTests",
      dependencies: ["Gluster", "Locks", "TestSupport", .product(name: "SystemPackage", package: "swift-system")]),
    .testTarget(name: "GlusterfindListTests", dependencies: ["GlusterfindList", "HostFiles", "TestSupport"]),
    .testTarget(
      name: "GfapiFDTests",
      dependencies: [
        "DaemonReleases", "MiniDaemon", "GfapiDefinition", "GfapiAttributes", "GfapiJob", "GfapiBackup", "GfapiRestore", "GfapiPlugin",
        "GfapiBacula", "DeltaFormat", "Gluster", "GlusterfindList", "TestSupport",
      ]),
    .testTarget(name: "EncodingsTests", dependencies: ["Encodings"]),
    .testTarget(name: "DeltaFormatTests", dependencies: ["DeltaFormat", "TestSupport"]),
    .testTarget(name: "GlusterCommandTests", dependencies: ["GlusterCommand", "Programs", "TestSupport"]),
    .testTarget(name: "ProgramsTests", dependencies: ["Programs", "TestSupport"]),
    .testTarget(name: "SetupCheckTests", dependencies: ["SetupCheck", "Gluster"]),
    .testTarget(
      name: "GlusterfindWrapperTests", dependencies: ["GlusterfindWrapper", "GlusterCommand", "GlusterfindList", "Programs", "TestSupport"]),
    .testTarget(
      name: "PartStoreTests", dependencies: ["PartStore", "Gluster", .product(name: "SystemPackage", package: "swift-system")]),
    .testTarget(name: "GlusterStorageTests", dependencies: ["GlusterStorage", "Gluster", "Locks", "PartStore", "TestSupport"]),
    .testTarget(name: "IntegrationTests", dependencies: ["Gluster", "Locks", "MiniDaemon", "SnapshotName", "TestSupport"]),
    .testTarget(name: "EndToEndTests", dependencies: ["TestSupport"]),
  ],
  swiftLanguageModes: [.v6]
)

// scripts/fuzz sets this variable and builds the target and its dependencies with the sanitizers.
if Context.environment["GFAPI_FD_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(
      name: "gfapi-fd-fuzz",
      dependencies: [
        "DeltaFormat", "GfapiDefinition", "GfapiAttributes", "Gluster", "GlusterfindList", "MiniDaemon", "PartStore",
      ],
      linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]))
}
