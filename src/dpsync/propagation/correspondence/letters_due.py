"""The last day for the letter to the person, watched like a legal date: 7 days before, then daily until it is recorded.

For an opt-out the letter has the month that everybody has (Art. 12(3)), whatever its own clock of hours says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache

from sqlalchemy import ColumnElement, Connection, or_, select

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.model import Right, State
from dpsync.propagation import extensions
from dpsync.propagation.controller import Controller
from dpsync.propagation.rules.legal_clock import LETTER
from dpsync.propagation.telling import ANSWERS, KIND, NOBODY_ASKED, answers, read
from dpsync.store import tables as t
from dpsync.store.writer import Unit

SOON, DAILY = timedelta(days=7), timedelta(days=2)
GIVEN_UP = timedelta(days=31)
"""After that a reminder helps nobody: the dossier goes on saying that no letter is recorded."""

MOST = 100
"""How many requests one alert names, the oldest first."""

NEAR, LATE = AlertCause.LETTER_NEAR, AlertCause.LETTER_LATE


@dataclass(frozen=True, slots=True)
class LetterOwed:
    """A request whose person has no answer yet, as far as anybody recorded. `by`: the last day for the letter."""

    request_id: str
    by: date


def level_of(one: LetterOwed, today: date) -> AlertCause | None:
    """The alert that it has reached. Pure."""
    if today > one.by:
        return LATE if today - one.by <= GIVEN_UP else None
    left = one.by - today
    return NEAR if left == SOON or left <= DAILY else None


@dataclass(frozen=True, slots=True)
class LettersReached:
    """A level that letters have reached: the oldest, which its alert names, and how many more there are."""

    level: AlertCause
    named: Sequence[LetterOwed]
    more: int


def look(connection: Connection, controller: Controller, now: datetime) -> list[LettersReached]:
    """What there may be to tell of letters. Only reads: two months of requests are looked at, while others write."""
    if not controller.watch_letters:
        return []
    today = controller.legal_clock.day_of(now)
    found: dict[AlertCause, list[LetterOwed]] = {}
    for one in owed(connection, controller.legal_clock.day_of, today):
        if level := level_of(one, today):
            found.setdefault(level, []).append(one)
    reached = [LettersReached(level, ones[:MOST], len(ones[MOST:])) for level, ones in found.items()]
    return [one for one in reached if _fresh(connection, controller, one, now)]


def remind(unit: Unit, controller: Controller, found: Sequence[LettersReached], now: datetime) -> int:
    """Tell the DPO of letters that are due soon, and the deputy too of those that are late, as far as they still are.

    Returns how many alerts.
    """
    today, day_of = controller.legal_clock.day_of(now), controller.legal_clock.day_of
    new = 0
    for one in found:
        still = owed(unit.connection, day_of, today, [each.request_id for each in one.named])
        named = [each for each in still if level_of(each, today) == one.level]
        new += _raise(unit, controller, LettersReached(one.level, named, one.more), now)
    return new


def owed(
    connection: Connection,
    day_of: Callable[[datetime], date],
    today: date,
    among: Sequence[str] | None = None,
    *,
    ahead: timedelta = SOON,
) -> list[LetterOwed]:
    """Every request without a letter that answers it, whose last day is near or not long over; oldest first.

    `among`: of these alone. `ahead`: how near; within `LETTER`, it is every letter that is owed.

    Whoever took it back needs none. What we stopped ourselves is an action not taken: the person hears why
    (Art. 12(4)), unless somebody recorded that nobody asked. `day_of` gives the controller's day of a moment.
    """
    r, p, d, w = t.request.c, t.propagation.c, t.decision.c, t.withdrawal.c
    longer = extensions.all_of(connection)
    going = select(p.request_id).where(p.request_id == r.id, p.state != State.WITHDRAWN.value).exists()
    # Few are either: each list is made once, where a look for each of 100,000 requests took two thirds of this.
    asked_still = r.id.not_in(select(w.request_id))
    excused = r.id.in_(select(d.request_id).where(d.kind == NOBODY_ASKED))
    last, first = (today + ahead).isoformat(), (today - GIVEN_UP).isoformat()
    usual = (r.right != Right.OPT_OUT.value) & r.letter_by.between(first, last)
    from_start = r.starts_on.between((today - GIVEN_UP - LETTER).isoformat(), (today + ahead - LETTER).isoformat())
    chosen = or_(usual, (r.right == Right.OPT_OUT.value) & from_start, r.id.in_(list(longer)))
    if among is not None:
        chosen &= r.id.in_(among)
    answered = _answered(connection, day_of, chosen)
    rows = connection.execute(
        select(r.id, r.right, r.starts_on, r.letter_by)
        .where(chosen, or_(asked_still, going), ~excused)
        .order_by(r.ordinal)
    ).all()
    return [
        LetterOwed(id_, _by(right, starts_on, letter_by, longer.get(id_)))
        for id_, right, starts_on, letter_by in rows
        if id_ not in answered
    ]


def _answered(connection: Connection, day_of: Callable[[datetime], date], chosen: ColumnElement[bool]) -> set[str]:
    r, d = t.request.c, t.decision.c
    kinds = or_(*(d.detail.startswith(f"{kind.value}, ") for kind in sorted(ANSWERS)))
    said = select(r.id, r.closed_at, d.detail).join(t.decision, d.request_id == r.id)
    found = set()
    for row in connection.execute(said.where(chosen, d.kind == KIND, kinds)):
        try:
            told = read(row.detail)
        except ValueError:  # somebody wrote there by hand: `verify` names it
            continue
        if answers(told, day_of(row.closed_at) if row.closed_at else None):
            found.add(row.id)
    return found


def _by(right: str, starts_on: str, letter_by: str, longer: extensions.Extension | None) -> date:
    if longer is not None:
        return longer.strict_on
    return _day(starts_on) + LETTER if right == Right.OPT_OUT else _day(letter_by)


_day = lru_cache(4096)(date.fromisoformat)
"""A hundred thousand requests have the same few days."""


def _fresh(connection: Connection, controller: Controller, one: LettersReached, now: datetime) -> list[LetterOwed]:
    known = told_of(connection, one.level, [each.request_id for each in one.named], now, controller.zone)
    return [each for each in one.named if each.request_id not in known]


def _raise(unit: Unit, controller: Controller, found: LettersReached, now: datetime) -> int:
    level, more = found.level, found.more
    fresh = _fresh(unit.connection, controller, found, now)
    if not fresh:
        return 0
    for role in ("dpo", *(["deputy"] if level == LATE and controller.deputy else [])):
        raise_alert(
            unit.connection,
            cause=level,
            also=role != "dpo",
            role=role,
            subject="A person should have had a letter" if level == LATE else "A letter to a person is due",
            body="dpsync writes it: on the page of the request, or by `dpsync letter REQUEST -o FILE`. Send it "
            "yourself, and record it there, or by `dpsync told REQUEST --on DATE --by NAME`. What you stopped needs "
            "one too, with the reason (Art. 12(4)), unless nobody asked for it: `dpsync told REQUEST --nobody-asked "
            "--by NAME --note WHY`. If your main database answers people, set [controller] watch_letters = false."
            + (f" There are {more:,} more than are listed here." if more > 0 else ""),
            now=now,
            zone=controller.zone,
            concerns=[Concern(one.request_id, f"request {one.request_id}, by {one.by:%d %b %Y}") for one in fresh],
        )
    unit.append(None, entry.encode(EntryKind.ALERT, now, cause=level, n=len(fresh)))
    return 1
