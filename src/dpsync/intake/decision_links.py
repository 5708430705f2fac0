"""Where the links to decisions lead: looking changes nothing, the code comes first, and a decision is made once.

What is decided goes through the same function as the command, and so does the showing of the person.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row

from dpsync.alerts import Concern, raise_alert
from dpsync.errors import DecisionRefused, NotFound
from dpsync.installation import Installation
from dpsync.intake import mailed_codes, tickets
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.matter import Matter, done_of, matter_of
from dpsync.model import Cause, Role
from dpsync.propagation import codes, questions
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.commitments import Author
from dpsync.propagation.correspondence.acknowledgement import answer_by_hand
from dpsync.propagation.decisions import ROLES, Decided, by_link, decide, demand_any
from dpsync.propagation.questions import Outcome
from dpsync.propagation.rules.lifecycle import AnswerKind, DecisionKind
from dpsync.propagation.showing import show
from dpsync.reports.who import who_of, who_rows
from dpsync.store.question_tables import question
from dpsync.store.writer import Unit

CHOICES = {DecisionKind.RELEASE: Outcome.RELEASED, DecisionKind.WITHDRAW: Outcome.WITHDRAWN}
"""What can be decided by link, and how its question then ends."""


class Remedy(StrEnum):
    """What can be decided about a place where a request is stuck."""

    RETRY = "retry"
    DONE = "done"
    SETTLE = "settle"


def remedies_of(matter: Matter) -> tuple[Remedy, ...]:
    """What may be chosen: what was withdrawn is not told again."""
    return tuple(remedy for remedy in Remedy if not (matter.withdrawn and remedy is Remedy.RETRY))


class Standing(StrEnum):
    """How a link stands."""

    OPEN = "open"
    DECIDED = "decided"
    LOCKED = "locked"


@dataclass(frozen=True, slots=True)
class Link:
    """What whoever holds a link may see before they give the code: which role is asked, and nothing of the request."""

    id: str
    role: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody filled in; no `kind` and no `remedies` where it is not whole.

    `kind`: about what is held. `remedies`: about what is stuck, by processor.
    """

    kind: DecisionKind | None
    name: str
    reason: str
    remedies: Mapping[str, Remedy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a code or a decision: the request is shown, with a ticket to decide by, or it is not.

    `done`: what the decision did, by the title of each processor.
    """

    check: CodeCheck
    matter: Matter | None = field(default=None, repr=False)
    ticket: str = ""
    done: tuple[tuple[str, str], ...] = ()
    refused: str = ""


class DecisionLinks:
    """What the holders of links may see and do. `token` is the secret part of a link."""

    def __init__(self, there: Installation) -> None:
        self._there = there

    def link(self, token: str, now: datetime) -> Link | None:
        """How a link stands; None where nobody made it, or it is too old. Changes nothing."""
        row = self._there.read(lambda c: questions.found_by(c, self._there.controller, token, now))
        return None if row is None else Link(row.id, ROLES[Role(row.role)], _standing(row))

    def form(self, link: Link, now: datetime) -> str:
        """The hidden field of a form on its page."""
        return tickets.form(self._there.keys, link.id, now)

    def is_form(self, link: Link, text: str, now: datetime) -> bool:
        """Whether a form comes from its page."""
        return tickets.is_form(self._there.keys, link.id, text, now)

    def send_code(self, token: str, now: datetime) -> Sent:
        """Mail a code to the role's address; waits for the mail host, so it is called in a thread."""

        def find(connection: Connection) -> Row[Any] | None:
            row = questions.found_by(connection, self._there.controller, token, now)
            return row if row is not None and _standing(row) is Standing.OPEN else None

        return mailed_codes.send(self._there, question, find, "the decision that we asked you for", now)

    def look(self, token: str, code: str, now: datetime) -> "Future[Looked]":
        """Show the request for a right code; that it was shown is on the record before. Wrong ones are counted."""
        there, controller = self._there, self._there.controller

        def work(unit: Unit) -> Looked:
            row = self._open(unit, token, now)
            check = codes.checked(unit.connection, controller, row, code, now)
            if check is CodeCheck.LOCKED:
                questions.close(unit.connection, row, Outcome.LOCKED, now)
                _tell_of_lock(unit, there, row, now)
            return self._shown(unit, row, now) if check is CodeCheck.RIGHT else Looked(check)

        return there.writer.submit(work)

    def decide(self, token: str, ticket: str, given: Given, now: datetime) -> "Future[Looked]":
        """Record a decision about what was shown; where that is no more so, or `given` is not whole, show it again."""
        there, keys = self._there, self._there.keys

        def work(unit: Unit) -> Looked:
            row = self._open(unit, token, now)
            seen = tickets.seen_by(keys, row.id, ticket, now)
            if seen is None:
                return Looked(CodeCheck.NONE)
            matter = matter_of(unit.connection, there, row, None, now)
            if matter.seen != seen:
                return self._shown(unit, row, now, "This has changed since you looked. Nothing is recorded yet.")
            stuck = {place.name for place in matter.places if place.decided}
            may, said = remedies_of(matter), given.remedies.items()
            chosen = {name: remedy for name, remedy in said if name in stuck and remedy in may}
            if matter.held and given.kind is not None:
                return self._decided(unit, row, given.kind, given, now)
            if not matter.held and chosen:
                return self._remedied(unit, row, chosen, given, now)
            return self._shown(unit, row, now)

        return there.writer.submit(work)

    def _open(self, unit: Unit, token: str, now: datetime) -> Row[Any]:
        row = questions.found_by(unit.connection, self._there.controller, token, now)
        if row is None or _standing(row) is not Standing.OPEN:
            raise NotFound("no question that is open has this link")
        return row

    def _decided(self, unit: Unit, row: Row[Any], kind: DecisionKind, given: Given, now: datetime) -> Looked:
        there, role = self._there, Role(row.role)
        person = by_link(role, given.name, given.reason)
        causes = frozenset(cause for cause in Cause if questions.may_release(there.controller, role, cause))
        try:
            done = demand_any(decide(unit, there.controller, row.request_id, kind, person, now, causes=causes))
        except DecisionRefused as refused:
            return self._shown(unit, row, now, refused.message)
        questions.close(unit.connection, row, CHOICES[kind], now)
        return Looked(CodeCheck.RIGHT, done=done_of(there, done))

    def _remedied(self, unit: Unit, row: Row[Any], chosen: Mapping[str, Remedy], given: Given, now: datetime) -> Looked:
        """What was chosen at each place, through the function of its command; all of it, or nothing."""
        there, person = self._there, by_link(Role(row.role), given.name, given.reason)
        done: list[Decided] = []
        for name, remedy in chosen.items():
            if remedy is Remedy.DONE:
                said, author = AnswerKind.DONE, Author(person.by, person.reason)
                state = answer_by_hand(unit, there.controller, row.request_id, name, said, author, "", now)
                done.append(Decided(name, state))
            else:
                kind = DecisionKind(remedy.value)
                decided = decide(unit, there.controller, row.request_id, kind, person, now, processors=[name])
                done += demand_any(decided)
        questions.close(unit.connection, row, Outcome.DECIDED, now)
        return Looked(CodeCheck.RIGHT, done=done_of(there, done))

    def _shown(self, unit: Unit, row: Row[Any], now: datetime, refused: str = "") -> Looked:
        there, role = self._there, Role(row.role)
        try:
            person = by_link(role, "", "shown by the link to a decision")
            who = who_rows(who_of(show(unit, there, row.request_id, person, now)))
        except NotFound:
            who = None  # destroyed: a decision is owed all the same
        matter = matter_of(unit.connection, there, row, who, now)
        return Looked(CodeCheck.RIGHT, matter, tickets.ticket(there.keys, row.id, matter.seen, now), refused=refused)


def _standing(row: Row[Any]) -> Standing:
    if row.outcome == Outcome.LOCKED:
        return Standing.LOCKED
    return Standing.OPEN if row.closed_at is None else Standing.DECIDED


def _tell_of_lock(unit: Unit, there: Installation, row: Row[Any], now: datetime) -> None:
    for role in ("operator", "dpo"):
        raise_alert(
            unit.connection,
            cause=f"question-locked-{role}",
            role=role,
            subject="The link to a decision is locked after many wrong codes",
            body="Somebody has the link of a question and typed wrong codes. Nothing was shown and nothing is decided. "
            "Decide by command: `dpsync status REQUEST`. If the DPO did not type them, find out who else reads their "
            "mail.",
            now=now,
            zone=there.zone,
            concerns=[Concern(row.id, f"request {row.request_id}")],
        )
