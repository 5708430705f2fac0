"""The monthly check: what the vendor's own export shows of conversations that should be gone.

The file is read once, line by line, and not kept; its SHA-256, how many rows and its oldest day are. An export shows
only what is closed there, and proves nothing beyond the range of days that it was made for: so the range is stated, and
what was open when it was last seen is never verified by it.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO
from zoneinfo import ZoneInfo

from sqlalchemy import select

from dpsync.connector import Exported, KeepsConversations
from dpsync.errors import DecisionRefused, PayloadInvalid, UsageError
from dpsync.ledger.entry import EntryKind
from dpsync.model import ActKind, ConversationState, Retention
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.retention import clock
from dpsync.retention.acts import contradict, demanded, rule_of
from dpsync.retention.conversations import UNCLAIMED, C, Sighting, VendorIds, act, move, sight
from dpsync.retention.export_form import AS_MADE, STARTS_WITHIN, demand_as_made, demand_own_cell, spelled
from dpsync.store.writer import Unit

MOST_BYTES = 64 * 1024 * 1024
MOST_ROWS = 1_000_000
MOST_OLDER = 50_000
"""What is kept in memory of a file: rows that should not be there. Beyond it nobody deletes by hand anyway."""


@dataclass(frozen=True, slots=True)
class Range:
    """The days that an export was made for, both included, as whoever made it says: the file itself does not tell."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Read:
    """What a file showed. `older`: rows of conversations whose last day is over."""

    sha256: str
    rows: int
    oldest_on: date | None
    youngest_on: date | None
    older: tuple[Exported, ...] = field(repr=False)


def read(
    path: Path, connector: KeepsConversations, rule: Retention, zone: ZoneInfo, now: datetime, *, most: int = MOST_BYTES
) -> Read:
    """Read an export, a line at a time. Raises `UsageError` for a file that is none, and says why, never quoting it."""
    try:
        if not path.is_file():
            raise UsageError("the export is no file that can be read", code="DP-105")
        with path.open("rb") as file:
            demand_as_made(file.read(STARTS_WITHIN), connector.export_columns)
            file.seek(0)
            hashing = _Hashing(file, most)
            text = io.TextIOWrapper(io.BufferedReader(hashing), encoding="utf-8-sig", newline="")
            return _read(connector.read_export(_rows(text, connector.export_columns)), hashing, rule, zone, now)
    except UnicodeDecodeError:
        raise UsageError(f"the export is not UTF-8 text: {AS_MADE}") from None
    except csv.Error:
        raise UsageError("the export is not CSV") from None
    except PayloadInvalid as refusal:
        raise UsageError(f"the export cannot be read: {refusal.field}: {refusal.problem}: {AS_MADE}") from None
    except OSError as error:
        raise UsageError(f"the export cannot be read: {error.strerror}", code="DP-105") from None


def _rows(text: io.TextIOWrapper, columns: frozenset[str]) -> Iterator[Mapping[str, str]]:
    """The rows, with the columns under the names that the connector has for them."""
    lines = csv.reader(_text_lines(text), strict=True)
    head = next((cells for cells in lines if any(cell.strip("\ufeff ") for cell in cells)), None)
    if not head:
        raise UsageError("the export is empty: it lacks even the line with its columns")
    names = _named(head, columns)
    for number, cells in enumerate(lines, 1):
        if not cells:
            continue
        if len(cells) != len(head):
            raise UsageError(f"row {number} of the export has {len(cells)} cells, its head has {len(head)}: {AS_MADE}")
        if not any(map(str.strip, cells)):
            raise UsageError(f"row {number} of the export is empty: {AS_MADE}")
        if number > MOST_ROWS:
            raise UsageError(f"the export has more than {MOST_ROWS:,} rows: make it for a shorter range")
        row = dict(zip(names, cells, strict=True))
        for name in columns:
            demand_own_cell(number, row[name])
        yield row


def _named(head: list[str], columns: frozenset[str]) -> list[str]:
    """The columns' names, those of the connector as it spells them. Raises `UsageError`."""
    own = {spelled(name): name for name in columns}
    names = [own.get(spelled(name), name) for name in head]
    if len(set(names)) != len(names):
        raise UsageError("the export names a column twice")
    # A header alone is an export that found nothing, so it must be *that* export and no other file.
    if missing := sorted(columns - set(names)):
        raise UsageError(
            f"the export is another file, or its first line is gone: it lacks the columns {', '.join(missing)}"
        )
    if not columns:
        raise UsageError("the export is another file: it lacks the columns of this vendor")
    return names


def _text_lines(text: Iterable[str]) -> Iterator[str]:
    for line in text:
        if "\0" in line or "\x1a" in line:
            raise UsageError(f"the export holds characters that are no text (NUL): {AS_MADE}")
        yield line


def _read(rows: Iterable[Exported], hashing: "_Hashing", rule: Retention, zone: ZoneInfo, now: datetime) -> Read:
    count, oldest, youngest, today = 0, None, None, clock.day_of(now, zone)
    older: list[Exported] = []
    for one in rows:
        count += 1
        began = clock.day_of(one.started_at, zone)
        if began > today:
            raise UsageError(f"row {count} of the export begins in the future")
        oldest, youngest = min(oldest or began, began), max(youngest or began, began)
        if clock.due_on(one.started_at, rule.months, zone) < today:
            older.append(one)
            if len(older) > MOST_OLDER:
                raise UsageError(f"more than {MOST_OLDER:,} conversations are too old: delete them in bulk there")
    return Read(hashing.digest(), count, oldest, youngest, tuple(older))


class _Hashing(io.RawIOBase):
    """A file that is digested as it is read, and that ends with an error where it is longer than it may be."""

    def __init__(self, file: BinaryIO, most: int) -> None:
        self._file = file
        self._most = most
        self._sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._file.read(len(buffer))
        self._most -= len(part)
        if self._most < 0:
            raise UsageError("the export is too large: make it for a shorter range")
        self._sha256.update(part)
        buffer[: len(part)] = part
        return len(part)

    def digest(self) -> str:
        return self._sha256.hexdigest()


# --- what follows from it


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check changed: how many are verified by it, contradicted by it, and known only through it."""

    rows: int
    older: int
    verified: int
    contradicted: int
    new: int


def check(
    unit: Unit, controller: Controller, name: str, found: Read, days: Range, person: Person, now: datetime
) -> Checked:
    """Keep what an export showed. `days`: what it was made for.

    A conversation that is due, began within the range, was not open when last seen, and is not in the file is verified.
    One in the file whose last day is over is contradicted and goes on the next work list; an exception that still runs
    stands. Raises `DecisionRefused` where the file holds days outside the range: it is another export than was stated.
    """
    demanded(person)
    rule = rule_of(controller, name)
    _demand_within(found, days, clock.day_of(now, controller.zone))
    seen = _sighted(unit, controller, name, rule, found, now)
    verified = _verified(unit, controller, name, days, set(seen), now)
    contradicted = _still_there(unit, name, seen, now)
    file: dict[str, str | int] = {"cause": "export", "digest": found.sha256, "name": f"export, {found.rows} rows"}
    act(
        unit,
        controller,
        name,
        ActKind.CHECKED,
        verified,
        now,
        event=EntryKind.VERIFIED,
        person=person,
        said=file,
        file_sha256=found.sha256,
        file_rows=found.rows,
        older=len(found.older),
        oldest_on=found.oldest_on.isoformat() if found.oldest_on else None,
        from_on=days.first.isoformat(),
        to_on=days.last.isoformat(),
        next_on=clock.next_check_on(clock.day_of(now, controller.zone)).isoformat(),
    )
    if contradicted:
        contradict(unit, controller, name, contradicted, now, cause="export", said={"digest": found.sha256})
    new = sum(before is None for before in seen.values())
    return Checked(found.rows, len(found.older), len(verified), len(contradicted), new)


def _demand_within(found: Read, days: Range, today: date) -> None:
    if not days.first <= days.last <= today:
        raise DecisionRefused("the range of the export ends before it begins, or in the future")
    for outside in (found.oldest_on, found.youngest_on):
        if outside and not days.first <= outside <= days.last:
            raise DecisionRefused(
                f"the export holds a conversation of {outside}, outside {days.first} to {days.last}: "
                "it was made for another range; state that one"
            )


def _sighted(
    unit: Unit, controller: Controller, name: str, rule: Retention, found: Read, now: datetime
) -> dict[str, ConversationState | None]:
    """Know the rows that should be gone. What may still be there is of no concern, and is not kept."""
    seen: dict[str, ConversationState | None] = {}
    for one in found.older:
        ids = VendorIds(one.conversation, one.contact)
        known = sight(
            unit,
            controller,
            name,
            rule,
            Sighting(ids, one.started_at, now, open=False, by_webhook=False),
            now,
        )
        seen.setdefault(known.key, known.before)
    return seen


def _verified(unit: Unit, controller: Controller, name: str, days: Range, seen: set[str], now: datetime) -> list[str]:
    """What the export would have shown and did not; its ids are destroyed."""
    provable = (*UNCLAIMED, ConversationState.ATTESTED.value)
    rows = unit.connection.execute(
        select(C.pseudonym, C.started_at)
        .where(C.processor == name, C.state.in_(provable), C.overdue_at <= now, C.open.is_(False))
        .order_by(C.pseudonym)
    ).all()
    gone = [
        row.pseudonym
        for row in rows
        if row.pseudonym not in seen and days.first <= clock.day_of(row.started_at, controller.zone) <= days.last
    ]
    move(unit.connection, name, gone, ConversationState.VERIFIED_BY_EXPORT, claimed_at=now, sealed=None)
    return gone


def _still_there(unit: Unit, name: str, seen: Mapping[str, ConversationState | None], now: datetime) -> list[str]:
    late = select(C.pseudonym).where(C.processor == name, C.overdue_at <= now)
    claimed = {key for key, before in seen.items() if before in clock.CLAIMED}
    overdue = {row.pseudonym for row in unit.connection.execute(late)} | claimed
    return sorted(overdue & set(seen))
