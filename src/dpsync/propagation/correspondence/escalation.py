"""The ladder of alerts above what is open: no state, only levels that rise. Retries go on beneath it.

One alert per level and day, however many requests and processors stand behind it. What there is to tell is found by
reading, while others write; then only that is looked at again and written.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation import questions
from dpsync.propagation.controller import Controller
from dpsync.propagation.correspondence import reaching, waiting
from dpsync.propagation.correspondence.levels import NEAR, OVERDUE, Level, Open, is_named, level_of
from dpsync.propagation.correspondence.reaching import LevelReached
from dpsync.propagation.correspondence.waiting import Awaited
from dpsync.propagation.held import CAUSE, tell_of_held
from dpsync.store.writer import Unit


@dataclass(frozen=True, slots=True)
class LadderFound:
    """What there may be to tell and to ask."""

    levels: Sequence[LevelReached]
    waiting: Awaited

    def __bool__(self) -> bool:
        return bool(self.levels or self.waiting)


def look(connection: Connection, controller: Controller, now: datetime) -> LadderFound:
    """What the ladder may have to say now. Only reads; as many statements with many open propagations as with few."""
    levels = reaching.all_reached(connection, now, now.astimezone(controller.zone).date())
    fresh = [one for one in levels if _fresh(connection, controller, one, now)]
    return LadderFound(fresh, waiting.look(connection, now))


def climb(unit: Unit, controller: Controller, found: LadderFound, now: datetime) -> int:
    """Tell and ask what of it still is so. Returns how many alerts are new; each is a ledger entry too."""
    levels = sorted(found.levels, key=lambda one: one.level.cause)
    new = sum(_raise(unit, controller, _now(unit.connection, controller, one, now), now) for one in levels)
    held = waiting.held_of(unit.connection, found.waiting.held, now)
    if fresh := tell_of_held(unit.connection, controller, held, now, found.waiting.crowds):
        _enter(unit, CAUSE, fresh, now)
        new += 1
    questions.ask(unit.connection, controller, waiting.stuck_of(unit.connection, found.waiting.stuck, now), now)
    if found.waiting.silent:
        questions.ask(unit.connection, controller, waiting.silent_contacts(unit.connection, now), now)
    return new


def _now(connection: Connection, controller: Controller, one: LevelReached, now: datetime) -> LevelReached:
    """The same without what was done, or extended, since it was read."""
    today = now.astimezone(controller.zone).date()
    named = [each for each in reaching.still_open(connection, one.named) if is_named(each, one.level, now, today)]
    return LevelReached(one.level, named, one.crowds, one.next)


def _fresh(connection: Connection, controller: Controller, one: LevelReached, now: datetime) -> Counter[str]:
    """How many of each processor reached the level, and were not told of it today."""
    today = now.astimezone(controller.zone).date()
    here = [each for each in one.named if level_of(each, now, today) is one.level]
    crowds = {_crowd(one.level, name, now): name for name, number in one.crowds.items() if number}
    told = told_of(connection, one.level.cause, [*(each.about for each in here), *crowds], now, controller.zone)
    fresh = Counter(each.processor for each in here if each.about not in told)
    return fresh + Counter({name: one.crowds[name] for about, name in crowds.items() if about not in told})


def _raise(unit: Unit, controller: Controller, one: LevelReached, now: datetime) -> bool:
    fresh, level = _fresh(unit.connection, controller, one, now), one.level
    if not fresh:
        return False
    # Those that reach it next are named with the first, and need no mail of their own: whatever is received after this
    # one reaches it `after` later, so there are as few mails a day, and none comes late.
    concerns = [_concern(controller, level, each) for each in one.named]
    concerns += [_concern_of_crowd(controller, one, name, now) for name in one.crowds]
    roles = [level.role, *(["deputy"] if level in {NEAR, OVERDUE} and controller.deputy else [])]
    for role in roles:
        raise_alert(
            unit.connection,
            cause=level.cause,
            also=role != level.role,
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


def _enter(unit: Unit, cause: str, numbers: Counter[str], now: datetime) -> None:
    for name, count in sorted(numbers.items()):
        unit.append(None, entry.encode(EntryKind.ALERT, now, dest=name, cause=cause, n=count))


def _concern(controller: Controller, level: Level, one: Open) -> Concern:
    title = controller.title_of(one.processor)

    def at(moment: datetime) -> str:
        return f"{moment.astimezone(controller.zone):%d %b %Y, %H:%M}"

    if level.after is None:
        limit = f"the legal date is {one.due_on:%d %b %Y}, read strictly {one.strict_on:%d %b %Y}"
    else:
        hours = level.after // timedelta(hours=1)
        limit = f"its {hours} hours end {at(one.received_at + level.after)}"
    where = title if one.told else f"{title} (not told yet)"
    return Concern(one.about, f"{where}: request {one.request_id}, received {at(one.received_at)}; {limit}", title)


def _crowd(level: Level, processor: str, now: datetime) -> str:
    """What many of one processor are called among the concerns. Where hours are counted, they are told anew as often
    as the hours pass, because each time there are others that reach them.
    """
    if level.after is None:
        return f"*/{processor}"
    return f"*/{processor}/{int(now.timestamp() // level.after.total_seconds())}"


def _concern_of_crowd(controller: Controller, one: LevelReached, name: str, now: datetime) -> Concern:
    title, coming = controller.title_of(name), one.next.get(name, 0)
    more = f", and {coming:,} more reach it next" if coming else ""
    text = f"{title}: {one.crowds[name]:,} requests{more}. `dpsync status` lists them"
    return Concern(_crowd(one.level, name, now), text, title)
