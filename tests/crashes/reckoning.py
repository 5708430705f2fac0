"""What is counted after a round: by the vendor, by the mailbox, by the main database, and in the record."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from typing import Any

from sqlalchemy import Connection, Row, create_engine, func, select
from sqlalchemy.pool import NullPool

from dpsync.installation import Installation
from dpsync.model import DONE_STATES, State
from dpsync.sandbox.recipient import read
from dpsync.soundness import verify_ledger
from dpsync.store import tables as t
from tests.crashes.rounds import DESK, Asked, Round
from tests.crashes.serving import ClockAhead
from tests.invariants import account_faults, lane_faults, request_faults, timer_faults
from tests.journeys.installation import differences

DONE = frozenset(map(str, DONE_STATES))


@dataclass(frozen=True, slots=True)
class Figures:
    """What must all be 0; and what may be: letters that came once more with the same Message-ID, and what waits for a
    person.
    """

    lost: int
    false_done: int
    doubled: int
    letters_otherwise: int
    mismatches: int
    letters_again: int
    waiting: int


def still_open(url: str) -> dict[str, int]:
    """How much is not done, does not wait for an answer or a person, or stands without an answer; by what it is."""
    p = t.propagation.c
    resting = {*DONE, *map(str, (State.ACCEPTED, State.REFUSED, State.ESCALATED, State.CONTRADICTED))}
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        states = Counter(connection.execute(select(p.state).where(p.state.not_in(resting))).scalars())
        cut = connection.execute(select(func.count()).where(t.attempt.c.ended_at.is_(None))).scalar_one()
    engine.dispose()
    return {**states, **({"unanswered attempts": cut} if cut else {})}


def reckoned(one: Round) -> Figures:
    """The figures of a round; what is wrong is added to what it knows."""
    with Installation(one.folder / "dpsync.toml", one.environ, clock=ClockAhead(one.services.ahead)) as there:
        rows = there.read(lambda connection: connection.execute(_ROWS).all())
        journal = Counter(line.event_id for line in there.custody.journal.read().accepted)
        letters = there.read(lambda connection: connection.execute(select(t.notice)).all())
        there.custody.demand(there.read)
        mismatches = [*verify_ledger(there, full=True).problems, *differences(there), *there.read(_faults)]
    lost = [
        asked.event
        for asked in one.asked
        if asked.acknowledged
        and (len({row.id for row in rows if row.event_id == asked.event}) != 1 or not journal[asked.event])
    ]
    false = [
        row.event_id for row in rows if row.processor == "newsletter" and row.state in DONE and _is_false(one, row)
    ]
    twice = [asked.event for asked in one.asked if asked.right == "erasure" and _deleted_twice(one, asked)]
    otherwise, again = _letters(one, letters)
    waiting = sum(row.state in {State.REFUSED, State.ESCALATED, State.CONTRADICTED} for row in rows)
    one.wrong += [
        *(f"accepted and lost: {name}" for name in lost),
        *(f"called done and is not: {name}" for name in false),
        *(f"an irreversible effect twice: {name}" for name in twice),
        *(f"a letter again with another Message-ID: {name}" for name in otherwise),
        *(f"in the record: {name}" for name in mismatches),
    ]
    return Figures(len(lost), len(false), len(twice), len(otherwise), len(mismatches), again, waiting)


_ROWS = select(t.request.c.id, t.request.c.event_id, t.propagation.c.processor, t.propagation.c.state).join(
    t.propagation, t.propagation.c.request_id == t.request.c.id
)


def _faults(connection: Connection) -> list[str]:
    return [fault for look in (lane_faults, timer_faults, account_faults, request_faults) for fault in look(connection)]


def _is_false(one: Round, row: Any) -> bool:
    """Whether the vendor's own list says otherwise."""
    asked = next(asked for asked in one.asked if asked.event == row.event_id)
    held = [place for place in one.sandbox.holdings(asked.address) if place.status != "forgotten"]
    match asked.right:
        case "erasure":
            return bool(held)
        case "opt_out":
            return any(place.status == "subscribed" for place in held)
    return any(dict(place.merge_fields).get("FNAME") != "Ada" for place in held)


def _deleted_twice(one: Round, asked: Asked) -> bool:
    places = Counter(place for place, kind in one.sandbox.effects_on(asked.address) if kind == "deleted")
    return any(times > 1 for times in places.values())


def _letters(one: Round, known: Sequence[Row[Any]]) -> tuple[list[str], int]:
    """The propagations whose letter came with more than one Message-ID, letters that no row knows; and how many came
    again with the same.
    """
    rows = {row.message_id: f"{row.propagation_id}" for row in known}
    came = Counter(_ids(one))
    of = Counter(rows[name] for name in came if name in rows)
    otherwise = [*(name for name, ids in of.items() if ids > 1), *(name for name in came if name not in rows)]
    return otherwise, sum(times - 1 for times in came.values())


def _ids(one: Round) -> Iterator[str]:
    for message in one.sandbox.messages(DESK):
        if read(message.raw).data:  # an instruction, no question whether the address is theirs
            yield str(message_from_bytes(message.raw)["Message-ID"]).strip("<>")
