"""Alerts: a durable outbox. Written in the transaction of what it tells of, sent outside any, gathered by cause.

One alert a cause and day, which lists all that it is about: whoever gets a mail for each of seven processors soon reads
none. What comes after it went is gathered for four hours and told once more that day, and after that the next morning.

What an alert may hold: our own ids, a processor's title, what to do. No personal data: it goes through chat services
and pagers that are processors themselves.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Literal, Protocol, TypeVar

from sqlalchemy import Connection, Row, func, insert, select, update

from dpsync.channels import Alert, Channel, Delivery, MailChannel
from dpsync.store.tables import alert, alert_concern
from dpsync.store.upsert import insert_missing, insert_or_ignore

T = TypeVar("T")
Role = Literal["operator", "dpo", "deputy"]

GATHERED_FOR = timedelta(hours=4)
"""How long what comes after the first alert of a cause waits for others of its kind."""

MORNING = time(7)
"""When what came after the second alert of a day is told, by the controller's own clock."""

# Capped at ten minutes and without an end: the service promises fewer than 15 silent minutes after a channel recovers.
_WAITS = (timedelta(minutes=2), timedelta(minutes=5), timedelta(minutes=10))
LONGEST_WAIT = timedelta(days=2)
_AT_ONCE = 50
_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement
_MOST_A_DAY = 2
_SUBJECT_LENGTH = 150
_BODY_LENGTH = 4000
_LINES_LENGTH = 3000
# Bounded, or a long text without an @ would take time with the square of its length.
_ADDRESS = re.compile(r"[^\s@<>()\[\]\"',;:]{1,254}@[^\s@<>()\[\]\"',;]+")


class Call(Protocol):
    """Runs a short piece of work in a transaction and gives what it gave, after the commit."""

    def __call__(self, work: Callable[[Connection], T], /) -> T: ...


# --- writing


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing that an alert tells of. `about` names it for us: it is told once a cause and day.

    `text`: its line, with the command to type. `place`: the title of the processor that it is about, "" for none;
    the subject names it, or how many there are. `why`: a sentence that its line, and those like it, stand under.
    """

    about: str
    text: str
    place: str = ""
    why: str = ""


def raise_alert(
    connection: Connection,
    *,
    cause: str,
    role: str,
    subject: str,
    body: str,
    now: datetime,
    zone: tzinfo,
    concerns: Sequence[Concern] = (),
    at_once: bool = False,
) -> bool:
    """Put an alert into the outbox, in the caller's transaction; False where all of it was told today already.

    `cause` is a fixed word; where two roles are told of one thing, it names the role too. What differs from one time
    to the next (request, processor, job) is a concern, so that many of them are one alert. `body` says what to do; one
    without concerns is told once a day. `zone` is the controller's: a day is a day on their wall. `at_once`: what comes
    after the first is not gathered, for whoever sees to it that there are few.
    Whatever looks like an address is struck out, not refused: a text that is wrong must not undo what it tells of.
    """
    wanted = {one.about: one for one in concerns or (Concern("", ""),)}
    for about in told_of(connection, cause, list(wanted), now, zone):
        del wanted[about]
    if not wanted:
        return False
    values = _row(cause, role, subject, body, now)
    number, day = _gathering(connection, cause, _day(now, zone)) or _begun(connection, values, zone, at_once=at_once)
    rows = [
        {
            "cause": cause,
            "day": day,
            "about": one.about,
            "alert_id": number,
            "place": _one_line(one.place),
            "why": _one_line(one.why),
            "text": _one_line(one.text),
        }
        for one in wanted.values()
    ]
    insert_missing(connection, alert_concern, rows)
    return True


def told_of(connection: Connection, cause: str, abouts: Sequence[str], now: datetime, zone: tzinfo) -> set[str]:
    """Those of `abouts` that an alert of this cause tells of today, or has gathered for tomorrow morning."""
    c = alert_concern.c
    # Not after tomorrow: what a clock told that was ahead is told anew.
    days = c.day.between(_day(now, zone), _day(now + timedelta(days=1), zone))
    of_cause = select(c.about).where(c.cause == cause, days)
    parts = [abouts[at : at + _IN_ONE] for at in range(0, len(abouts), _IN_ONE)]
    return {about for part in parts for about in connection.execute(of_cause.where(c.about.in_(part))).scalars()}


def renewed(connection: Connection, cause: str, concern: Concern, now: datetime, zone: tzinfo) -> bool:
    """Say a concern in other words where no channel was given its alert yet; whether that was so."""
    c, today = alert_concern.c, _day(now, zone)
    if _gathering(connection, cause, today) is None:
        return False
    waiting = select(alert.c.id).where(alert.c.cause == cause, alert.c.day >= today, _untouched())
    of_it = (c.cause == cause) & (c.day >= today) & (c.about == concern.about) & c.alert_id.in_(waiting)
    changed = connection.execute(update(alert_concern).where(of_it).values(text=_one_line(concern.text)))
    return bool(changed.rowcount)


def _gathering(connection: Connection, cause: str, today: str) -> tuple[int, str] | None:
    """The alert of this cause that no channel was given yet; it does not go before our commit."""
    waiting = select(func.min(alert.c.id)).where(alert.c.cause == cause, alert.c.day >= today, _untouched())
    held = update(alert).where(alert.c.id == waiting.scalar_subquery(), _untouched())
    found = connection.execute(held.values(attempts=0).returning(alert.c.id, alert.c.day)).first()
    return (found.id, found.day) if found else None


def _untouched() -> Any:
    return alert.c.sent_at.is_(None) & (alert.c.attempts == 0)


def _begun(connection: Connection, values: dict[str, Any], zone: tzinfo, *, at_once: bool) -> tuple[int, str]:
    """A new alert: the first of a day at once, the second when it has gathered, what comes then the next morning."""
    now = values["created_at"]
    today = _day(now, zone)
    of_today = (alert.c.cause == values["cause"]) & (alert.c.day == today)
    while True:
        parts, newest = connection.execute(select(func.count(), func.max(alert.c.created_at)).where(of_today)).one()
        day, part, due_at = today, parts + 1, now
        if parts >= _MOST_A_DAY and not at_once:
            tomorrow = now.astimezone(zone).date() + timedelta(days=1)
            day, part, due_at = tomorrow.isoformat(), 1, datetime.combine(tomorrow, MORNING, tzinfo=zone)
        elif parts and not at_once:
            due_at = max(now, newest + GATHERED_FOR)
        # Another process may have been faster, on PostgreSQL: then its alert takes ours in, or ours is the next.
        if insert_or_ignore(connection, alert, {**values, "day": day, "part": part, "due_at": due_at}):
            of_it = (alert.c.cause == values["cause"]) & (alert.c.day == day) & (alert.c.part == part)
            return connection.execute(select(alert.c.id).where(of_it)).scalar_one(), day
        if found := _gathering(connection, values["cause"], today):
            return found


def _row(cause: str, role: str, subject: str, body: str, now: datetime) -> dict[str, Any]:
    return {
        "cause": cause,
        "role": role,
        "subject": _one_line(subject)[:_SUBJECT_LENGTH],
        "body": _clean(body)[:_BODY_LENGTH],
        "created_at": now,
        "attempts": 0,
    }


def _day(now: datetime, zone: tzinfo) -> str:
    return now.astimezone(zone).date().isoformat()


def _clean(text: str) -> str:
    lines = _ADDRESS.sub("[address]", text).splitlines()
    return "\n".join("".join(sign for sign in line if sign.isprintable()) for line in lines)


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())


def tell_of_useless(connection: Connection, found: Mapping[str, str], now: datetime, zone: tzinfo) -> None:
    """Tell the operator of settings by which no alert can ever go; `found`: what is wrong, by key path."""
    raise_alert(
        connection,
        cause="channel-useless",
        role="operator",
        subject="A channel for alerts can never be used",
        body="Nothing is ever sent by it. Correct the URL that the setting points to, restart, and try it: "
        "`dpsync check --send-test`",
        now=now,
        zone=zone,
        concerns=[Concern(name, f"{name} {problem}") for name, problem in found.items()],
    )


# --- sending


@dataclass(frozen=True, slots=True)
class Sent:
    """What one pass over the outbox did. `failing`: the channels that did not take something they were given."""

    sent: int = 0
    unsent: int = 0
    failing: tuple[str, ...] = field(default=())


class Outbox:
    """Sends what waits. Mail is the second channel: used where no other is set or took the alert, and for the DPO.

    An alert counts as sent when one channel took it. Told twice after a crash is possible, told never is not.
    """

    def __init__(self, channels: Sequence[Channel], *, rehearsal: bool = False) -> None:
        self._first = tuple(channel for channel in channels if not isinstance(channel, MailChannel))
        self._second = tuple(channel for channel in channels if isinstance(channel, MailChannel))
        self._prefix = "REHEARSAL: " if rehearsal else ""

    def send_due(self, call: Call, read: Call, now: datetime) -> Sent:
        """Send every alert that is due. `call` writes, `read` reads; neither is open while a channel is spoken to.

        Crash before the claim: nothing happened. Between claim and mark: it is due again after its wait.
        """
        rows = read(lambda connection: _due(connection, now))
        if not rows or not (self._first or self._second):
            return Sent(unsent=len(rows))
        sent = unsent = 0
        failing: set[str] = set()
        for row in rows:
            concerns = call(lambda connection, row=row: _claim(connection, row, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
            if concerns is None:
                continue  # another process was faster
            deliveries = self._deliver(self._message(row, concerns))
            failing.update(delivery.channel for delivery in deliveries if not delivery.took)
            if any(delivery.took for delivery in deliveries):
                call(lambda connection, row=row: _mark_sent(connection, row.id, now))  # type: ignore[misc]  # because mypy does not infer a lambda's default
                sent += 1
            else:
                unsent += 1
        return Sent(sent, unsent, tuple(sorted(failing)))

    def send_test(self, call: Call, read: Call, now: datetime, zone: tzinfo) -> tuple[Delivery, ...]:
        """Put a test alert into the real outbox and send it by *every* channel; what each server said.

        Taken by the server is not read by a person. If no channel takes it, it stays in the outbox and is tried again.
        """

        def work(connection: Connection) -> int:
            text = "This is a test; nothing is wrong and there is nothing to do. `dpsync check` shows more."
            values = _row(f"test:{now.isoformat()}", "operator", "Test of the alerts", text, now)
            # Due later, so that a running service does not take it out of our hands.
            values |= {"day": _day(now, zone), "part": 1, "due_at": now + _WAITS[0]}
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

    def _deliver(self, message: Alert) -> list[Delivery]:
        deliveries = [channel.send(message) for channel in self._first]
        # A chat room is the operators'. What concerns the DPO goes to the DPO's own address as well.
        personal = message.role != "operator"
        if personal or not any(delivery.took for delivery in deliveries):
            deliveries.extend(channel.send(message) for channel in self._second)
        return deliveries

    def _message(self, row: Row[Any], concerns: Sequence[Concern]) -> Alert:
        # A hash, not the row's number: after a restored back-up a number would come again for another alert.
        made_of = f"{row.cause}\n{row.day}\n{row.part}\n{row.created_at.isoformat()}"
        return Alert(
            id=hashlib.sha256(made_of.encode()).hexdigest()[:32],
            role=row.role,
            subject=self._prefix + row.subject + _places(concerns),
            body=f"{row.body}\n\n{_listed(concerns)}".strip(),
            created_at=row.created_at,
        )


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
    due = (alert.c.due_at <= now) | (alert.c.due_at > now + LONGEST_WAIT)
    waiting = alert.c.sent_at.is_(None) & due
    return connection.execute(select(alert).where(waiting).order_by(alert.c.due_at, alert.c.id).limit(_AT_ONCE)).all()


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
