"""Changes that somebody makes by hand to what keeps the proof, and whether each is noticed at its place."""
