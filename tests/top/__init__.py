"""Promises of ``sipnode top``."""
