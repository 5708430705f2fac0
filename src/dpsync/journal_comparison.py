"""The journal compared with the database: what was accepted and is not there any more, and what the file lacks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select, tuple_

from dpsync.journal import MERGE_TOLD, AcceptedRequest, Stretch
from dpsync.store import meta
from dpsync.store import tables as t

MARK = "journal"
"""The row of `meta` that says up to where (bytes of the file, ordinal of the requests) the two were found equal."""

PAGE = 500
MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the journal and the database say of each other.

    `lost`: accepted, and not in the database. `short`: how many entries the ledger lacks. `alone`: in the database
    only; `unlisted` are those of them that the journal once listed. `requests`: how many were compared; `ordinal`: of
    the last of them, for `mark`.
    """

    lost: tuple[AcceptedRequest, ...]
    short: int
    alone: tuple[AcceptedRequest, ...]
    unlisted: tuple[str, ...]
    requests: int
    ordinal: int


def marked(connection: Connection) -> tuple[int, int] | None:
    """(bytes of the file, ordinal of the requests) up to which both were found equal; None before the first."""
    value = meta.value_of(connection, MARK)
    if value is None:
        return None
    end, _, ordinal = value.partition(" ")
    return int(end), int(ordinal)


def mark(connection: Connection, end: int, ordinal: int) -> None:
    """Remember up to where they are equal. In the database: one that is put back brings its own mark back with it."""
    meta.put(connection, MARK, f"{end} {ordinal}")


def compared(connection: Connection, told: Stretch, after: int, entries: int) -> Comparison:
    """Compare what was read before this view of the database began with the requests behind ordinal `after`.

    `entries`: how many the ledger has. What is accepted meanwhile may stand in the database alone, and never in the
    journal alone.
    """
    r = t.request.c
    rows = connection.execute(
        select(r.ordinal, r.id, r.source, r.event_id, r.accepted_at).where(r.ordinal > after).order_by(r.ordinal)
    ).all()
    known = {one.request_id for one in told.accepted}
    unknown = [row for row in rows if row.id not in known]
    alone = [AcceptedRequest(row.id, row.source, row.event_id, row.accepted_at) for row in unknown]
    equal = (marked(connection) or (0, 0))[1]
    return Comparison(
        lost=tuple(_lost(connection, told.accepted)),
        short=max(0, told.entries - entries),
        alone=tuple(alone),
        unlisted=tuple(row.id for row in unknown if row.ordinal <= equal),
        requests=len(rows),
        ordinal=max((row.ordinal for row in rows), default=after),
    )


def still_all(connection: Connection, after: int, seen: Comparison) -> bool:
    """Whether `seen` compared every request up to its last one, asked in a transaction that is alone.

    Where several receive at once (`store.beside`), ordinals are not in the order of the commits: one that was compared
    may have been committed before another with a smaller one.
    """
    r = t.request.c
    there = select(func.count()).where(r.ordinal > after, r.ordinal <= seen.ordinal)
    return bool(connection.execute(there).scalar_one() == seen.requests)


def _lost(connection: Connection, accepted: Sequence[AcceptedRequest]) -> Iterator[AcceptedRequest]:
    """By name, also those just read: so a damaged index is noticed, before anything is taken twice."""
    events = {(one.kind, one.source, one.event_id): one for one in accepted}
    for kind, table in (("request", t.request), ("withdrawal", t.withdrawal)):
        names = [(source, event) for of, source, event in events if of == kind]
        place = tuple_(table.c.source, table.c.event_id)
        for at in range(0, len(names), PAGE):
            asked = names[at : at + PAGE]
            there = {tuple(row) for row in connection.execute(select(*place.clauses).where(place.in_(asked)))}
            yield from (events[kind, *name] for name in asked if name not in there)
    merges = {one.request_id: one for one in accepted if one.kind == "merge"}
    s = t.shelf.c
    for at in range(0, len(merges), PAGE):
        marks = list(merges)[at : at + PAGE]
        known = select(s.key).where(s.processor == MERGE_TOLD, s.key.in_(marks))
        kept = set(connection.execute(known).scalars())
        yield from (merges[mark] for mark in marks if mark not in kept)


def counted(lost: Sequence[AcceptedRequest]) -> str:
    """How many there are of what was accepted, in words."""
    merges = sum(one.kind == "merge" for one in lost)
    requests = len(lost) - merges
    told = [f"{requests:,} request{'' if requests == 1 else 's'}"] if requests or not merges else []
    return " and ".join([*told, *([f"{merges:,} merge{'' if merges == 1 else 's'}"] if merges else [])])


def unlisted_sentence(ids: Sequence[str], path: Path) -> str:
    """That the journal lacks what it listed: somebody wrote in it who has its key."""
    named = ", ".join(ids[:MOST_NAMED])
    more = " and more" if len(ids) > MOST_NAMED else ""
    return (
        f"{path} does not list any more, although it did: {named}{more}. Restore the newest copy. If there is none, "
        f"rename it to {path.name}.gap: dpsync then begins another"
    )


def sentence_of(lost: Sequence[AcceptedRequest], short: int, path: Path, *, damaged: bool) -> str:
    """What is missing, and what a person can do. `damaged`: the journal may have told of more."""
    way_out = (
        "look for the database's newest files (with its -wal) and restore them together. If they are gone, tell the "
        "data protection officer, and go on with `dpsync recover --by NAME --reason WHY`: the main database must send "
        "all events since then again, under their old ids"
    )
    least = "at least " if damaged else ""
    if not lost:
        return f"the database lacks {least}{short:,} entries of the ledger that {path} tells of: {way_out}"
    first = min(one.at for one in lost)
    named = "; ".join(one.named if one.kind == "merge" else one.request_id for one in lost[:MOST_NAMED])
    more = f" and {len(lost) - MOST_NAMED} more" if len(lost) > MOST_NAMED else ""
    were = "was" if len(lost) == 1 else "were"
    return (
        f"{least}{counted(lost)} {were} accepted since {first:%d %b %Y %H:%M} UTC and "
        f"{'is' if len(lost) == 1 else 'are'} not in the database: {named}{more}. {way_out[0].upper()}{way_out[1:]}"
    )
