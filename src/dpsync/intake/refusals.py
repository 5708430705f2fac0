"""What dpsync refused: counted, told to the operator, and never what it held.

Whoever signs well is our own main database, and often a program that sends once and forgets: then a refusal is
somebody's request that is lost with its legal dates, unless a person hears of it. A flood is one row a day and cause
that counts.
"""

import re
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Connection, Row, bindparam, func, select, update

from dpsync import telemetry
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert, renewed, told_of
from dpsync.intake.counting import Counting
from dpsync.intake.sources.rules import FOR_PEOPLE
from dpsync.propagation.controller import Controller
from dpsync.settings.opendsr import PREFIX
from dpsync.settings.sources import SIGNED_DOOR
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore
from dpsync.store.writer import Unit, Writer

_MAPPED = "source "
_OUTBOX = " outbox"  # no name of a source has a space in it


def mapped_door(source: str) -> str:
    """What the door of a main database with a shape of its own is called: never as a processor's."""
    return f"{_MAPPED}{source}"


def outbox_door(source: str) -> str:
    """What the outbox of a main database is called as a door: a refused row is still there."""
    return f"{_MAPPED}{source}{_OUTBOX}"


def _is_signed_door(source: str) -> bool:
    return source == SIGNED_DOOR or source.startswith(_MAPPED)


CAUSE = AlertCause.REQUESTS_REFUSED
_FROM_US = (
    "Signed by your own main database: dpsync does not have the request, and nobody acts on it, while its legal "
    "dates run on."
)
_FOR_PEOPLE = (
    "A rule of your own mapping refuses this change, because a person must look at it: find it in the main database. "
    "If somebody asked for something, enter it by `dpsync submit`."
)
_FROM_AN_OUTBOX = (
    "Rows in the outbox of your own main database, marked `refused` there, with the reason: correct the mapping, and "
    "set their state to `new` again. Nobody acts on them before, while their legal dates run on."
)
_BY_OPENDSR = (
    "Handed over by a controller, which heard why dpsync does not take it. Nobody acts on it unless that controller "
    "corrects it and sends it again under a new id: ask there, if nothing comes."
)
_FROM_A_PROCESSOR = "Sent by a processor: dpsync does not know what it wanted to report."
CODE = "DP-322"
_F = t.refusal.c
_DIGITS = re.compile(r"[0-9]+")
# The plain form of an id, which no address has; and seven digits with nothing but marks may be a telephone number.
_PLAIN = re.compile(r"(?!(?:[-_.:]*[0-9]){7,}[-_.:]*$)[A-Za-z0-9_.:-]{1,80}")
_BETWEEN_CLAIMS = timedelta(minutes=1)

UNSEEN = "too large, so dpsync did not check the signature"
"""Why nobody can say who sent it."""


Kind: TypeAlias = tuple[str, int, str, bool]
"""Refusals that are counted together: source, status, field, whether a person must hear of it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One kind of refusal: HTTP `status`, and the `field` it is about, in our names and without numbers.

    `told`: whether a person must hear of it, because whoever was refused is one of ours. `told_elsewhere`: it is one of
    ours, and another alert says so. `claimed`: it carried a signature that was not found good, or not looked at.
    `problem`: a phrase of ours.
    """

    source: str
    status: int
    field: str = ""
    told: bool = True
    problem: str = ""
    told_elsewhere: bool = False
    claimed: bool = False

    @property
    def kind(self) -> Kind:
        return self.source, self.status, _DIGITS.sub("*", self.field), self.told


class Refusals:
    """Counts refusals, and logs those that somebody must be able to look up."""

    def __init__(self, controller: Controller, writer: Writer) -> None:
        self._counting = Counting[Kind](writer, lambda unit, counts, now: keep(unit, controller, counts, now))
        self._lock = threading.Lock()
        self._claims: dict[Kind, datetime] = {}

    def note(self, refusal: Refusal, now: datetime, event_id: str = "") -> "Future[None]":
        """Count it, and log it where it is of ours, or claims to be. The future resolves as that of `Counting.note`."""
        if refusal.told or refusal.told_elsewhere or self._first_claim(refusal, now):
            telemetry.log("receiver").warning(
                "request refused",
                code=CODE,
                source=refusal.source.replace(" ", ":"),  # a log line has no word with a space in it
                status=refusal.status,
                field=refusal.kind[2],
                reason=refusal.problem,
                event_id=event_id if _PLAIN.fullmatch(event_id) else telemetry.WITHHELD,
            )
        return self._counting.note({refusal.kind: 1}, now)

    def _first_claim(self, refusal: Refusal, now: datetime) -> bool:
        """One line a minute of each kind: anybody can claim, and a flood must not bury the lines of ours."""
        with self._lock:
            last = self._claims.get(refusal.kind)
            if not refusal.claimed or (last is not None and abs(now - last) < _BETWEEN_CLAIMS):
                return False
            self._claims[refusal.kind] = now
            return True


_COUNT = (
    update(t.refusal)
    .where(
        _F.day == bindparam("of_day"),
        _F.source == bindparam("of_source"),
        _F.status == bindparam("of_status"),
        _F.field == bindparam("of_field"),
        _F.told == bindparam("of_told"),
    )
    .values(times=_F.times + bindparam("more"), last_at=bindparam("now"))
)


def keep(unit: Unit, controller: Controller, counts: Mapping[Kind, int], now: datetime) -> None:
    """Add what was refused to today's rows, and raise or renew the alert of those a person must hear of."""
    day = now.astimezone(controller.zone).date().isoformat()
    for (source, status, field, told), more in sorted(counts.items()):
        row = {"day": day, "source": source, "status": status, "field": field, "told": told}
        insert_or_ignore(unit.connection, t.refusal, {**row, "times": 0, "said": 0, "last_at": now})
        of_it = {"of_day": day, "of_source": source, "of_status": status, "of_field": field, "of_told": told}
        unit.connection.execute(_COUNT, {**of_it, "more": more, "now": now})
    if any(told for _, _, _, told in counts):
        _tell(unit.connection, controller, _unsaid(unit.connection, day, day), now)


def tell_of_rest(unit: Unit, controller: Controller, now: datetime) -> None:
    """Each morning: what was refused yesterday after the alert had gone."""
    today = now.astimezone(controller.zone).date()
    _tell(
        unit.connection,
        controller,
        _unsaid(unit.connection, (today - timedelta(days=7)).isoformat(), (today - timedelta(days=1)).isoformat()),
        now,
    )


def refused_since(connection: Connection, day: str) -> list[Row[Any]]:
    """The rows from that day on (ISO), the newest day first."""
    return list(
        connection.execute(
            select(t.refusal).where(_F.day >= day).order_by(_F.day.desc(), _F.source, _F.status, _F.field)
        )
    )


def refused_of_sources(connection: Connection) -> Mapping[str, int]:
    """How many were refused of each main database with a shape of its own, ever: signed by it, or out of its outbox."""
    ours = _F.source.startswith(_MAPPED) & (_F.told | (_F.status == 409))
    found: dict[str, int] = {}
    for door, times in connection.execute(select(_F.source, func.sum(_F.times)).where(ours).group_by(_F.source)):
        source = door.removeprefix(_MAPPED).removesuffix(_OUTBOX)
        found[source] = found.get(source, 0) + int(times)
    return found


def is_of_ours(row: Any) -> bool:
    """Whether its signature was found good. A conflict of event ids is told by an alert of its own."""
    return bool(row.told) or (_is_signed_door(row.source) and row.status == 409)


def is_unseen(row: Any) -> bool:
    """Whether it was too large for anybody to say who sent it."""
    return not row.told and row.status in {413, 431}


def phrase(row: Any) -> str:
    """One row in words: how often, with which status, about which field, from whom."""
    about = f", field {row.field}" if row.field else ""
    if row.status == 409 and not row.told:
        about = ", an event id used again with another body"
    return f"{row.times:,} times {row.status}{about}, from {row.source}"


def _unsaid(connection: Connection, first: str, last: str) -> list[Row[Any]]:
    owed = (_F.day >= first) & (_F.day <= last) & _F.told & (_F.times > _F.said)
    return list(connection.execute(select(t.refusal).where(owed).order_by(_F.day, _F.source, _F.status, _F.field)))


def _why(row: Row[Any]) -> str:
    if FOR_PEOPLE in row.field:
        return _FOR_PEOPLE
    if _is_signed_door(row.source) and row.source.endswith(_OUTBOX):
        return _FROM_AN_OUTBOX
    if row.source.startswith(mapped_door(PREFIX)):
        return _BY_OPENDSR
    return _FROM_US if _is_signed_door(row.source) else _FROM_A_PROCESSOR


def _tell(connection: Connection, controller: Controller, rows: list[Row[Any]], now: datetime) -> None:
    if not rows:
        return
    by_about = {f"{row.day} {row.source} {row.status} {row.field}": row for row in rows}
    concerns = [Concern(about, f"{row.day}: {phrase(row)}", why=_why(row)) for about, row in by_about.items()]
    before = told_of(connection, CAUSE, list(by_about), now, controller.zone)
    raise_alert(
        connection,
        cause=CAUSE,
        role="operator",
        subject="dpsync refused requests",
        body="Look at the sender's log, correct what it sends, and have it sent again. `dpsync check` shows how many "
        "there are by now.",
        now=now,
        zone=controller.zone,
        concerns=concerns,
    )
    for one in concerns:
        if one.about in before and not renewed(connection, CAUSE, one, now, controller.zone):
            continue  # the alert has gone: the rest is told in the morning
        row = by_about[one.about]
        of_it = (
            (_F.day == row.day)
            & (_F.source == row.source)
            & (_F.status == row.status)
            & (_F.field == row.field)
            & _F.told
        )
        connection.execute(update(t.refusal).where(of_it).values(said=row.times))
