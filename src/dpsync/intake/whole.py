"""What can be decided by link about a whole request: which choices fit, and how each is what its command does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection

from dpsync.cases import complaints
from dpsync.cases.values import Channel, Complaint, PersonTold
from dpsync.errors import DecisionRefused
from dpsync.installation import Installation
from dpsync.intake.answers import Received
from dpsync.intake.made_requests import receive_made
from dpsync.intake.typed import digest_of
from dpsync.model import Cause, Request, Right, Role, State, Subject
from dpsync.propagation import questions, telling
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.decisions import Decided, Person, decide, demand_any
from dpsync.propagation.extending import extend
from dpsync.propagation.points import QuestionKind
from dpsync.propagation.rules.lifecycle import DecisionKind
from dpsync.propagation.telling import LetterKind
from dpsync.reports.lines import RequestStanding
from dpsync.reports.words import day
from dpsync.store.writer import Unit


class Whole(StrEnum):
    """What can be decided about a whole request."""

    RELEASE = "release"
    WITHDRAW = "withdraw"
    EXTEND = "extend"
    LIFT = "lift"
    TOLD = "told"
    ACKNOWLEDGE = "acknowledge"
    NOBODY_ASKED = "nobody_asked"
    WELCOME = "welcome"
    ONCE_MORE = "once_more"
    STAYS = "stays"


WORDS: Final[Mapping[Whole, str]] = MappingProxyType(
    {
        Whole.RELEASE: "Approve the request",
        Whole.WITHDRAW: "Do not approve it: stop the request at every processor where it has not been sent",
        Whole.EXTEND: "Extend the legal date by two months. The person has been told, and why",
        Whole.LIFT: "Lift the restriction. The person has been told before",
        Whole.TOLD: "The person had a letter from us. Record which, when and how",
        Whole.ACKNOWLEDGE: "The person was told that we have their complaint and look into it. Record when and how",
        Whole.NOBODY_ASKED: "Nobody asked for it, or the person took it back: no letter is due",
        Whole.WELCOME: "The person came back by their own wish. Record the new consent",
        Whole.ONCE_MORE: "They did not come back by their own wish: have it done once more, at every processor",
        Whole.STAYS: "It is somebody else, or the record may stay as it is: nobody is asked again until it changes",
    }
)
WITH_A_DAY: Final = frozenset({Whole.EXTEND, Whole.LIFT, Whole.TOLD, Whole.ACKNOWLEDGE, Whole.WELCOME})
"""These need the day on which the person was told, or on which they consented anew."""


@dataclass(frozen=True, slots=True)
class ToldBefore:
    """That the person was told, or consented: on which day, and how. An extension's reason is that of the decision.

    `letter`, `channel`: which letter it was and by which way it went, where a letter is recorded. `text`: what was
    sent, of which the digest is kept; "" where nobody typed it.
    """

    on: date
    how: str
    letter: LetterKind | None = None
    channel: Channel | None = None
    text: str = field(default="", repr=False)


def wholes_of(
    asked: RequestStanding,
    subject: QuestionKind,
    role: Role,
    *,
    released: bool,
    extended: bool,
    complained: bool,
    today: date,
) -> tuple[Whole, ...]:
    """What may be chosen. `released`: something is held from which this role may release it. `extended`: the legal date
    was extended before, which the law allows once. `complained`: a complaint about it is not acknowledged yet.

    What fits no more when it is recorded is refused then.
    """
    if role is Role.OPERATOR or subject is QuestionKind.TECHNICAL:
        return ()
    if subject is QuestionKind.BACK:
        return (Whole.WELCOME, Whole.ONCE_MORE, Whole.STAYS)
    found = {Whole.RELEASE, Whole.WITHDRAW} if released else set[Whole]()
    if any(line.state in {State.HELD, State.PENDING} for line in asked.lines) and subject is QuestionKind.ASKED_FOR:
        found.add(Whole.WITHDRAW)
    if role is Role.DPO:
        if asked.right is not Right.OPT_OUT and asked.closed_at is None and not extended and today <= asked.due_on:
            found.add(Whole.EXTEND)
        told = any(line.told_at is not None for line in asked.lines)
        if asked.right is Right.RESTRICTION and not asked.lifting and told and subject is QuestionKind.ASKED_FOR:
            found.add(Whole.LIFT)
        if subject is QuestionKind.ASKED_FOR:
            found |= {Whole.TOLD, Whole.ACKNOWLEDGE} if complained else {Whole.TOLD}
            if asked.lines and all(line.state is State.WITHDRAWN for line in asked.lines):
                found.add(Whole.NOBODY_ASKED)
    return tuple(whole for whole in Whole if whole in found)


def carry_out(
    unit: Unit,
    there: Installation,
    request_id: str,
    whole: Whole,
    role: Role,
    person: Person,
    told: ToldBefore | None,
    now: datetime,
    *,
    event: str,
) -> tuple[list[Decided], str]:
    """Record one choice through the function of its command. Gives what it did at each processor, and in a sentence.

    `event`: names the request that a lifting makes. Raises `DecisionRefused`.
    """
    if whole is Whole.EXTEND:
        made = extend(unit, there.controller, request_id, person, _demanded(told).on, now)
        return [], f"The legal date is now {day(made.due_on)}."
    if whole is Whole.LIFT:
        received = _lifted(unit, there, request_id, person, _demanded(told), now, event)
        return [], f"The restriction ends: request {received.request_id[:8]} tells every processor."
    if whole is Whole.TOLD:
        return [], _recorded(unit, there, request_id, person, _demanded(told), now)
    if whole is Whole.NOBODY_ASKED:
        telling.nobody_asked(unit, there.controller, request_id, person, now)
        return [], "No letter is due."
    if whole is Whole.ACKNOWLEDGE:
        return [], _acknowledged(unit, there, request_id, person, _demanded(told), now)
    causes = frozenset(cause for cause in Cause if questions.may_release(there.controller, role, cause))
    kind = DecisionKind(whole.value)
    return demand_any(decide(unit, there.controller, request_id, kind, person, now, causes=causes)), ""


def _demanded(told: ToldBefore | None) -> ToldBefore:
    if told is None:
        raise DecisionRefused("Please give the day on which the person was told.")
    return told


def not_acknowledged(connection: Connection, request_id: str) -> tuple[Complaint, ...]:
    """The complaints about a request of which the person has not heard that they came."""
    found = (one for one in complaints.complaints(connection) if request_id in one.about)
    return tuple(one for one in found if one.open and one.acknowledged_on is None)


def _acknowledged(
    unit: Unit, there: Installation, request_id: str, person: Person, told: ToldBefore, now: datetime
) -> str:
    """Record what `dpsync complaint acknowledge` does, for each complaint about it. Raises `DecisionRefused`."""
    if told.channel is None:
        raise DecisionRefused("Please say how the person was told.")
    waiting = not_acknowledged(unit.connection, request_id)
    if not waiting:
        raise DecisionRefused("No complaint about it waits for that.")
    for one in waiting:
        said = PersonTold(told.on, told.channel, digest_of(told.text))
        complaints.acknowledge(unit, there.controller, one.id, said, person, now)
    return f"Recorded: {', '.join(one.id for one in waiting)}. Tell the person next how it goes, or the outcome."


def _recorded(unit: Unit, there: Installation, request_id: str, person: Person, told: ToldBefore, now: datetime) -> str:
    """Record a letter to the person, as `dpsync told` does. Raises `DecisionRefused`."""
    if told.letter is None or told.channel is None:
        raise DecisionRefused("Please say which letter it was, and how it went.")
    one = telling.Told(told.letter, told.on, told.channel.value, digest_of(told.text))
    telling.tell(unit, there.controller, request_id, one, person, now)
    if telling.is_answered(unit.connection, there.controller, request_id):
        return "The letter is recorded. No other is due."
    return "The letter is recorded. The last day for the answer still counts."


def _lifted(
    unit: Unit, there: Installation, request_id: str, person: Person, told: ToldBefore, now: datetime, event: str
) -> Received:
    """A request that ends the restriction for the same subject, made by the rules of `dpsync submit`."""
    if told.on > there.controller.legal_clock.day_of(now):
        raise DecisionRefused("Tell the person first: that day is in the future.")
    data = {
        "right": Right.RESTRICTION.value,
        "subject": named_in(_asked(unit, there, request_id).subject),
        "lifted": {"told_on": told.on.isoformat(), "how": told.how},
    }
    return receive_made(unit, there, data, event, person.by, now)


def named_in(subject: Subject) -> dict[str, object]:
    """A subject as the canonical body has it."""
    named = {
        "id": subject.id,
        "email": subject.email,
        "other_emails": list(subject.other_emails),
        "phone": subject.phone,
        "name": subject.name,
        "references": {name: list(ids) for name, ids in subject.references.items()},
    }
    return {name: value for name, value in named.items() if value}


def _asked(unit: Unit, there: Installation, request_id: str) -> Request:
    asked = asked_by(unit.connection, there, request_id)
    if asked is None:
        raise DecisionRefused("Nobody knows any more who it was about. Lift it by command: `dpsync submit --help`")
    return asked
