"""That the person of a request was told: by which letter, when and how. dpsync sends the letter to nobody.

Whoever sends it records it here. Until then the last day for the letter is watched like a legal date.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, select

from dpsync.errors import DecisionRefused, NotFound
from dpsync.ledger.entry import EntryKind
from dpsync.model import DONE_STATES, Right, State
from dpsync.propagation.commitments import Keyring
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person, demand_request, remember
from dpsync.store import tables as t
from dpsync.store.writer import Unit

KIND = "told"
"""What it is called among the decisions."""

NOBODY_ASKED: Final = "nobody_asked"
"""What it is called that no letter is due: no person asked for it, or they took it back themselves."""


class LetterKind(StrEnum):
    """Which letter (GDPR Art. 12(3), 12(4), 17, 18(3), 19)."""

    ACTION = "action"
    ERASURE = "erasure"
    EXTENSION = "extension"
    REFUSAL = "refusal"
    LIFTING = "lifting"
    RECIPIENTS = "recipients"


ANSWERS = frozenset({LetterKind.ACTION, LetterKind.ERASURE, LetterKind.REFUSAL})
"""The letters that can answer a request. Whether one does, `answers` says."""


@dataclass(frozen=True, slots=True)
class Told:
    """One letter to the person. `how`: post, mail and so on; `digest`: SHA-256 of its text, "" where nobody gave it."""

    kind: LetterKind
    on: date
    how: str
    digest: str = ""

    @property
    def detail(self) -> str:
        """As the row keeps it; people read it, too."""
        return ", ".join([self.kind.value, self.on.isoformat(), self.how, *([self.digest] if self.digest else [])])


def must_fit(kind: LetterKind, right: Right, *, closed: bool, done: bool) -> None:
    """Raises `DecisionRefused` for a letter that such a request cannot have. `done`: at every processor."""
    if kind is LetterKind.REFUSAL and right is Right.OPT_OUT:
        raise DecisionRefused("an objection to marketing is absolute (Art. 21(3)): nobody can refuse it")
    if kind is LetterKind.REFUSAL and done:
        raise DecisionRefused("it is done everywhere: there is nothing left to refuse")
    if kind is LetterKind.EXTENSION and right is Right.OPT_OUT:
        raise DecisionRefused("an objection has 24 hours (Art. 21(3)) and cannot be extended")
    if kind is LetterKind.EXTENSION and closed:
        raise DecisionRefused("it is closed: there is nothing left to extend")
    if kind is LetterKind.LIFTING and right is not Right.RESTRICTION:
        raise DecisionRefused("only a restriction can be lifted")
    if kind is LetterKind.ERASURE and right is not Right.ERASURE:
        raise DecisionRefused("this is no erasure: choose another kind of letter")


def answers(told: Told, closed_on: date | None) -> bool:
    """Whether no letter is due after this one. What went before the request was closed said "not finished yet"."""
    if told.kind is LetterKind.REFUSAL:
        return True
    return told.kind in ANSWERS and closed_on is not None and told.on >= closed_on


def tell(unit: Unit, controller: Controller, request_id: str, told: Told, person: Person, now: datetime) -> Told:
    """Record that the person was told. Raises `NotFound`, `UsageError`, and `DecisionRefused` for an impossible day
    and for a letter that does not fit.
    """
    r, day_of = t.request.c, controller.legal_clock.day_of
    columns = select(r.received_at, r.right, r.closed_at)
    row = unit.connection.execute(columns.where(r.id == request_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no request {request_id}")
    received = row.received_at
    if told.on > day_of(now):
        raise DecisionRefused("the day on which the person was told is in the future: record it when it is done")
    if told.on < day_of(received):
        raise DecisionRefused(f"the request was received on {day_of(received):%d %b %Y}, which is later")
    closed = row.closed_at is not None and told.on >= day_of(row.closed_at)
    must_fit(told.kind, Right(row.right), closed=closed, done=closed and _done(unit.connection, request_id))
    entered: dict[str, str | int] = {"cause": told.kind.value, "told_on": told.on.isoformat(), "way": told.how}
    if told.digest:
        entered["digest"] = told.digest
    person.demand(reason=False)
    detail, event = told.detail, EntryKind.PERSON_TOLD
    remember(unit, controller, request_id, KIND, person, now, detail=detail, event=event, entered=entered)
    return told


def is_answered(connection: Connection, controller: Controller, request_id: str) -> bool:
    """Whether the person had a letter after which no other is due."""
    closed_at = connection.execute(select(t.request.c.closed_at).where(t.request.c.id == request_id)).scalar()
    closed_on = controller.legal_clock.day_of(closed_at) if closed_at else None
    d = t.decision.c
    excused = select(d.id).where(d.request_id == request_id, d.kind == NOBODY_ASKED).limit(1)
    if connection.execute(excused).first() is not None:
        return True
    return any(answers(one, closed_on) for one in all_told(connection, request_id))


def nobody_asked(unit: Unit, keyring: Keyring, request_id: str, person: Person, now: datetime) -> None:
    """Record that no letter is due, because no person asked for it, or they took it back themselves.

    Raises `NotFound`, `UsageError` without a reason, `DecisionRefused` for what is not stopped everywhere: of that the
    person hears.
    """
    person.demand(reason=True)
    if not is_withdrawn(unit.connection, request_id):
        demand_request(unit.connection, request_id)
        raise DecisionRefused("it is not stopped everywhere, so the person must hear of it")
    remember(unit, keyring, request_id, NOBODY_ASKED, person, now)


def is_withdrawn(connection: Connection, request_id: str) -> bool:
    """Whether a request was stopped at every processor, so that nothing was or will be done."""
    p = t.propagation.c
    states = connection.execute(select(p.state).where(p.request_id == request_id)).scalars().all()
    return bool(states) and set(states) == {State.WITHDRAWN}


def _done(connection: Connection, request_id: str) -> bool:
    p = t.propagation.c
    states = connection.execute(select(p.state).where(p.request_id == request_id)).scalars().all()
    return bool(states) and set(states) <= DONE_STATES


def all_told(connection: Connection, request_id: str) -> tuple[Told, ...]:
    """What the person of a request was told, in order."""
    d = t.decision.c
    rows = connection.execute(select(d.detail).where(d.request_id == request_id, d.kind == KIND).order_by(d.id))
    return tuple(read(detail) for detail in rows.scalars())


def read(detail: str) -> Told:
    """What a row says. Raises `ValueError`."""
    kind, on, how, *digest = detail.split(", ")
    return Told(LetterKind(kind), date.fromisoformat(on), how, *digest)
