"""NAT traversal, the mending of what address translators break: tests, contact aliases, source facts, keepalive pings."""
