"""Google Analytics on loopback: user deletion only."""
