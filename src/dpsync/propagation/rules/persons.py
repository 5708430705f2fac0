"""Who is certainly another person, and who may be the same. Pure."""

NAMELESS = "~"
"""First sign of a person without an id of the main database."""


def may_be_same(one: str, other: str) -> bool:
    """Whether two persons of one subject may be one: for holding back, never for merging."""
    return one == other or one.startswith(NAMELESS) or other.startswith(NAMELESS)
