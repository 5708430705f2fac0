"""Whether a file is an export as the vendor made it, or one that a spreadsheet saved again: said by name. Pure.

Such a file is refused and not read: spreadsheets round long ids and write times anew, so what is missing in it proves
nothing.
"""

import csv
import re
from collections.abc import Iterable

from dpsync.errors import UsageError

STARTS_WITHIN = 64 * 1024
"""How much of a file is looked at: the line with its columns stands in it."""

AS_MADE = "hand over the file as the vendor made it, not saved again by a spreadsheet"
"""The way out of whatever is said of a file here."""

_OTHERS = (
    (b"PK\x03\x04", "a workbook"),
    (b"\xd0\xcf\x11\xe0", "a workbook"),
    (b"%PDF", "a PDF"),
    (b"{\\rtf", "a text document"),
    (b"\x1f\x8b", "compressed"),
    (b"<", "a page (HTML or XML)"),
)
_UTF_32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_DIVIDERS = {";": "by ;", "\t": "by tabs", "|": "by |", "^": "by ^", "~": "by ~", ":": "by :"}
_SEP = re.compile(r'"?sep=.?"?[,;\t]*', re.IGNORECASE)
_FIRST_LINES = 20
# A long number as a spreadsheet writes it, its decimals, and its marks that a number is meant as text.
_MADE_ANEW = re.compile(r"[0-9](?:[.,][0-9]+)?e\+[0-9]+|[0-9]+[.,]0+|'.*|=.*|#+", re.IGNORECASE | re.DOTALL)


def spelled(column: str) -> str:
    """A column's name without what differs from one export of a vendor to the next: case and punctuation."""
    return re.sub(r"[^a-z0-9]+", " ", column.lower()).strip()


def demand_as_made(start: bytes, columns: Iterable[str]) -> None:
    """Refuse a file whose first bytes show that it was saved again. `columns`: those that the vendor's export has.

    Raises `UsageError`; what is another file altogether passes, for its reader to refuse.
    """
    if what := _written(start):
        raise UsageError(f"the export is {what}: {AS_MADE}")
    head = start.decode("utf-8-sig", errors="replace").lstrip("\ufeff")
    lines = [line for line in head.splitlines() if line.strip()][:_FIRST_LINES]
    if lines and _SEP.fullmatch(lines[0].strip(" ")):
        raise UsageError(f"the export begins with the line sep=, which a spreadsheet wrote: {AS_MADE}")
    wanted = {spelled(name) for name in columns}
    if not wanted:
        return
    for number, line in enumerate(lines):
        if how := _divided(line, wanted):
            if how == "as made" and not number:
                return
            before = "lines stand before the one with its columns in the export" if number else how
            raise UsageError(f"{before}: {AS_MADE}")


def demand_own_cell(row: int, cell: str) -> None:
    """Refuse an id or a time as spreadsheets write it: what it was cannot be known any more. Raises `UsageError`."""
    if _MADE_ANEW.fullmatch(cell.strip()):
        raise UsageError(
            f"row {row} of the export holds an id that a spreadsheet wrote anew (as in 1.2E+17): {AS_MADE}"
        )


def _written(start: bytes) -> str:
    """What a file is where it is no UTF-8 text."""
    if start.startswith(_UTF_32):
        return "UTF-32, not UTF-8 text"
    # A head of plain letters has a zero in each pair of bytes there, with or without a mark at its beginning.
    zeros = (start[:32:2], start[1:32:2])
    if start.startswith(_UTF_16) or any(half and not half.strip(b"\0") for half in zeros):
        return "UTF-16, not UTF-8 text"
    bare = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((what for mark, what in _OTHERS if bare.startswith(mark)), "")


def _divided(line: str, wanted: set[str]) -> str:
    """How a line names the columns: "as made", what was done to it, or "" where it does not name them."""
    cells = _cells(line, ",")
    if wanted <= {spelled(one) for one in cells}:
        marked = next((how for sign, how in _DIVIDERS.items() if any(sign in one for one in cells)), "")
        nameless = not all(one.strip() for one in cells)
        if marked:
            return f"columns of the export are divided {marked} beside commas"
        return "the export has columns without a name" if nameless else "as made"
    if len(cells) == 1 and line.lstrip("\ufeff ").startswith('"') and _divided(cells[0], wanted):
        return "each line of the export is in quotation marks as a whole"
    for divider, how in _DIVIDERS.items():
        if wanted <= {spelled(one) for one in _cells(line, divider)}:
            return f"the columns of the export are divided {how}, not by commas"
    return ""


def _cells(line: str, divider: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=divider), [])
    except csv.Error:
        return []
