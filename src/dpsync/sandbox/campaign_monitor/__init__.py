"""Campaign Monitor on loopback."""
