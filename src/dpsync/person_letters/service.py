"""A letter about one request of an installation, as its record stands now."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime

from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.installation import Installation
from dpsync.model import DONE_STATES, Regime, Right
from dpsync.person_letters.compose import Asks, Ground, PersonLetter, Sender, composed, usual_kind
from dpsync.propagation.telling import LetterKind, must_fit
from dpsync.reports.lines import RequestStanding
from dpsync.reports.make import known_processors
from dpsync.reports.standing import read_standing
from dpsync.store import tables as t

_WITH_REASON = frozenset({LetterKind.EXTENSION, LetterKind.REFUSAL, LetterKind.LIFTING})


def letter_to(
    there: Installation, request_id: str, kind: LetterKind | None, name: str, asks: Asks, now: datetime
) -> PersonLetter:
    """The letter; without a kind, the usual one. Raises `NotFound`, `UsageError` for what it lacks, `DecisionRefused`
    for one that does not fit the request.
    """
    asked, clock = _standing(there, request_id, now), there.controller.legal_clock
    chosen = kind or usual_kind(asked)
    _must_fit_now(chosen, asked)
    _must_say(chosen, asks, clock.day_of(now))
    if chosen is LetterKind.REFUSAL:
        _must_be_a_ground(asks.ground, asked.right, there.settings.controller.regime)
    if chosen is LetterKind.EXTENSION:
        asks = replace(asks, extended_to=clock.extended(asked.starts_on).due_on)
    return composed(chosen, asked, name, sender_of(there), asks, clock.day_of(now))


@dataclass(frozen=True, slots=True)
class LetterChoices:
    """What letters a request can have now, which one usually answers it, and on which grounds it can be refused."""

    kinds: tuple[LetterKind, ...]
    usual: LetterKind
    grounds: tuple[Ground, ...]


def choices_of(there: Installation, request_id: str, now: datetime) -> LetterChoices:
    """What fits the request as it stands. Raises `NotFound`."""
    asked, regime = _standing(there, request_id, now), there.settings.controller.regime
    kinds = tuple(kind for kind in LetterKind if not _refused(_must_fit_now, kind, asked))
    grounds = tuple(ground for ground in Ground if not _refused(_must_be_a_ground, ground, asked.right, regime))
    return LetterChoices(kinds, usual_kind(asked), grounds)


def _must_fit_now(kind: LetterKind, asked: RequestStanding) -> None:
    done = bool(asked.lines) and all(line.state in DONE_STATES for line in asked.lines)
    must_fit(kind, asked.right, closed=asked.closed_at is not None, done=done)


def _refused(rule: Callable[..., None], *what: object) -> bool:
    try:
        rule(*what)
    except DecisionRefused:
        return True
    return False


def _standing(there: Installation, request_id: str, now: datetime) -> RequestStanding:
    known = known_processors(there.settings)
    found = there.read(lambda connection: read_standing(connection, t.request.c.id == request_id, now, known))
    if not found:
        raise NotFound(f"there is no request {request_id}")
    return found[0]


def sender_of(there: Installation) -> Sender:
    """Who writes, as the settings say."""
    c = there.settings.controller
    whose = c.name, c.dpo, c.complaints_to, c.regime, there.zone
    return Sender(*whose, language=c.language, own=c.letter_templates, rehearsal=c.rehearsal)


def _must_say(kind: LetterKind, asks: Asks, today: date) -> None:
    if kind in _WITH_REASON and not asks.because.strip():
        raise UsageError("say with --because why, in words for the person")
    if kind is LetterKind.REFUSAL and asks.ground is None:
        raise UsageError("say with --ground on which legal ground")
    if kind is LetterKind.LIFTING and asks.on is None:
        raise UsageError("say with --ends-on on which day the restriction ends")
    if kind is LetterKind.LIFTING and asks.on is not None and asks.on < today:
        raise DecisionRefused("the person must be told before the restriction ends (Art. 18(3)), and that day is over")


def _must_be_a_ground(ground: Ground | None, right: Right, regime: Regime) -> None:
    if ground is Ground.SCHEDULE_2 and regime is not Regime.UK:
        raise DecisionRefused("dpa_sch2 is a ground of the United Kingdom's law, and your regime is another")
    if ground is Ground.NEEDED and right is not Right.ERASURE:
        raise DecisionRefused("art17_3 is a ground to refuse an erasure only")
