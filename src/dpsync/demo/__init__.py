"""The whole story in a minute, on loopback."""
