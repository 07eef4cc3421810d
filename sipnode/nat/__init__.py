"""What address translators break, and how it is mended: tests, contact aliases, source facts, keepalive pings."""
