"""What a main database was told of a request, as steps of its story."""

from collections.abc import Iterator

from sqlalchemy import Connection, select

from dpsync.propagation.callbacks import CallbackKind
from dpsync.reports.story import Chapter
from dpsync.settings.sources import SIGNED_DOOR
from dpsync.store.callback_tables import callback

_THAT = {
    CallbackKind.COMPLETED: "every processor has done it, or holds nothing",
    CallbackKind.CLOSED: "the request is closed, and not every processor did it",
    CallbackKind.LATE: "the legal date is over",
    CallbackKind.CONTRADICTED: "a processor says done, and we looked and it is not",
    CallbackKind.OBSERVED: "the person opted out at a processor",
}


def callbacks_of(connection: Connection, request_id: str) -> Iterator[Chapter]:
    """Each message about the request: when it was taken, or since when it waits and why."""
    c = callback.c
    for row in connection.execute(select(callback).where(c.request_id == request_id).order_by(c.ordinal)):
        who = "the main database" + ("" if row.source == SIGNED_DOOR else f" ({row.source})")
        that = _THAT[CallbackKind(row.kind)]
        proofs = (f"webhook-id {row.id}",)
        if row.told_at is not None:
            yield Chapter(row.told_at, "", f"{who.capitalize()} took our message that {that}.", proofs)
        else:
            why = f" ({row.said})" if row.said else ""
            yield Chapter(row.made_at, "", f"Our message to {who} that {that} was not taken yet{why}.", proofs)
