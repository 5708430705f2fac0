"""Whether a request's rows are as its entries commit to them, while the request's key exists; column by column."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dpsync.ledger import rows, stored_rows, told
from dpsync.ledger.evidence import AnswerCalls, Place
from dpsync.ledger.rows import BORN, COMMITTED, Key, differing, spelled
from dpsync.ledger.told import AT_A_PLACE, ONLY_ADDED, Kept, PlaceTold

Row = Mapping[str, Any]
Problem = tuple[str, Sequence[str], str]
"""Place below the request, columns, and what is wrong with them."""

DESTROYED = frozenset({"sealed", "handed"})
"""What of a request, of its parts, of answers and decisions is destroyed when it is forgotten, or a part of it is."""

_LATER = {"attempt": ("ended", {"ended_at": None, "outcome": ""}), "notice": ("sent", {"sent_at": None, "digest": ""})}
"""The later half of a row, and what stands there until an entry tells of it."""


@dataclass(slots=True)
class Belongings:
    """What the database has of one request: its propagations by processor; other rows by table and processor; calls."""

    parts: dict[str, Row] = field(default_factory=dict)
    rows: dict[tuple[str, str], list[Row]] = field(default_factory=lambda: defaultdict(list))
    calls: dict[Place, AnswerCalls] = field(default_factory=lambda: defaultdict(AnswerCalls))


def belongings(found: stored_rows.Stretched) -> Mapping[str, Belongings]:
    """What belongs to each request of a stretch, by its id."""
    there: dict[str, Belongings] = defaultdict(Belongings)
    places, attempts = {}, {}
    for part in stored_rows.named("propagation", found):
        there[part["request_id"]].parts[part["processor"]] = part
        places[part["id"]] = there[part["request_id"]], part["processor"]
    for table in AT_A_PLACE:
        for row in stored_rows.named(table, found):
            has, processor = places[row["propagation_id"]]
            has.rows[table, processor].append(row)
            if table == "attempt":
                attempts[row["id"]] = has, processor, row["number"]
    for table in ("decision", "withdrawal"):
        for row in stored_rows.named(table, found):
            there[row["request_id"]].rows[table, ""].append(row)
    for row in stored_rows.named("evidence", found):
        has, *answer = attempts[row["attempt_id"]]
        has.calls[*answer, row["part"]].add(row)
    return there


def problems(key: Key, row: Row, has: Belongings, said: told.RequestTold) -> Iterator[Problem]:
    """Each column that is not as committed, by the place of its row."""
    unseen = {"subject_id", "person"} if said.joined_unseen else set()
    unseen |= DESTROYED if said.shredded is not None else set()
    if kept := said.rows.get(("request", "", 0)):
        yield "", [column for column in differing(key, kept.said, row) if column not in unseen], _not_as(kept)
    if kept := said.rows.get(("births", "", 0)):
        yield "", differing(key, kept.said, _births(has, said)), _not_as(kept)
    for processor, part in has.parts.items():
        columns, problem = _of_part(key, row, part, said.rows.get(("propagation", processor, 0)))
        yield f" at {processor}", [column for column in columns if column not in unseen], problem
    numbered = _numbered(said)
    for table in ("attempt", "notice"):
        for processor in has.parts:
            committed = numbered[table, processor]
            yield from _of_numbered(key, (table, processor), has.rows[table, processor], said, committed)
    for table in sorted(ONLY_ADDED):
        for processor in has.parts if table in AT_A_PLACE else ("",):
            at = f" at {processor}" if processor else ""
            added, found = said.added.get((table, processor), []), has.rows[table, processor]
            for columns, problem, _ in of_added(key, table, added, found, unseen) if added or found else ():
                yield f"{at}, {table}", columns, problem


def put_back(row: Row, has: Belongings, said: told.RequestTold) -> Iterator[tuple[str, str, str]]:
    """Place, column and sentence of what was destroyed and is there again: somebody put it back from an older copy."""
    if said.shredded is None:
        return
    kept = [("", column, row[column]) for column in ("sealed", "wrapped_key")]
    kept += [(f" at {processor}", "handed", part["handed"]) for processor, part in has.parts.items()]
    for place, column, value in kept:
        if value is not None:
            yield place, column, f"{column} is there, and the ledger tells that the request was forgotten"


def _not_as(kept: Kept) -> str:
    return f"not as entry {kept.idx} recorded it"


def _births(has: Belongings, said: told.RequestTold) -> dict[str, str]:
    first = ({**part, "way": said.places.get(name, PlaceTold()).way or part["way"]} for name, part in has.parts.items())
    return rows.births(first)


def _of_part(key: Key, row: Row, part: Row, kept: Kept | None) -> tuple[Sequence[str], str]:
    if kept is not None:
        return differing(key, kept.said, part), _not_as(kept)
    born = _BORN | dict.fromkeys(("opened_at", "state_since"), spelled(row["accepted_at"]))
    return [name for name, was in born.items() if spelled(part[name]) != was], "though no entry tells of it"


_BORN = {name: spelled(value) for name, value in BORN.items()}


def _numbered(said: told.RequestTold) -> dict[tuple[str, str], set[int]]:
    """The numbers of the rows that entries commit to, by table and processor."""
    found: dict[tuple[str, str], set[int]] = defaultdict(set)
    for table, processor, number in said.rows:
        found[table, processor].add(number)
    return found


def _of_numbered(
    key: Key, at: tuple[str, str], found: Sequence[Row], said: told.RequestTold, committed: set[int]
) -> Iterator[Problem]:
    table, processor = at
    later, until = _LATER[table]
    place = f" at {processor}, {table}"
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
    key: Key, table: str, committed: Sequence[Kept], found: Sequence[Row], unseen: Collection[str] = ()
) -> Iterator[tuple[Sequence[str], str, bool]]:
    """What differs of rows that are only ever added: columns, what is wrong, and whether no entry tells of the row.

    The columns `unseen` are not compared.
    """

    def differs(kept: Kept, row: Row) -> list[str]:
        return [column for column in differing(key, kept.said, row) if column not in unseen]

    left, unmatched = list(found), []
    for kept in committed:
        match = next((row for row in left if not differs(kept, row)), None)
        if match is None:
            unmatched.append(kept)
        else:
            left.remove(match)
    for kept in unmatched:
        unlike = [(columns, row) for row in left if (columns := differs(kept, row))]
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
