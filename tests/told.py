"""What the outbox tells, as a channel gets it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from dpsync.store import tables as t

Read = Callable[[Callable[[Connection], Any]], Any]


class Told(NamedTuple):
    """One alert: its lines stand in `concerns`, in the order of what they are about."""

    role: str
    cause: str
    subject: str
    body: str
    concerns: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join([self.body, *self.concerns])


def told_by(read: Read) -> list[Told]:
    """Every alert with its lines, the oldest first."""

    def work(connection: Connection) -> list[Told]:
        lines: dict[int, list[str]] = {}
        for row in connection.execute(select(t.alert_concern).order_by(t.alert_concern.c.about)):
            lines.setdefault(row.alert_id, []).extend(filter(None, [row.why, row.text]))
        rows: Sequence[Any] = connection.execute(select(t.alert).order_by(t.alert.c.id)).all()
        return [Told(row.role, row.cause, row.subject, row.body, tuple(lines.get(row.id, ()))) for row in rows]

    found: list[Told] = read(work)
    return found
