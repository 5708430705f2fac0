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

_AS_MADE = "hand over the file as the vendor made it, not saved again by a spreadsheet"
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_OTHERS = {";": "by ;", "\t": "by tabs", "|": "by |"}


def spelled(column: str) -> str:
    """A column's name without what differs from one export of a vendor to the next: case and punctuation."""
    return re.sub(r"[^a-z0-9]+", " ", column.lower()).strip()


def demand_as_made(start: bytes, columns: Iterable[str]) -> None:
    """Refuse a file whose first bytes show that it was saved again. `columns`: those that the vendor's export has.

    Raises `UsageError`; what is another file altogether passes, for its reader to refuse.
    """
    if start.startswith(_WORKBOOKS):
        raise UsageError(f"the export is a workbook, not CSV: {_AS_MADE}")
    # A head of plain letters has a zero in each pair of bytes there, with or without a mark at its beginning.
    zeros = (start[:32:2], start[1:32:2])
    if start.startswith(_UTF_16) or any(half and not half.strip(b"\0") for half in zeros):
        raise UsageError(f"the export is UTF-16, not UTF-8 text: {_AS_MADE}")
    head = start.decode("utf-8-sig", errors="replace").lstrip("\r\n")
    first = head.splitlines()[0] if head else ""
    if re.fullmatch(r'"?sep=.?"?[,;\t]*', first.strip(" "), re.IGNORECASE):
        raise UsageError(f"the export begins with the line sep=, which a spreadsheet wrote: {_AS_MADE}")
    wanted = {spelled(name) for name in columns}
    if not wanted or wanted <= _named(head, ","):
        return
    for divider, how in _OTHERS.items():
        if wanted <= _named(head, divider):
            raise UsageError(f"the columns of the export are divided {how}, not by commas: {_AS_MADE}")


def _named(head: str, divider: str) -> set[str]:
    """The columns that the first line names, were they divided so."""
    try:
        return {spelled(name) for name in next(csv.reader(head.splitlines(keepends=True), delimiter=divider), [])}
    except csv.Error:
        return set()
