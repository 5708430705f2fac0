"""A letter about one request of an installation, as its record stands now."""

from dataclasses import replace
from datetime import datetime

from dpsync.errors import DecisionRefused, NotFound, UsageError
from dpsync.installation import Installation
from dpsync.model import Right
from dpsync.person_letters.compose import Asks, Letter, Sender, composed, usual_kind
from dpsync.propagation.telling import LetterKind
from dpsync.reports.make import processor_lines
from dpsync.reports.standing import RequestStanding, read_standing
from dpsync.store import tables as t

_WITH_REASON = frozenset({LetterKind.EXTENSION, LetterKind.REFUSAL, LetterKind.LIFTING})


def letter_to(
    there: Installation, request_id: str, kind: LetterKind | None, name: str, asks: Asks, now: datetime
) -> Letter:
    """The letter; without a kind, the usual one. Raises `NotFound`, `UsageError` for what it lacks, `DecisionRefused`
    for one that does not fit the request.
    """
    known = {line.name: line for line in processor_lines(there.settings)}
    found = there.read(lambda connection: read_standing(connection, t.request.c.id == request_id, now, known))
    if not found:
        raise NotFound(f"there is no request {request_id}")
    asked, clock = found[0], there.controller.legal_clock
    chosen = kind or usual_kind(asked)
    _must_fit(chosen, asked, asks)
    if chosen is LetterKind.EXTENSION:
        asks = replace(asks, extended_to=clock.extended(asked.starts_on).due_on)
    return composed(chosen, asked, name, sender_of(there), asks, clock.day_of(now))


def sender_of(there: Installation) -> Sender:
    """Who writes, as the settings say."""
    c = there.settings.controller
    whose = c.name, c.dpo, c.complaints_to, c.regime, there.zone
    return Sender(*whose, language=c.language, own=c.letter_templates, rehearsal=c.rehearsal)


def _must_fit(kind: LetterKind, asked: RequestStanding, asks: Asks) -> None:
    if kind in _WITH_REASON and not asks.because.strip():
        raise UsageError("say with --because why, in words for the person")
    if kind is LetterKind.REFUSAL and asks.ground is None:
        raise UsageError("say with --ground on which legal ground")
    if kind is LetterKind.REFUSAL and asked.right is Right.OPT_OUT:
        raise DecisionRefused("an objection to marketing is absolute (Art. 21(3)): nobody can refuse it")
    if kind is LetterKind.EXTENSION and asked.right is Right.OPT_OUT:
        raise DecisionRefused("an objection has 24 hours (Art. 21(3)) and cannot be extended")
    if kind is LetterKind.LIFTING and asked.right is not Right.RESTRICTION:
        raise DecisionRefused("only a restriction can be lifted")
    if kind is LetterKind.LIFTING and asks.on is None:
        raise UsageError("say with --ends-on on which day the restriction ends")
    if kind is LetterKind.ERASURE and asked.right is not Right.ERASURE:
        raise DecisionRefused("this is no erasure: leave out --kind")
