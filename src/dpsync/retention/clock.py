"""How long a private conversation may stay where it is kept, and what follows from having seen it again. Pure.

The rule is the controller's own promise to people ("three months, no longer"), so it counts in calendar months of the
controller's zone and knows no working days: 31 August and three months is 30 November, never 90 days.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from dpsync.model import ConversationState

DAY = timedelta(days=1)
AHEAD = timedelta(days=7)
"""A work list names what falls due before the next one: a list a week must not make everything up to a week late."""

ANSWER_WITHIN = timedelta(days=7)
"""How long a work list may wait for its answer; it is reminded of at half of that."""

LINK_VALID = timedelta(days=60)
"""How long the link of a list takes answers. An open conversation is on a newer list long before."""

CLAIMED = frozenset({ConversationState.ATTESTED, ConversationState.VERIFIED_BY_EXPORT})
"""Somebody said, or an export showed, that it is gone. Nothing else counts as gone."""


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The controller's day of a moment."""
    return moment.astimezone(zone).date()


def due_on(started_at: datetime, months: int, zone: ZoneInfo) -> date:
    """The last day on which a conversation that began then may still be kept."""
    return day_of(started_at, zone) + relativedelta(months=months)


def overdue_at(last_day: date, zone: ZoneInfo) -> datetime:
    """The first moment at which it is overdue: the day after begins."""
    return datetime.combine(last_day + DAY, time(), zone).astimezone(UTC)


def cutoff_on(today: date, months: int) -> date:
    """The youngest day of which nothing may be left on `today`: where the range of a monthly export ends.

    The last day whose `due_on` lies before `today`. It is not always `today` less so many months: on 31 May what began
    on 28 February was due on 28 May.
    """
    day = today - relativedelta(months=months)
    return day if day + relativedelta(months=months) < today else day - DAY


def next_check_on(last: date) -> date:
    """By when the next monthly check, or the next statement about what is open, is due."""
    return last + relativedelta(months=1)


def seen_again(state: ConversationState, claimed_at: datetime | None, seen_at: datetime) -> ConversationState:
    """The state after the vendor named a conversation at `seen_at`: what was said to be gone is contradicted.

    What the vendor saw *before* it was said to be gone contradicts nothing: its webhooks are repeated for days.
    """
    if state in CLAIMED and claimed_at is not None and seen_at > claimed_at:
        return ConversationState.CONTRADICTED
    return state
