"""The longest that anything waits by itself. What would wait longer was written by a clock that was ahead.

Legal dates are no waits and are never touched; nor is the day by which an answer is owed, which letters have named.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sqlalchemy import Connection, case, func, literal, select, true, update

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.model import State
from dpsync.propagation.controller import Controller
from dpsync.propagation.rules import backoff
from dpsync.propagation.rules.event import Timer
from dpsync.store import tables as t

SLACK = timedelta(hours=1)
"""By so much clocks of two machines may differ, and a clock be put right, without that anything is thought of it."""
LONGEST_LANE = backoff.LONGEST_WISH
LONGEST_COOLING_OFF = timedelta(days=30)
LONGEST_ANSWER = timedelta(days=90)
"""How long an answer may take at a processor that names the day itself."""
HEARTBEAT = timedelta(minutes=1)
LONGEST_SILENCE = timedelta(days=92)
"""Timed jobs leave a time every minute, `run-once` each time: a quarter without any is a stop, or a wrong clock."""

_L, _A, _P, _W = t.lane.c, t.account.c, t.propagation.c, t.worker.c


def shorten(connection: Connection, controller: Controller, account_ids: Collection[str], now: datetime) -> None:
    """Let nothing at these accounts wait beyond the longest that it can be meant to.

    A lane and a reading are due at once: a call too early does no harm. What is promised to people is only brought
    back to the whole of its time from now: a cooling-off, and the wait for an answer. So is the last reading, for
    reports say of it that it came 30 days later.
    """
    late = now + LONGEST_LANE + SLACK
    lanes = _L.account_id.in_(account_ids)
    connection.execute(update(t.lane).where(lanes, _L.due_at > late).values(due_at=now))
    connection.execute(update(t.lane).where(lanes, _L.kept_due_at > late).values(kept_due_at=now))
    paused = (_A.id.in_(account_ids)) & (_A.paused_until > late)
    connection.execute(update(t.account).where(paused).values(paused_until=now))
    for timer, (longest, then) in _timers(controller).items():
        beyond = _P.account_id.in_(account_ids) & (_P.timer == timer.value) & (_P.timer_at > now + longest + SLACK)
        whole, brought = (literal(now + span, _P.timer_at.type) for span in (longest, then))
        at = case((_P.state == State.VERIFIED.value, whole), else_=brought)
        connection.execute(update(t.propagation).where(beyond).values(timer_at=at))


def _timers(controller: Controller) -> dict[Timer, tuple[timedelta, timedelta]]:
    """How long each timer runs at most, and for how long one that runs longer is set from now."""
    cooling_off = controller.safety.cools_for
    answer = max((LONGEST_ANSWER, *(one.answer_within for one in controller.processors.values())))
    return {
        Timer.COOLING_OFF: (max(cooling_off, LONGEST_COOLING_OFF), cooling_off),
        Timer.REREAD: (backoff.STILL_VERIFIED_AFTER, timedelta(0)),
        Timer.REMIND: (answer, answer),
        Timer.ESCALATE: (answer, answer),
    }


def shorten_beats(connection: Connection, now: datetime, lease: timedelta) -> None:
    """Let no sign of life hold for longer than one given now would: a living worker gives its next one long before."""
    beyond = _W.beat_until > now + lease + HEARTBEAT
    connection.execute(update(t.worker).where(beyond).values(beat_until=now + lease))


@dataclass(frozen=True, slots=True)
class WrongClock:
    """That this clock and what is stored do not fit. `about`: of which stored time, so that it is told once."""

    subject: str
    body: str
    about: str


def clock_trouble(
    connection: Connection, now: datetime, zone: tzinfo, shared: datetime | None = None
) -> WrongClock | None:
    """What is wrong between this machine's clock and what is stored; None where both may be right.

    `shared`: what the database server's clock says, where that is another machine's. Nothing stored for so long that
    either nothing ran or the clock jumped is trouble too.
    """
    here, newest = _shown(now, zone), newest_time(connection)
    if newest is not None and newest > now + SLACK:
        return WrongClock(
            "The clock is behind what is stored",
            f"The newest row is of {_shown(newest, zone)}, and now it is {here}. Either the clock is wrong now, or it "
            "was ahead. Correct it (timedatectl). dpsync now does the work that waited for a later time. The legal "
            "dates of requests that came in while the clock was wrong are wrong too: see `dpsync status`.",
            newest.isoformat(),
        )
    return clock_ahead(connection, now, zone, shared)


def clock_ahead(
    connection: Connection, now: datetime, zone: tzinfo, shared: datetime | None = None
) -> WrongClock | None:
    """The same, but nothing of a clock that only is behind: what was written while it was ahead stays for years."""
    here = _shown(now, zone)
    if shared is not None and not now - SLACK <= shared <= now + SLACK:
        return WrongClock(
            "The clock is not the same as the database server's",
            f"PostgreSQL says {_shown(shared, zone)}, and here it is {here}. One of the two is wrong: correct it "
            "(timedatectl). Legal dates follow the clock here.",
            f"server {now:%Y-%m-%d}",
        )
    before = newest_time(connection, now - SLACK)
    if before is not None and before < now - LONGEST_SILENCE:
        return WrongClock(
            "The clock is far ahead of what is stored",
            f"Before the last hour, the newest row is of {_shown(before, zone)}, and now it is {here}. Either "
            "nothing ran in between, or the clock is wrong. If it is wrong, stop the service and correct the clock "
            "(timedatectl) before any request comes in.",
            before.isoformat(),
        )
    return None


def tell_of_clock(connection: Connection, trouble: WrongClock, now: datetime, zone: tzinfo) -> None:
    """Tell the operator, once for each stored time."""
    c = t.alert_concern.c
    if connection.execute(select(c.about).where(c.cause == "clock", c.about == trouble.about).limit(1)).first():
        return
    raise_alert(
        connection,
        cause=AlertCause.CLOCK,
        role="operator",
        subject=trouble.subject,
        body=trouble.body,
        now=now,
        zone=zone,
        concerns=(Concern(trouble.about, "the clock"),),
    )


def _shown(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%d %b %Y %H:%M}"


def newest_time(connection: Connection, before: datetime | None = None) -> datetime | None:
    """The newest moment that is stored, as far as the newest row of each kind tells; None for nothing.

    `before`: of those that are earlier, so that what a clock wrote since it jumped does not speak for it.
    """
    signed, ran = t.checkpoint.c.at, t.job.c.last_ok_at
    newest = (
        select(t.request.c.accepted_at).order_by(t.request.c.ordinal.desc()).limit(1),
        select(t.attempt.c.begun_at).order_by(t.attempt.c.id.desc()).limit(1),
        select(func.max(signed)).where(true() if before is None else signed < before),
        select(func.max(ran)).where(true() if before is None else ran < before),
    )
    found = [connection.execute(one).scalar_one_or_none() for one in newest]
    return max((one for one in found if one is not None and (before is None or one < before)), default=None)
