"""The levels of the ladder: which there are, who hears of each, and when something open has reached one. Pure.

Sources: docs on the legal dates; GDPR Art. 12(3), 19, 21(3).
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from dpsync.alert_causes import AlertCause
from dpsync.model import Right


@dataclass(frozen=True, slots=True)
class Open:
    """An open propagation, as the ladder sees it. `told`: whether the processor has our instruction."""

    request_id: str
    processor: str
    right: Right
    received_at: datetime
    target_at: datetime
    strict_on: date
    due_on: date
    due_at: datetime
    told: bool

    @property
    def about(self) -> str:
        """What it is called among the concerns of an alert."""
        return f"{self.request_id}/{self.processor}"

    @property
    def dates(self) -> "Dates":
        """What a level goes by."""
        return Dates(self.right.value, self.received_at, self.target_at, self.strict_on.isoformat(), self.due_at)


@dataclass(frozen=True, slots=True)
class Level:
    """A step of the ladder: who hears of it, and its alert's cause. `after`: at which age, where hours are counted.

    `more`: what its alert says besides, such as a letter that is ready to send.
    """

    cause: AlertCause
    role: str
    sentence: str
    after: timedelta | None = None
    more: str = ""


STOP_OPERATOR = Level(
    AlertCause.OPT_OUT_4H, "operator", "An opt-out is not done four hours after it was received", timedelta(hours=4)
)
STOP_DPO = Level(
    AlertCause.OPT_OUT_12H, "dpo", "An opt-out is not done twelve hours after it was received", timedelta(hours=12)
)
STOP_OVERDUE = Level(
    AlertCause.OPT_OUT_OVERDUE, "dpo", "An opt-out is overdue: it had 24 hours (Art. 21(3))", timedelta(hours=24)
)
TARGET = Level(AlertCause.TARGET, "operator", "Not done within the target of 72 hours")
TARGET_DPO = Level(AlertCause.TARGET_DPO, "dpo", "Not done a day after the target of 72 hours")
DAY_SEVEN = Level(
    AlertCause.DAY_7,
    "dpo",
    "Not done after seven days: write to the processor",
    more="To each processor that has our instruction, you can send this letter, with the line of its request from "
    "below:\n\n"
    "  More than seven days ago we instructed you to carry out the request of a data subject that is named here. We "
    "have no proof that it is done. You must carry out our instructions, help us answer data subjects, and show us "
    "that you do (Art. 28(3)(a), (e) and (h) UK GDPR and GDPR; Art. 19). Please tell us in writing within three "
    "working days what you have done and when, or why you have not. If you have passed the data on, please tell those "
    "who have it, and tell us who they are. Please quote our request number. We send you no name in this letter, "
    "because you have it from us already.",
)
NEAR = Level(AlertCause.NEAR, "dpo", "The legal date is near")
OVERDUE = Level(AlertCause.OVERDUE, "dpo", "Overdue: the legal date has passed")
LEVELS: Final = (STOP_OVERDUE, STOP_DPO, STOP_OPERATOR, OVERDUE, NEAR, DAY_SEVEN, TARGET_DPO, TARGET)
"""The loudest first."""


class Dates(NamedTuple):
    """What a level goes by: values of one propagation, or the columns of all. `strict_on` is an ISO date as text."""

    right: Any
    received_at: Any
    target_at: Any
    strict_on: Any
    due_at: Any


def reached(of: Dates, now: datetime, today: date) -> list[tuple[Level, Any]]:
    """Each level, the loudest first, with whether it is reached: of columns, the condition. So the database counts by
    the same rule by which one is judged.
    """
    stop, other = of.right == Right.OPT_OUT.value, of.right != Right.OPT_OUT.value
    soon, week = today + timedelta(days=2), today + timedelta(days=7)
    hours = [(level, stop & (of.received_at <= now - level.after)) for level in LEVELS if level.after]
    return [
        *hours,
        (OVERDUE, other & (of.due_at <= now)),
        (NEAR, other & ((of.strict_on <= soon.isoformat()) | (of.strict_on == week.isoformat()))),
        (DAY_SEVEN, other & (of.received_at <= now - timedelta(days=7))),
        (TARGET_DPO, other & (of.target_at <= now - timedelta(days=1))),
        (TARGET, other & (of.target_at <= now)),
    ]


def reaches_next(of: Dates, after: timedelta, now: datetime) -> Any:
    """Whether an opt-out is younger than a level's hours, and so reaches it next; of columns, the condition."""
    return (of.right == Right.OPT_OUT.value) & (of.received_at > now - after)


def level_of(one: Open, now: datetime, today: date) -> Level | None:
    """The level that one open propagation has reached, the loudest only."""
    return next((level for level, so in reached(one.dates, now, today) if so), None)


def is_named(one: Open, level: Level, now: datetime, today: date) -> bool:
    """Whether an alert of this level names it: it has reached the level, or reaches its hours next."""
    coming = level.after is not None and reaches_next(one.dates, level.after, now)
    return bool(coming) or level_of(one, now, today) is level
