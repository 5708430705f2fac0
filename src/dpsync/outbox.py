"""Sends what waits in the outbox, outside any transaction, by every channel that is set.

Told twice after a crash is possible, told never is not.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, exists, insert, select, update

from dpsync.alert_causes import cause_of
from dpsync.alerts import Concern, day_of, new_row
from dpsync.channels import Alert, AlertChannel, Delivery, MailChannel
from dpsync.store.tables import alert, alert_concern

T = TypeVar("T")

# Capped at ten minutes and without an end: the service promises fewer than 15 silent minutes after a channel recovers.
_WAITS = (timedelta(minutes=2), timedelta(minutes=5), timedelta(minutes=10))
_LONGEST_WAIT = timedelta(days=2)
_AT_ONCE = 50
_LINES_LENGTH = 3000


Linking = Callable[[Connection, str, Sequence[str], datetime], str]
"""Makes the link that the mail to a role carries, by what its concerns are about; "" where links are off."""


class Transact(Protocol):
    """Runs a short piece of work in a transaction and gives what it gave, after the commit."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class OutboxRun:
    """What one pass over the outbox did. `failing`: the channels that did not take something they were given."""

    sent: int = 0
    unsent: int = 0
    failing: tuple[str, ...] = field(default=())


class Outbox:
    """Sends what waits. Mail is the second channel: used where no other is set or took the alert, and for the DPO.

    An alert to the operator counts as sent when one channel took it; one to the DPO when their own address did, where
    there is mail: a chat room is the operators'. Told twice after a crash is possible, told never is not.
    """

    def __init__(
        self, channels: Sequence[AlertChannel], *, rehearsal: bool = False, link: Linking | None = None
    ) -> None:
        """`link` makes the link by which a role sees what it is about, in the transaction that claims the alert."""
        self._first = tuple(channel for channel in channels if not isinstance(channel, MailChannel))
        self._second = tuple(channel for channel in channels if isinstance(channel, MailChannel))
        self._prefix = "REHEARSAL: " if rehearsal else ""
        self._link = link or (lambda *_: "")
        self._took: dict[int, set[str]] = {}  # which channels have an alert that waits for another one

    def send_due(self, call: Transact, read: Transact, now: datetime) -> OutboxRun:
        """Send every alert that is due. `call` writes, `read` reads; neither is open while a channel is spoken to.

        Crash before the claim: nothing happened. Between claim and mark: it is due again after its wait.
        """
        rows = read(lambda connection: _due(connection, now))
        if not rows or not (self._first or self._second):
            return OutboxRun(unsent=len(rows))
        sent = unsent = 0
        failing: set[str] = set()
        for row in rows:
            message = call(lambda connection, row=row: self._claimed(connection, row, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
            if message is None:
                continue  # another process was faster
            deliveries = self._deliver(message, row)
            failing.update(delivery.channel for delivery in deliveries if not delivery.took)
            if self._is_sent(message, self._took[row.id]):
                call(lambda connection, row=row: _mark_sent(connection, row.id, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
                del self._took[row.id]
                sent += 1
            else:
                unsent += 1
        return OutboxRun(sent, unsent, tuple(sorted(failing)))

    def send_test(self, call: Transact, read: Transact, now: datetime, zone: tzinfo) -> tuple[Delivery, ...]:
        """Put a test alert into the real outbox and send it by *every* channel; what each server said.

        Taken by the server is not read by a person. If no channel takes it, it stays in the outbox and is tried again.
        """

        def work(connection: Connection) -> int:
            text = "This is a test. Nothing is wrong and there is nothing to do. `dpsync check` shows more."
            values = new_row(f"test:{now.isoformat()}", "operator", "Test of the alerts", text, now)
            # Due later, so that a running service does not take it out of our hands.
            values |= {"day": day_of(now, zone), "part": 1, "due_at": now + _WAITS[0]}
            made = connection.execute(insert(alert).values(values).returning(alert.c.id))
            return int(made.scalar_one())

        made = call(work)
        message = self._message(
            read(lambda connection: connection.execute(select(alert).where(alert.c.id == made)).one()), ()
        )
        first = [channel.send(message) for channel in self._first]
        deliveries = (*first, *(channel.send_as_letters_go(message) for channel in self._second))
        if any(delivery.took for delivery in deliveries):
            call(lambda connection: _mark_sent(connection, made, now))
        return deliveries

    def _claimed(self, connection: Connection, row: Row[Any], now: datetime) -> Alert | None:
        """What goes out, link included: whoever claims an alert has its link committed with it."""
        concerns = _claim(connection, row, now)
        if concerns is None:
            return None
        abouts = [one.about for one in concerns]
        return self._message(row, concerns, self._link(connection, row.role, abouts, now))

    def _deliver(self, message: Alert, row: Row[Any]) -> list[Delivery]:
        """By each channel that should have it and has not; those that took it are noted."""
        # A chat room is the operators'. What concerns the DPO goes to the DPO's own address as well.
        personal = message.role != "operator" and bool(self._second)
        # Whoever tried it before us may have told the rooms: while mail is down they need not hear it each ten minutes.
        rooms = () if personal and row.attempts > 1 and row.id not in self._took else self._first
        took = self._took.setdefault(row.id, set())
        deliveries = [channel.send(message) for channel in rooms if channel.name not in took]
        took.update(one.channel for one in deliveries if one.took)
        if personal or not took:
            letters = [channel.send(message) for channel in self._second if channel.name not in took]
            took.update(one.channel for one in letters if one.took)
            deliveries += letters
        return deliveries

    def _is_sent(self, message: Alert, took: set[str]) -> bool:
        """Whether those whom it is for have it."""
        own = {channel.name for channel in self._second}
        return bool(took & own) if own and message.role != "operator" else bool(took)

    def _message(self, row: Row[Any], concerns: Sequence[Concern], link: str = "") -> Alert:
        # A hash, not the row's number: after a restored back-up a number would come again for another alert.
        made_of = f"{row.cause}\n{row.day}\n{row.part}\n{row.created_at.isoformat()}"
        return Alert(
            id=hashlib.sha256(made_of.encode()).hexdigest()[:32],
            role=row.role,
            subject=self._prefix + row.subject + _places(concerns),
            body="\n\n".join(part for part in (row.body, _listed(concerns), _explained(row.cause)) if part),
            created_at=row.created_at,
            link=link,
        )


def _explained(stored: str) -> str:
    cause = cause_of(stored)
    return f"What this means, and what happens if nobody does anything: `dpsync explain {cause}`" if cause else ""


def _places(concerns: Sequence[Concern]) -> str:
    places = {one.place for one in concerns if one.place}
    if not places:
        return ""
    return f" ({places.pop()})" if len(places) == 1 else f" ({len(places)} processors)"


def _listed(concerns: Sequence[Concern]) -> str:
    """The concerns a line each, those with one reason under it; of very many the first, and how many there are."""
    lines: list[str] = []
    why, length = "", 0
    told = [one for one in concerns if one.text]
    for number, one in enumerate(told):
        length += len(one.text) + len(one.why if one.why != why else "")
        if length > _LINES_LENGTH:
            return "\n".join([*lines, f"- and {len(told) - number:,} more: `dpsync status` shows them"])
        if one.why != why:
            lines += ["", one.why] if lines else [one.why]
            why = one.why
        lines.append(f"- {one.text}")
    return "\n".join(lines)


def _due(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    # One that would wait longer than any does was put off by a clock that was ahead.
    due = (alert.c.due_at <= now) | (alert.c.due_at > now + _LONGEST_WAIT)
    waiting = alert.c.sent_at.is_(None) & due
    return connection.execute(select(alert).where(waiting).order_by(alert.c.due_at, alert.c.id).limit(_AT_ONCE)).all()


def reaches_nobody(connection: Connection, now: datetime) -> bool:
    """Whether an alert waits that no channel took at its second attempt, or that was not even tried in its time."""
    waits = alert.c.sent_at.is_(None) & ((alert.c.attempts > 1) | (alert.c.due_at <= now - _WAITS[-1]))
    return connection.execute(select(exists().where(waits))).scalar_one()


def _claim(connection: Connection, row: Row[Any], now: datetime) -> tuple[Concern, ...] | None:
    """Move it to its next time *before* sending: a second sender finds it gone, and a crash here is only a delay.

    Gives what it tells of: from here on nothing joins it, so that a repeat says the same. None where it was gone.
    """
    ours = (alert.c.id == row.id) & alert.c.sent_at.is_(None) & (alert.c.attempts == row.attempts)
    wait = _WAITS[min(row.attempts, len(_WAITS) - 1)]
    taken = connection.execute(update(alert).where(ours).values(due_at=now + wait, attempts=row.attempts + 1))
    if taken.rowcount != 1:
        return None
    c = alert_concern.c
    found = connection.execute(
        select(c.about, c.text, c.place, c.why).where(c.alert_id == row.id).order_by(c.why, c.place, c.about)
    )
    return tuple(Concern(one.about, one.text, one.place, one.why) for one in found)


def _mark_sent(connection: Connection, number: int, now: datetime) -> None:
    connection.execute(update(alert).where(alert.c.id == number).values(sent_at=now))
