"""Whether a request's rows are as its entries commit to them, while the request's key exists; column by column."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpsync.ledger import rows, told
from dpsync.ledger.rows import BORN, COMMITTED, differing, spelled
from dpsync.ledger.told import AT_A_PLACE, ONLY_ADDED, Kept, PlaceTold

Row = Mapping[str, Any]
Problem = tuple[str, Sequence[str], str]
"""Place below the request, columns, and what is wrong with them."""

_LATER = {"attempt": ("ended", {"ended_at": None, "outcome": ""}), "notice": ("sent", {"sent_at": None, "digest": ""})}
"""The later half of a row, and what stands there until an entry tells of it."""


@dataclass(slots=True)
class Belongings:
    """What the database has of one request: its propagations by processor; other rows by table and processor."""

    parts: dict[str, Row] = field(default_factory=dict)
    rows: dict[tuple[str, str], list[Row]] = field(default_factory=lambda: defaultdict(list))


def problems(key: bytes, row: Row, has: Belongings, said: told.RequestTold) -> Iterator[Problem]:
    """Each column that is not as committed, by the place of its row."""
    unseen = {"subject_id", "person"} if said.joined_unseen else set()
    if kept := said.rows.get(("request", "", 0)):
        yield "", [column for column in differing(key, kept.said, row) if column not in unseen], _not_as(kept)
    if kept := said.rows.get(("births", "", 0)):
        yield "", differing(key, kept.said, _births(has, said)), _not_as(kept)
    for processor, part in has.parts.items():
        yield f" at {processor}", *_of_part(key, row, part, said.rows.get(("propagation", processor, 0)))
    for table in ("attempt", "notice"):
        for processor in has.parts:
            yield from _of_numbered(key, table, processor, has.rows[table, processor], said)
    for table in sorted(ONLY_ADDED):
        for processor in has.parts if table in AT_A_PLACE else ("",):
            at = f" at {processor}" if processor else ""
            committed, found = said.added.get((table, processor), []), has.rows[table, processor]
            for columns, problem, _ in of_added(key, table, committed, found):
                yield f"{at}, {table}", columns, problem


def _not_as(kept: Kept) -> str:
    return f"not as entry {kept.idx} recorded it"


def _births(has: Belongings, said: told.RequestTold) -> dict[str, str]:
    first = ({**part, "way": said.places.get(name, PlaceTold()).way or part["way"]} for name, part in has.parts.items())
    return rows.births(first)


def _of_part(key: bytes, row: Row, part: Row, kept: Kept | None) -> tuple[Sequence[str], str]:
    if kept is not None:
        return differing(key, kept.said, part), _not_as(kept)
    born = {**BORN, "opened_at": row["accepted_at"], "state_since": row["accepted_at"]}
    return [
        name for name, value in born.items() if spelled(part[name]) != spelled(value)
    ], "though no entry tells of it"


def _of_numbered(
    key: bytes, table: str, processor: str, found: Sequence[Row], said: told.RequestTold
) -> Iterator[Problem]:
    later, until = _LATER[table]
    place = f" at {processor}, {table}"
    committed = {number for kind, at, number in said.rows if (kind, at) == (table, processor)}
    for row in found:
        number = row["number"]
        if number not in committed:
            yield f"{place} {number}", ("number", "propagation_id"), "no entry tells of such a row"
            continue
        committed.discard(number)
        kept = said.rows[table, processor, number]
        yield f"{place} {number}", differing(key, kept.said, row), _not_as(kept)
        after = said.rows.get((later, processor, number))
        if after is not None:
            yield f"{place} {number}", differing(key, after.said, row), _not_as(after)
        else:
            early = [name for name, value in until.items() if row[name] != value]
            yield f"{place} {number}", early, "though no entry tells of it"
    for number in sorted(committed):
        yield f"{place} {number}", ("number", "propagation_id"), "the database has no such row"


def of_added(
    key: bytes, table: str, committed: Sequence[Kept], found: Sequence[Row]
) -> Iterator[tuple[Sequence[str], str, bool]]:
    """What differs of rows that are only ever added: columns, what is wrong, and whether no entry tells of the row."""
    left, unmatched = list(found), []
    for kept in committed:
        match = next((row for row in left if not differing(key, kept.said, row)), None)
        if match is None:
            unmatched.append(kept)
        else:
            left.remove(match)
    for kept in unmatched:
        unlike = [(columns, row) for row in left if (columns := differing(key, kept.said, row))]
        if unlike:
            # The row that is least unlike it is the one that was changed.
            columns, row = min(unlike, key=lambda one: len(one[0]))
            left.remove(row)
            yield columns, _not_as(kept), False
        else:
            yield _whole(table), f"of a row that entry {kept.idx} recorded: it is not there", False
    for _ in left:
        yield _whole(table), "of a row that no entry tells of", True


def _whole(table: str) -> tuple[str, ...]:
    return (*COMMITTED[table], *([_OWNER[table]] if table in _OWNER else ()))


_OWNER = {
    "answer": "propagation_id",
    "post": "propagation_id",
    "decision": "request_id",
    "withdrawal": "request_id",
    "retention_letter": "act_id",
}
"""Which column says whose a row is: moved elsewhere, it is missed here and too much there."""
