"""Alerts: a durable outbox. Written in the transaction of what it tells of, sent outside any, gathered by cause.

One alert a cause and day, which lists all that it is about: whoever gets a mail for each of seven processors soon reads
none. What comes after it went is gathered for four hours and told once more that day, and after that the next morning.

What an alert may hold: our own ids, a processor's title, what to do. No personal data: it goes through chat services
and pagers that are processors themselves.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select, update

from dpsync.alert_causes import AlertCause
from dpsync.store.beside import alone
from dpsync.store.tables import alert, alert_concern
from dpsync.store.upsert import insert_missing, insert_or_ignore

K = TypeVar("K")

GATHERED_FOR = timedelta(hours=4)
"""How long what comes after the first alert of a cause waits for others of its kind."""

MORNING = time(7)
"""When what came after the second alert of a day is told, by the controller's own clock."""

MOST_NAMED = 200
"""So many of one processor are concerns each for itself. Nobody reads more, and a vendor that is down for days would
make a row of each a day: of more, one concern says how many there are."""

MOST_CONCERNS = 2_000
"""So many of all processors together are."""

_IN_ONE = 500  # SQLite takes a bounded number of parameters in one statement
_MOST_A_DAY = 2
_SUBJECT_LENGTH = 150
_BODY_LENGTH = 4000
# Bounded, or a long text without an @ would take time with the square of its length.
_ADDRESS = re.compile(r"[^\s@<>()\[\]\"',;:]{1,254}@[^\s@<>()\[\]\"',;]+")


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


def few(numbers: Mapping[K, int]) -> set[K]:
    """Of whom there are so few that each is a concern for itself, by how many there are of each: the smallest first."""
    found, together = set(), 0
    for one, number in sorted(numbers.items(), key=lambda item: item[1]):
        together += number
        if number <= MOST_NAMED and together <= MOST_CONCERNS:
            found.add(one)
    return found


def raise_alert(
    connection: Connection,
    *,
    cause: AlertCause,
    role: str,
    subject: str,
    body: str,
    now: datetime,
    zone: tzinfo,
    concerns: Sequence[Concern] = (),
    at_once: bool = False,
    also: bool = False,
) -> bool:
    """Put an alert into the outbox, in the caller's transaction; False where all of it was told today already.

    What differs from one time to the next (request, processor, job) is a concern, so that many of them are one alert.
    `also`: another role is told of the same thing, by an alert of its own. `body` says what to do; one
    without concerns is told once a day. `zone` is the controller's: a day is a day on their wall. `at_once`: what comes
    after the first is not gathered, for whoever sees to it that there are few.
    Whatever looks like an address is struck out, not refused: a text that is wrong must not undo what it tells of.
    """
    word = f"{cause}-{role}" if also else str(cause)
    alone(connection)  # what is gathered into one alert is looked for first
    wanted = {one.about: one for one in concerns or (Concern("", ""),)}
    for about in told_of(connection, word, list(wanted), now, zone):
        del wanted[about]
    if not wanted:
        return False
    values = new_row(word, role, subject, body, now)
    number, day = _gathering(connection, word, day_of(now, zone)) or _begun(connection, values, zone, at_once=at_once)
    insert_missing(connection, alert_concern, [_concern_row(word, day, number, one) for one in wanted.values()])
    return True


def last_said(connection: Connection, cause: AlertCause, name: str) -> tuple[datetime, str] | None:
    """When an alert of this cause last began to tell something of `name`, and what; None where none does."""
    c = alert_concern.c
    query = select(alert.c.created_at, c.text).join(alert, alert.c.id == c.alert_id)
    mine = query.where(c.cause == str(cause), c.text.startswith(f"{name}: ", autoescape=True))
    row = connection.execute(mine.order_by(alert.c.created_at.desc(), c.alert_id.desc()).limit(1)).one_or_none()
    return (row.created_at, row.text) if row else None


def told_of(
    connection: Connection,
    cause: str,
    abouts: Sequence[str],
    now: datetime,
    zone: tzinfo,
    *,
    back: timedelta = timedelta(0),
) -> set[str]:
    """Those of `abouts` that an alert of this cause tells of today, or has gathered for tomorrow morning.

    `back`: those, too, of which one told on a day that is less than so long ago.
    """
    c = alert_concern.c
    # Not after tomorrow: what a clock told that was ahead is told anew.
    first = day_of(now - back + timedelta(days=1), zone) if back else day_of(now, zone)
    days = c.day.between(first, day_of(now + timedelta(days=1), zone))
    of_cause = select(c.about).where(c.cause == str(cause), days)
    parts = [abouts[at : at + _IN_ONE] for at in range(0, len(abouts), _IN_ONE)]
    return {about for part in parts for about in connection.execute(of_cause.where(c.about.in_(part))).scalars()}


def renewed(connection: Connection, cause: str, concern: Concern, now: datetime, zone: tzinfo) -> bool:
    """Say a concern in other words where no channel was given its alert yet; whether that was so."""
    c, today, cause = alert_concern.c, day_of(now, zone), str(cause)
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
    today = day_of(now, zone)
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


def new_row(cause: str, role: str, subject: str, body: str, now: datetime) -> dict[str, Any]:
    """The values of an alert that nobody was given yet, cleaned of what looks like an address."""
    return {
        "cause": cause,
        "role": role,
        "subject": _one_line(subject)[:_SUBJECT_LENGTH],
        "body": _clean(body)[:_BODY_LENGTH],
        "created_at": now,
        "attempts": 0,
    }


def _concern_row(cause: str, day: str, number: int, concern: Concern) -> dict[str, Any]:
    words = {"place": concern.place, "why": concern.why, "text": concern.text}
    shown = {name: _one_line(text) for name, text in words.items()}
    return {"cause": cause, "day": day, "about": concern.about, "alert_id": number, **shown}


def day_of(now: datetime, zone: tzinfo) -> str:
    """The day on the controller's wall."""
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
        cause=AlertCause.CHANNEL_USELESS,
        role="operator",
        subject="A channel for alerts can never be used",
        body="It never sends anything. Correct the URL that the setting points to, restart, and try it: "
        "`dpsync check --send-test`",
        now=now,
        zone=zone,
        concerns=[Concern(name, f"{name} {problem}") for name, problem in found.items()],
    )
