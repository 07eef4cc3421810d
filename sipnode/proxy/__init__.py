"""The proxy core: forks, branches, Record-Route, CANCEL (RFC 3261 §16)."""
