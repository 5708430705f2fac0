"""A processor that speaks OpenDSR, and AppsFlyer's and mParticle's way of it, on loopback."""
