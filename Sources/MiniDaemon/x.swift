public func placeholder2() {}
