"""Calls that go through the proxy, as far as somebody has to end them when an end has vanished."""
