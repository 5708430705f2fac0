"""Main databases that speak another shape than ours: who signs how, and which change of a row is which wish.

Everything here is pure, but for reading a mapping from its file. What comes out goes through the same door as our own
shape does (`payload.parse_request`).
"""
