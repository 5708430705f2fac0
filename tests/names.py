"""Names of cases that stand in for odd values."""


def plain(value: object) -> str:
    """A value as the name of a case, without a backslash: pytest would escape it anew each time it is collected."""
    return ascii(value).replace("\\", "/")
