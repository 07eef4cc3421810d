"""Tests of :mod:`sipnode.console`."""
