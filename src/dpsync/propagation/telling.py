"""That the person of a request was told: by which letter, when and how. dpsync sends the letter to nobody.

Whoever sends it records it here. Until then the last day for the letter is watched like a legal date.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import Connection, select

from dpsync.errors import DecisionRefused, NotFound
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.propagation.noting import note
from dpsync.store import tables as t
from dpsync.store.writer import Unit

KIND = "told"
"""What it is called among the decisions."""


class LetterKind(StrEnum):
    """Which letter (GDPR Art. 12(3), 12(4), 17, 18(3), 19)."""

    ACTION = "action"
    ERASURE = "erasure"
    EXTENSION = "extension"
    REFUSAL = "refusal"
    LIFTING = "lifting"
    RECIPIENTS = "recipients"


ANSWERS = frozenset({LetterKind.ACTION, LetterKind.ERASURE, LetterKind.REFUSAL})
"""The letters that answer a request: after one of them, no last day is watched any more."""


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


def tell(unit: Unit, controller: Controller, request_id: str, told: Told, person: Person, now: datetime) -> Told:
    """Record that the person was told. Raises `NotFound`, `UsageError`, and `DecisionRefused` for an impossible day."""
    r, day_of = t.request.c, controller.legal_clock.day_of
    received = unit.connection.execute(select(r.received_at).where(r.id == request_id)).scalar_one_or_none()
    if received is None:
        raise NotFound(f"there is no request {request_id}")
    if told.on > day_of(now):
        raise DecisionRefused("the day on which the person was told is in the future: record it when it is done")
    if told.on < day_of(received):
        raise DecisionRefused(f"the request was received on {day_of(received):%d %b %Y}, which is later")
    entered: dict[str, str | int] = {"cause": told.kind.value, "told_on": told.on.isoformat(), "way": told.how}
    if told.digest:
        entered["digest"] = told.digest
    kind, event = KIND, EntryKind.PERSON_TOLD
    note(unit, controller, request_id, kind, told.detail, person, now, event=event, entered=entered)
    return told


def all_told(connection: Connection, request_id: str) -> tuple[Told, ...]:
    """What the person of a request was told, in order."""
    d = t.decision.c
    rows = connection.execute(select(d.detail).where(d.request_id == request_id, d.kind == KIND).order_by(d.id))
    return tuple(read(detail) for detail in rows.scalars())


def read(detail: str) -> Told:
    """What a row says. Raises `ValueError`."""
    kind, on, how, *digest = detail.split(", ")
    return Told(LetterKind(kind), date.fromisoformat(on), how, *digest)
