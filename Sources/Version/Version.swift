/// The version of the module, the programs and the packages. It is defined only here.
public let version = "1.0.0"
