"""What the mail of a question says of each processor before it happens: looked up while it is made, by reading only.

It names no person: whether somebody was found, how many records, what would be called. The mail goes out whatever a
look meets, and says so.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from dpsync import telemetry
from dpsync.errors import Locked, TooSlow
from dpsync.installation import Installation
from dpsync.intake.matter import Matter, MatterPlace, matter_of
from dpsync.intake.planning import PAGE_WAITS, looks_of
from dpsync.lookup import Lookup, Presence, unknown
from dpsync.model import Request
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.points import QuestionKind, subject_of
from dpsync.propagation.questions import points_of
from dpsync.reports.plan_text import looked_up
from dpsync.reports.words import moment, several

TURN_WAITS: Final = PAGE_WAITS
"""Seconds that all questions of one turn wait together: other timed jobs come after them."""

KEPT_FOR: Final = timedelta(hours=1)
"""How long a plan is good for a mail that does not go: no processor is asked all night for a mail host that is away."""

NOT_MADE: Final = (
    "What would happen at each processor could not be looked up for this email. The page of the link looks again."
)
NOBODY: Final = unknown("nobody knows any more who it is about")
WIDTH: Final = 76


class QuestionPlans:
    """The plans of the questions that are to be mailed: made once for all roles, and kept until the mail goes."""

    def __init__(self, there: Installation) -> None:
        self._there = there
        self._kept: dict[str, tuple[datetime, tuple[str, ...]]] = {}
        self._turn: datetime | None = None
        self._ends = 0.0

    def of(self, row: Row[Any], now: datetime) -> tuple[str, ...]:
        """Paragraphs for the mail of a question; none where nothing is held that it asks about.

        `now` is the same for all questions of one turn. Raises nothing but the trouble of our own store.
        """
        if subject_of(points_of(row)) is not QuestionKind.HELD:
            return ()
        self._kept = {key: one for key, one in self._kept.items() if now - one[0] < KEPT_FOR}
        if row.request_id not in self._kept:
            try:
                self._kept[row.request_id] = now, self._made(row, now)
            except (SQLAlchemyError, Locked):
                raise
            except Exception as error:  # noqa: BLE001 - because a question without a plan is better than none
                telemetry.log("questions").warning("no plan for a question", error=error)
                return (NOT_MADE,)
        return self._kept[row.request_id][1]

    def _made(self, row: Row[Any], now: datetime) -> tuple[str, ...]:
        matter, request = self._there.read(partial(_opened, there=self._there, row=row, now=now))
        places = [place for place in matter.places if place.open]
        looks = self._looks(request, [place.name for place in places], now)
        seen = [(place, looks[place.name]) for place in places]
        at = moment(now, self._there.zone)
        return (
            f"What would happen, looked up on {at} by reading only. {_counted([one for _, one in seen])}",
            "\n".join(line for place, one in seen for line in _lines(place, one)),
        )

    def _looks(self, request: Request | None, names: Sequence[str], now: datetime) -> Mapping[str, Lookup]:
        """Raises `TooSlow` where the turn has waited long enough already."""
        if request is None:
            return dict.fromkeys(names, NOBODY)
        seconds = self._there.clock.monotonic()
        if self._turn != now:
            self._turn, self._ends = now, seconds + TURN_WAITS
        if seconds >= self._ends:
            raise TooSlow("the processors answer slowly: the other questions go without a plan")
        return looks_of(self._there, request, names, now, within=self._ends - seconds)


def _opened(connection: Connection, there: Installation, row: Row[Any], now: datetime) -> tuple[Matter, Request | None]:
    """Where the request stands, and what was asked; nobody is shown it, so nothing is recorded."""
    return matter_of(connection, there, row, None, now), asked_by(connection, there, row.request_id)


def _counted(looks: Sequence[Lookup]) -> str:
    """Where the person was found, in numbers that add up to all places where something is still to be done."""
    found, absent, open_ = (sum(one.presence is here for one in looks) for here in Presence)
    records = [one.records for one in looks if one.presence is Presence.FOUND]
    known = [one for one in records if one is not None]
    counted = f" ({several(sum(known), 'record')})" if known and len(known) == len(records) else ""
    said = f"found at {found}{counted}, not found at {absent}, could not be looked up at {open_}"
    return f"Of {several(len(looks), 'processor')}: {said}."


def _lines(place: MatterPlace, seen: Lookup) -> Iterator[str]:
    yield from _filled(place.title, "  ")
    yield from _filled(f"Is the person there: {looked_up(seen)}", "    ")
    yield from _filled(f"How it is told: {place.means[:1].lower()}{place.means[1:]}", "    ") if place.means else ()
    yield from _filled(f"What would be called: {', '.join(place.calls)}", "    ") if place.calls else ()


def _filled(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
