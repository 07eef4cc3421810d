"""Tests of :mod:`sipnode.replay`."""
