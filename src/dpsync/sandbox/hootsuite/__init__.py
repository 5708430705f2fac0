"""Hootsuite on loopback."""
