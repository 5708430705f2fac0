"""What main databases were told: of one request, as steps of its story, and of all in a period, as numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from dpsync.propagation import notes
from dpsync.propagation.callbacks import NOT_WANTED, CallbackKind
from dpsync.reports.story import Chapter
from dpsync.settings.opendsr import PREFIX
from dpsync.settings.sources import SIGNED_DOOR
from dpsync.store.callback_tables import callback

_THAT = {
    CallbackKind.COMPLETED: "every processor has done it, or holds nothing",
    CallbackKind.CLOSED: "the request is closed, and not every processor did it",
    CallbackKind.LATE: "the legal date is over",
    CallbackKind.CONTRADICTED: "a processor says done, and we looked and it is not",
    CallbackKind.IN_PROGRESS: "the request is under way",
    CallbackKind.OBSERVED: "the person opted out at a processor",
    CallbackKind.REMINDER: "its outcome is owed",
    CallbackKind.WITHDRAWN: "the request was withdrawn",
}


def callbacks_of(connection: Connection, request_id: str) -> Iterator[Chapter]:
    """Each message about the request: when it was taken, or since when it waits and why."""
    c = callback.c
    about = (c.request_id == request_id) & (c.said != NOT_WANTED)
    for row in connection.execute(select(callback).where(about).order_by(c.ordinal)):
        who = _receiver(row.source)
        that = _THAT[CallbackKind(row.kind)]
        proofs = (f"webhook-id {row.id}",)
        if row.told_at is not None:
            yield Chapter(row.told_at, "", f"{who[0].upper()}{who[1:]} took our message that {that}.", proofs)
            continue
        why = f" ({row.said})" if row.said else ""
        if row.dropped_at is not None:
            told = f"Our message to {who} that {that} was given up, and never taken{why}."
            yield Chapter(row.dropped_at, "", told, proofs)
        else:
            yield Chapter(row.made_at, "", f"Our message to {who} that {that} was not taken yet{why}.", proofs)


def _receiver(source: str) -> str:
    if source.startswith(notes.PREFIX):
        return f"the processor ({source.removeprefix(notes.PREFIX)})"
    if source.startswith(PREFIX):
        return f"the controller {source.removeprefix(PREFIX)} (by OpenDSR)"
    return "the main database" + ("" if source == SIGNED_DOOR else f" ({source})")


@dataclass(frozen=True, slots=True)
class CallbacksLine:
    """How many messages one main database took within a period, has yet to take, and never took: we gave them up."""

    source: str
    taken: int
    tried: int
    given_up: int

    @property
    def said(self) -> str:
        """The three numbers in words."""
        return f"{self.source}: {self.taken:,} taken, {self.tried:,} still tried, {self.given_up:,} given up"


def callback_lines(connection: Connection, begin: datetime, end: datetime) -> tuple[CallbacksLine, ...]:
    """Of each main database of which there is anything to tell: from `begin` until before `end`, and what waits now."""
    c = callback.c
    numbers = (
        func.count().filter(c.told_at >= begin, c.told_at < end),
        func.count().filter(c.told_at.is_(None), c.dropped_at.is_(None)),
        func.count().filter(c.dropped_at >= begin, c.dropped_at < end),
    )
    wanted = select(c.source, *numbers).where(c.said != NOT_WANTED)
    found = connection.execute(wanted.group_by(c.source).order_by(c.source))
    return tuple(CallbacksLine(*row) for row in found if any(row[1:]) and not row.source.startswith(notes.PREFIX))
