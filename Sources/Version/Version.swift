/// The version of the module, the programs and the packages: this is the one place where it stands.
public let version = "1.0.0"
