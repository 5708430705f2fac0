"""The ladder of alerts above what is open: no state, only levels that rise. Retries go on beneath it.

One alert per level and day, however many requests and processors stand behind it. Sources: docs on the legal dates;
GDPR Art. 12(3), 19, 21(3).
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, select

from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import CLOSED_STATES, Cause, Right, State
from dpsync.propagation import extensions, questions
from dpsync.propagation.controller import Controller
from dpsync.propagation.held import CAUSE, Held, tell_of_held
from dpsync.propagation.points import CREDENTIAL, Point, stuck_point
from dpsync.propagation.queue.lanes import causes_of
from dpsync.store import tables as t
from dpsync.store.writer import Unit


@dataclass(frozen=True, slots=True)
class Open:
    """An open propagation, as the ladder sees it."""

    request_id: str
    processor: str
    right: Right
    state: State
    causes: frozenset[Cause]
    received_at: datetime
    target_at: datetime
    strict_on: date
    due_at: datetime
    since: datetime

    @property
    def about(self) -> str:
        """What it is called among the concerns of an alert."""
        return f"{self.request_id}/{self.processor}"


@dataclass(frozen=True, slots=True)
class Level:
    """A step of the ladder: who hears of it, and its alert's cause. `after`: at which age, where hours are counted.

    `more`: what its alert says besides, such as a letter that is ready to send.
    """

    cause: str
    role: str
    sentence: str
    after: timedelta | None = None
    more: str = ""


STOP_OPERATOR = Level(
    "opt-out-4h", "operator", "An opt-out is not done four hours after it was received", timedelta(hours=4)
)
STOP_DPO = Level("opt-out-12h", "dpo", "An opt-out is not done twelve hours after it was received", timedelta(hours=12))
STOP_OVERDUE = Level(
    "opt-out-overdue", "dpo", "An opt-out is overdue: it had 24 hours (Art. 21(3))", timedelta(hours=24)
)
TARGET = Level("target", "operator", "Not done within the target of 72 hours")
TARGET_DPO = Level("target-dpo", "dpo", "Not done a day after the target of 72 hours")
DAY_SEVEN = Level(
    "day-7",
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
NEAR = Level("near", "dpo", "The legal date is near")
OVERDUE = Level("overdue", "dpo", "Overdue: the legal date has passed")


def level_of(one: Open, now: datetime, today: date) -> Level | None:
    """The level that one open propagation has reached, the loudest only. Pure."""
    age = now - one.received_at
    if one.right is Right.OPT_OUT:
        ladder = (STOP_OVERDUE, STOP_DPO, STOP_OPERATOR)
        return next((level for level in ladder if level.after and age >= level.after), None)
    if now >= one.due_at:
        return OVERDUE
    if one.strict_on - today == timedelta(days=7) or one.strict_on - today <= timedelta(days=2):
        return NEAR
    if age >= timedelta(days=7):
        return DAY_SEVEN
    if now >= one.target_at + timedelta(days=1):
        return TARGET_DPO
    return TARGET if now >= one.target_at else None


def climb(unit: Unit, controller: Controller, now: datetime) -> int:
    """Raise what the ladder says now. Returns how many alerts are new; each is a ledger entry too."""
    today = now.astimezone(controller.zone).date()
    everything = open_propagations(unit.connection)
    heard: dict[Level, list[Open]] = defaultdict(list)
    for one in everything:
        if level := level_of(one, now, today):
            heard[level].append(one)
    new = sum(
        _raise(unit, controller, level, ones, everything, now)
        for level, ones in sorted(heard.items(), key=lambda item: item[0].cause)
    )
    held = [Held(one.request_id, one.processor, one.causes) for one in everything if one.state is State.HELD]
    if fresh := tell_of_held(unit.connection, controller, held, now):
        _enter(unit, CAUSE, fresh, now)
        new += 1
    questions.ask(unit.connection, controller, _stuck(everything, now), now)
    questions.ask(unit.connection, controller, _technical(unit.connection, everything, now), now)
    return new


def _stuck(everything: Sequence[Open], now: datetime) -> list[Point]:
    """What has been stuck for so long that the DPO is asked about it."""
    return [
        stuck_point(one.request_id, one.processor, one.state, one.since)
        for one in everything
        if one.state in questions.STUCK and now - one.since >= questions.STUCK_FOR
    ]


def _technical(connection: Connection, everything: Sequence[Open], now: datetime) -> list[Point]:
    """What the operator is asked: of each contact that is silent for a day, and of each account that is stopped by its
    credential, the oldest request that waits for it.
    """
    silent = [
        Point(one.request_id, one.processor, Cause.CONTACT_UNVERIFIED.value)
        for one in everything
        if Cause.CONTACT_UNVERIFIED in one.causes and now - one.since >= questions.STUCK_FOR
    ]
    p, a = t.propagation.c, t.account.c
    waiting = select(p.processor, p.request_id).join(t.account, a.id == p.account_id).order_by(p.ordinal)
    stopped = waiting.where(a.stopped == CREDENTIAL, p.state == State.PENDING)
    rejected = [Point(row.request_id, row.processor, CREDENTIAL) for row in connection.execute(stopped)]
    oldest: dict[tuple[str, str], Point] = {}
    for point in [*silent, *rejected]:
        oldest.setdefault((point.processor, point.why), point)
    return list(oldest.values())


def _raise(
    unit: Unit, controller: Controller, level: Level, ones: Sequence[Open], everything: Sequence[Open], now: datetime
) -> bool:
    told = told_of(unit.connection, level.cause, [one.about for one in ones], now, controller.zone)
    fresh = [one for one in ones if one.about not in told]
    if not fresh:
        return False
    listed = list(ones)
    if level.after is not None:
        # Those that reach it next are named with the first, and need no mail of their own: whatever is received after
        # this one reaches it `after` later, so there are as few mails a day, and none comes late.
        younger = now - level.after
        listed += [one for one in everything if one.right is Right.OPT_OUT and one.received_at > younger]
    concerns = [_concern(controller, level, one) for one in listed]
    roles = [level.role, *(["deputy"] if level in {NEAR, OVERDUE} and controller.deputy else [])]
    for role in roles:
        raise_alert(
            unit.connection,
            cause=level.cause if role == level.role else f"{level.cause}-{role}",
            role=role,
            subject=level.sentence,
            body=f"`dpsync status REQUEST` shows where each stands, and what to do. {level.more}".strip(),
            now=now,
            zone=controller.zone,
            concerns=concerns,
            at_once=level.after is not None,
        )
    _enter(unit, level.cause, fresh, now)
    return True


def _enter(unit: Unit, cause: str, ones: Sequence[Open | Held], now: datetime) -> None:
    for name, count in sorted(Counter(one.processor for one in ones).items()):
        unit.append(None, entry.encode(EntryKind.ALERT, now, dest=name, cause=cause, n=count))


def _concern(controller: Controller, level: Level, one: Open) -> Concern:
    title = controller.title_of(one.processor)

    def at(moment: datetime) -> str:
        return f"{moment.astimezone(controller.zone):%d %b %Y, %H:%M}"

    if level.after is None:
        limit = f"the legal date is {one.strict_on:%d %b %Y}"
    else:
        hours = level.after // timedelta(hours=1)
        limit = f"its {hours} hours end {at(one.received_at + level.after)}"
    return Concern(one.about, f"{title}: request {one.request_id}, received {at(one.received_at)}; {limit}", title)


def open_propagations(connection: Connection) -> list[Open]:
    """Everything that still waits for somebody or something, oldest first; what only cools off is left out."""
    p, r, longer = t.propagation.c, t.request.c, extensions.all_of(connection)
    rows = connection.execute(
        select(p.request_id, p.processor, p.right, p.state, p.causes, p.state_since)
        .add_columns(r.received_at, r.target_at, r.strict_on, r.due_at)
        .join(t.request, r.id == p.request_id)
        .where(p.state.not_in([state.value for state in CLOSED_STATES]))
        .order_by(p.ordinal)
    )
    return [
        Open(
            row.request_id,
            row.processor,
            Right(row.right),
            State(row.state),
            causes_of(row.causes),
            row.received_at,
            row.target_at,
            more.strict_on if (more := longer.get(row.request_id)) else date.fromisoformat(row.strict_on),
            more.due_at if more else row.due_at,
            row.state_since,
        )
        for row in rows
        if row.causes != Cause.COOLING_OFF.value
    ]
