"""A list of people in a file: its encoding, divider and columns, and its rows. Nothing of it is kept."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from dpsync import strict_json
from dpsync.errors import PayloadInvalid, UsageError
from dpsync.opt_out_scope import KINDS

GUESSED = "cp1252"
"""What is taken for the encoding where nothing says it: what a spreadsheet of Central Europe wrote looks the same."""

LARGEST = 256 * 1024 * 1024
MOST_CELLS = 500

_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_DIVIDERS = ",;\t|"
_SEP = re.compile(r'"?sep=([^"\s]|\t)"?[,;\t]*', re.IGNORECASE)
_OTHERS = (
    (b"PK\x03\x04", "a workbook: save it as CSV first"),
    (b"\xd0\xcf\x11\xe0", "a workbook: save it as CSV first"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "compressed: unpack it first"),
)
KNOWN = {
    "id": (),  # an export of a processor numbers people, too: taken for ours, its number 7 would be another person
    "email": ("email", "e mail", "mail", "email address", "e mail address", "e mail adresse", "address email"),
    "other_emails": ("other emails", "other email", "second email"),
    "phone": ("phone", "telephone", "phone number", "mobile", "mobile phone"),
    "name": ("name", "full name"),
}
"""The columns that say who is meant, and the headings under which they are found without being told."""

PARTS = KINDS
"""The columns that say which part was left, taken only where they are named: another list's topics are not ours."""

_WHO = ("id", "email", "other_emails")


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row. `line`: where it begins in the file, from 1. `named`: who is meant, by our names; blanks left out.

    `part`: what was left, by its kinds, None where no column says; {} where the columns are there and say nothing.
    """

    line: int
    named: Mapping[str, str] = field(repr=False)
    cells: Sequence[str] = field(repr=False)
    part: Mapping[str, str] | None = None

    @property
    def other_emails(self) -> tuple[str, ...]:
        """Each of the further addresses."""
        return tuple(self.named.get("other_emails", "").replace(";", " ").replace(",", " ").split())


@dataclass(frozen=True, slots=True)
class PeopleList:
    """A file that was looked at: its columns, and which of them are taken as what."""

    encoding: str
    divider: str
    columns: tuple[str, ...]
    taken: Mapping[str, int]
    lines: Callable[[], Iterator[tuple[int, list[str]]]] = field(repr=False)
    headed: bool = True

    @property
    def passed_over(self) -> tuple[str, ...]:
        """The columns that say nothing to us."""
        return tuple(name for place, name in enumerate(self.columns) if place not in self.taken.values())

    @property
    def written_in(self) -> str:
        """How a part of it is written again: UTF-8, with a mark where a spreadsheet would read something else."""
        return "utf-8" if self.encoding == "utf-8" else "utf-8-sig"

    def rows(self) -> Iterator[ListRow]:
        """Its rows; empty ones are left out. Raises `UsageError` where a row is not of the file's form."""
        for line, cells in self.lines():
            if len(cells) != len(self.columns):
                raise UsageError(f"line {line} has {len(cells)} cells, and the first has {len(self.columns)}")
            named = {name: value for name, place in self.taken.items() if (value := cells[place].strip())}
            if self.encoding == GUESSED and not all(named.get(name, "").isascii() for name in _WHO):
                raise UsageError(
                    f"line {line} names somebody by letters that may be others, for the list is not UTF-8: save it as "
                    "UTF-8"
                )
            part = {name: named.pop(name) for name in PARTS if name in named}
            yield ListRow(line, named, cells, part if self.taken.keys() & set(PARTS) else None)


def read(path: Path, columns: Mapping[str, str]) -> PeopleList:
    """Look at a file of CSV, or of JSON Lines (`.jsonl`). `columns`: what the caller takes a heading as, by our names.

    Raises `UsageError` for what is no such list, and says what it is instead.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path} is larger than {LARGEST // 1024 // 1024} MiB: divide it")
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    for begins, what in _OTHERS:
        if raw.startswith(begins):
            raise UsageError(f"{path} is {what}")
    encoding, text = _decoded(raw)
    if "\0" in text:
        raise UsageError(f"{path} holds characters that are no text (NUL)")
    if path.suffix in {".jsonl", ".ndjson"}:
        return _of_json(text, encoding, columns)
    return _of_csv(text, encoding, columns)


def _decoded(raw: bytes) -> tuple[str, str]:
    for mark, encoding in _BOMS:
        if raw.startswith(mark):
            return encoding, _as_it_says(raw, encoding)
    try:
        return "utf-8", raw.decode("utf-8")
    except UnicodeDecodeError:
        # What spreadsheets of Western Europe write where nobody asks them for UTF-8.
        return GUESSED, raw.decode(GUESSED, errors="replace")


def _as_it_says(raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        # Put together anyway, two ids that differ by one letter would be one person.
        raise UsageError(f"the list says that it is {encoding}, and it is not: save it as UTF-8") from None


def _of_csv(text: str, encoding: str, columns: Mapping[str, str]) -> PeopleList:
    first, _, rest = text.partition("\n")
    said = _SEP.fullmatch(first.strip(" \r"))
    if said:
        text, first = rest, rest.partition("\n")[0]
    divider = said[1] if said else max(_DIVIDERS, key=first.count)
    lines = partial(_lines, text, divider, 2 if said else 1)
    head = next(lines(), None)
    if head is None:
        raise UsageError("the list is empty")
    names = tuple(cell.strip() for cell in head[1])
    if len(names) == 1 and "@" in names[0] and not columns:
        return PeopleList(encoding, divider, ("email",), {"email": 0}, lines, headed=False)
    return PeopleList(encoding, divider, names, _taken(names, columns), lambda: islice(lines(), 1, None))


def _of_json(text: str, encoding: str, columns: Mapping[str, str]) -> PeopleList:
    rows: list[tuple[int, dict[str, object]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = strict_json.load(line.encode(), quoting=True)
        except PayloadInvalid as refusal:
            raise UsageError(f"line {number} {refusal.problem}") from None
        if not isinstance(value, dict):
            raise UsageError(f"line {number} is no object")
        if not strict_json.is_clean(value):  # it could neither be stored nor written again
            raise UsageError(f"line {number} {strict_json.UNCLEAN}")
        rows.append((number, value))
    if not rows:
        raise UsageError("the list is empty")
    names = tuple(dict.fromkeys(name for _, row in rows for name in row))
    taken = _taken(names, columns)
    for number, row in rows:
        if odd := [name for name in (names[one] for one in taken.values()) if not _is_text(row.get(name))]:
            raise UsageError(f"line {number}: {odd[0]} is neither a text nor a whole number")

    def lines() -> Iterator[tuple[int, list[str]]]:
        return ((number, [_text(row.get(name)) for name in names]) for number, row in rows)

    return PeopleList(encoding, ",", names, taken, lines)


def _is_text(cell: object) -> bool:
    return cell is None or isinstance(cell, str) or (isinstance(cell, int) and not isinstance(cell, bool))


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _taken(names: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Which place is taken as what. Raises `UsageError` where a column is missing, named twice, or nobody is named."""
    places = {_spelled(name) or f"column {place}": place for place, name in enumerate(names)}
    if len(places) < len(names):
        raise UsageError("the first line names a column twice")
    taken: dict[str, int] = {}
    for name, heading in columns.items():
        if _spelled(heading) not in places:
            raise UsageError(f"there is no column {heading!r}. The columns are: {', '.join(names)}")
        taken[name] = places[_spelled(heading)]
    for name, headings in KNOWN.items():
        found = [places[heading] for heading in headings if heading in places]
        if name == "email" and name not in taken and len(found) > 1:
            several = ", ".join(repr(names[place]) for place in found)
            raise UsageError(f"several columns may be the address: {several}. Name one: --column email=HEADING")
        if name not in taken and found and found[0] not in taken.values():
            taken[name] = found[0]
    if not taken.keys() & KNOWN.keys():
        raise UsageError(
            f"no column says who is meant: {', '.join(names) or 'there is none'}. Name it: --column email=HEADING"
        )
    return taken


def _spelled(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", " ", heading.lower()).strip() or heading.strip().lower()


def _lines(text: str, divider: str, first: int) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not empty, with the line on which it begins. `first`: the number of the first."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=divider, strict=True)
    begins = first
    try:
        for cells in reader:
            if len(cells) > MOST_CELLS:
                raise UsageError(f"line {begins} has more than {MOST_CELLS} cells")
            if any(cell.strip() for cell in cells):
                yield begins, cells
            begins = reader.line_num + first
    except csv.Error:
        raise UsageError(f"line {begins} is not CSV: a quotation mark stands where none can") from None
