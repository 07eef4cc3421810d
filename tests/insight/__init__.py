"""Tests of :mod:`sipnode.insight`."""
