"""What the DPO decides by link about somebody who is back at a processor: each as its command does it."""

from collections.abc import Mapping
from datetime import datetime, time
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Row

from dpsync import opt_out_scope
from dpsync.errors import DecisionRefused
from dpsync.installation import Installation
from dpsync.intake import welcome
from dpsync.intake.made_requests import receive_made
from dpsync.intake.reconciliation import findings
from dpsync.intake.typed import digest_of
from dpsync.intake.welcome import NewConsent
from dpsync.intake.whole import ToldBefore, Whole, named_in
from dpsync.model import Right
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.decisions import Person
from dpsync.propagation.questions import points_of
from dpsync.store.writer import Unit

RETURNING: Final[Mapping[Whole, str]] = MappingProxyType(
    {
        Whole.WELCOME: "The person is welcome again: no sweep asks about them, and a screened mailing lets them "
        "through. dpsync subscribes nobody.",
        Whole.ONCE_MORE: "Request {} asks for the same once more, at every processor.",
        Whole.STAYS: "The record may stay. Nobody is asked again until it changes.",
    }
)
"""What each did, in a sentence."""


def decide(
    unit: Unit,
    there: Installation,
    row: Row[Any],
    whole: Whole,
    person: Person,
    told: ToldBefore | None,
    now: datetime,
) -> str:
    """Record what was chosen of a question about somebody who is back. What it did, in a sentence.

    Raises `DecisionRefused`, and then nothing is recorded.
    """
    said = RETURNING[whole]
    if whole is Whole.WELCOME:
        if told is None:
            raise DecisionRefused("Please give the day on which the person consented anew.")
        since = datetime.combine(told.on, time(), there.zone)
        consent = NewConsent(since, person.reason, digest_of(told.text))
        welcome.welcome_back(unit, there.controller, row.request_id, consent, person, now)
        return said
    if whole is Whole.ONCE_MORE:
        return said.format(_once_more(unit, there, row, person, now)[:8])
    marks = [point.finding for point in points_of(row)]
    if sum(findings.leave(unit, there.keys, mark, person, now) for mark in marks) == 0:
        raise DecisionRefused("This is not so any more: the record was changed, or somebody has decided.")
    return said


def _once_more(unit: Unit, there: Installation, row: Row[Any], person: Person, now: datetime) -> str:
    """A new request for the same right of the same person, by the rules of `dpsync submit`."""
    asked = asked_by(unit.connection, there, row.request_id)
    if asked is None or asked.right is Right.RECTIFICATION:
        raise DecisionRefused(
            "Nobody knows any more who it was about. Ask once more by command: `dpsync submit --help`"
        )
    data = {"right": asked.right.value, "subject": named_in(asked.subject)}
    data |= {"ground": asked.ground} if asked.ground else {}
    data |= {"scope": opt_out_scope.named(asked.scope)} if asked.scope else {}
    event = f"link-{row.id}"
    return receive_made(unit, there, data, event, person.by, now).request_id
