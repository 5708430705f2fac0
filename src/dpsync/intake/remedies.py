"""What can be decided by link at one processor: which choices fit, and how each is what its command does."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from sqlalchemy import select

from dpsync.installation import Installation
from dpsync.ledger.entry import EntryKind
from dpsync.model import CLOSED_STATES, Cause, ExemptionCode, Right, State, Way
from dpsync.propagation import naming
from dpsync.propagation.commitments import Author
from dpsync.propagation.contacts import ASK, NAMED, ask_anew
from dpsync.propagation.correspondence.acknowledgement import answer_by_hand
from dpsync.propagation.decisions import Decided, Person, decide, demand_any, remember
from dpsync.propagation.points import CREDENTIAL, QuestionKind
from dpsync.propagation.resuming import resume
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.reports.lines import PropagationLine
from dpsync.store import tables as t
from dpsync.store.writer import Unit


class Remedy(StrEnum):
    """What can be decided about one processor."""

    RETRY = "retry"
    DONE = "done"
    NOTHING_HELD = "nothing_held"
    PARTLY = "partly"
    REFUSED = "refused"
    RECEIVED = "received"
    WRONG_RECIPIENT = "wrong_recipient"
    BOUNCED = "bounced"
    EVERYTHING = "everything"
    NO_CONCERN = "no_concern"
    SETTLE = "settle"
    IMPOSSIBLE = "art19_impossible"
    DISPROPORTIONATE = "art19_disproportionate"
    ASK = "ask_contact"
    CONTACT = "contact"
    NAME = "name_contact"
    RESUME = "resume"


WORDS: Final[Mapping[Remedy, str]] = MappingProxyType(
    {
        Remedy.RETRY: "Tell the processor again",
        Remedy.DONE: "They told us: it is done. Record that as their word",
        Remedy.NOTHING_HELD: "They told us: they hold nothing about the person",
        Remedy.PARTLY: "They told us: it is done in part",
        Remedy.REFUSED: "They told us: they refuse",
        Remedy.RECEIVED: "They told us: they have it, and the outcome follows",
        Remedy.WRONG_RECIPIENT: "They told us: they are the wrong recipient",
        Remedy.BOUNCED: "The letter came back to us",
        Remedy.EVERYTHING: "Opt the person out of everything at this processor",
        Remedy.NO_CONCERN: "It does not concern this processor. Close it there, and tell it nothing",
        Remedy.SETTLE: "It was dealt with outside dpsync. Close it. It does not count as done",
        Remedy.IMPOSSIBLE: "Exempt: it is impossible to tell them (Art. 19)",
        Remedy.DISPROPORTIONATE: "Exempt: telling them takes a disproportionate effort (Art. 19)",
        Remedy.ASK: "Have the contact asked again by email whether its address is right",
        Remedy.CONTACT: "I know in another way that the contact's address is right. Send the letter there",
        Remedy.NAME: "The contact is another address, which I type below. It counts once it has confirmed itself",
        Remedy.RESUME: "The credential is valid again, and dpsync is restarted. Send to this processor",
    }
)
ANSWERS: Final = tuple(remedy for remedy in Remedy if remedy.value in set(AnswerKind))
_RELEASES: Final = {Remedy.CONTACT: Cause.CONTACT_UNVERIFIED, Remedy.EVERYTHING: Cause.SCOPE_UNMAPPED}
EXEMPTIONS: Final = (Remedy.IMPOSSIBLE, Remedy.DISPROPORTIONATE)

_WAITS_FOR_AN_ANSWER = frozenset(
    {State.ACCEPTED, State.HANDED_OVER, State.ESCALATED, State.CONTRADICTED, State.REFUSED}
)
_TOLD_AGAIN = _WAITS_FOR_AN_ANSWER | {State.NOT_IDENTIFIABLE}
_NOT_SETTLED = frozenset({State.HELD}) | CLOSED_STATES


def remedies_at(
    line: PropagationLine, subject: QuestionKind, *, withdrawn: bool, independent: bool
) -> tuple[Remedy, ...]:
    """What may be chosen at one processor, in the order of `Remedy`. What was withdrawn is not told again.

    `independent`: the processor is itself a controller. What fits no more when it is recorded is refused then.
    """
    if subject is QuestionKind.TECHNICAL:
        silent = (Remedy.ASK, Remedy.CONTACT, Remedy.NAME) if Cause.CONTACT_UNVERIFIED in line.causes else ()
        return (*silent, Remedy.RESUME) if line.stopped == CREDENTIAL else silent
    found: set[Remedy] = set()
    if line.state in _TOLD_AGAIN and not withdrawn:
        found.add(Remedy.RETRY)
    if line.state in _WAITS_FOR_AN_ANSWER:
        found |= set(ANSWERS) - ({Remedy.BOUNCED} if line.way is Way.API else set())
    if line.open and (line.way is Way.NOTICE or Cause.CONTACT_UNVERIFIED in line.causes):
        found.add(Remedy.NAME)
    if line.state is State.HELD and Cause.SCOPE_UNMAPPED in line.causes and not withdrawn:
        found |= {Remedy.EVERYTHING, Remedy.NO_CONCERN}
    asks = line.state is State.HELD and Cause.FOR_A_PERSON in line.causes and not withdrawn
    if asks or line.state not in _NOT_SETTLED:
        found.add(Remedy.SETTLE)
    excused = line.right is not Right.OPT_OUT and (line.right is not Right.ERASURE or independent)
    if excused and line.open and line.told_at is None and line.state is not State.REFUSED:
        found |= set(EXEMPTIONS)
    return tuple(remedy for remedy in Remedy if remedy in found)


def carry_out(
    unit: Unit,
    there: Installation,
    request_id: str,
    name: str,
    remedy: Remedy,
    person: Person,
    now: datetime,
    *,
    address: str = "",
) -> list[Decided]:
    """Record one choice through the function of its command. Raises `DecisionRefused`, `NotFound`.

    `address`: what was typed as the contact.
    """
    controller = there.controller
    if remedy in ANSWERS:
        author, said = Author(person.by, person.reason), AnswerKind(remedy.value)
        return [Decided(name, answer_by_hand(unit, controller, request_id, name, said, author, "", now))]
    if remedy is Remedy.RESUME:
        resume(unit.connection, [controller.processors[name].account])
        remember(unit, controller, request_id, remedy.value, person, now, processors=[name], event=EntryKind.DECIDED)
        return [Decided(name, State.PENDING)]
    if remedy is Remedy.ASK:
        ask_anew(unit.connection, controller, name)
        remember(unit, controller, request_id, ASK, person, now, processors=[name])
        return [Decided(name, State.HELD, (Cause.CONTACT_UNVERIFIED.value,))]
    if remedy is Remedy.NAME:
        naming.name_contact(unit, controller, name, address, person, now, link=True)
        remember(unit, controller, request_id, NAMED, person, now, processors=[name])
        return [_as_it_stands(unit, request_id, name)]
    if remedy in _RELEASES:
        only = frozenset({_RELEASES[remedy]})
        told = decide(unit, controller, request_id, DecisionKind.RELEASE, person, now, processors=[name], causes=only)
        return demand_any(told)
    code = ExemptionCode(remedy.value) if remedy in EXEMPTIONS else None
    closes = remedy is Remedy.NO_CONCERN
    kind = DecisionKind.EXEMPT if code else DecisionKind.SETTLE if closes else DecisionKind(remedy.value)
    return demand_any(decide(unit, controller, request_id, kind, person, now, processors=[name], code=code))


def _as_it_stands(unit: Unit, request_id: str, name: str) -> Decided:
    """A propagation that the decision leaves where it is."""
    p = t.propagation.c
    chosen = select(p.state, p.causes).where(p.request_id == request_id, p.processor == name)
    row = unit.connection.execute(chosen).one()
    return Decided(name, State(row.state), tuple(filter(None, row.causes.split(","))))
