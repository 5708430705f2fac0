"""Controllers that hand over erasures by OpenDSR 2.0: one more source in front of the same door as every other."""
