"""Text that somebody else wrote, fit to be shown: nothing in it steers a terminal, a reader's eye or a sheet."""

import unicodedata

FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n|%")
"""How a cell begins that a spreadsheet would compute instead of show; the full-width forms are normalised by some."""


def visible(text: str) -> str:
    r"""The same text with control characters, ANSI escapes, line ends and direction overrides spelled out (`\x1b`)."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _spelled(char) for char in text)


def _spelled(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    return char.encode("unicode_escape").decode("ascii")


def cell(text: str) -> str:
    """The text as a cell of a CSV file: visible, and never computed by whoever opens it (CWE-1236)."""
    shown = visible(text)
    # Leading blanks are looked through: some importers trim a cell before they decide what it is.
    return f"'{shown}" if shown.lstrip()[:1] in FORMULA and shown.strip() else shown
