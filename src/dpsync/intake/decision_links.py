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

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import DpsyncError, NotFound
from dpsync.installation import Installation
from dpsync.intake import mailed_codes, remedies, returning, tickets
from dpsync.intake.mailed_codes import Sent
from dpsync.intake.matter import Matter, done_of, matter_of, sentence
from dpsync.intake.planning import looks_of
from dpsync.intake.remedies import Remedy
from dpsync.intake.returning import RETURNING
from dpsync.intake.whole import ToldBefore, Whole, carry_out
from dpsync.lookup import unknown
from dpsync.model import Request, Role
from dpsync.propagation import codes, questions
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.decisions import ROLES, Decided, by_link
from dpsync.propagation.points import QuestionKind, subject_of
from dpsync.propagation.questions import Outcome, points_of
from dpsync.propagation.showing import show
from dpsync.reports.letters import letters_ahead
from dpsync.reports.plan_text import looked_up
from dpsync.reports.who import who_of, who_rows
from dpsync.reports.words import day
from dpsync.store.question_tables import question
from dpsync.store.writer import Unit

MOST_KEPT = 100
"""Questions of which is kept in memory where the person was found."""

OUTCOMES = {Whole.RELEASE: Outcome.RELEASED, Whole.WITHDRAW: Outcome.WITHDRAWN}
"""How a question ends by what is decided about the whole request."""


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
    """What somebody filled in; no `whole` and no `remedies` where something lacks.

    `whole`: about the whole request. `remedies`: by processor. `told`: that the person was told before. `contacts`:
    what was typed as the contact, by processor.
    """

    whole: Whole | None
    name: str
    reason: str
    remedies: Mapping[str, Remedy] = field(default_factory=dict)
    told: ToldBefore | None = None
    contacts: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of a code or a decision: the request is shown, with a ticket to decide by, or it is not.

    `done`: what the decision did, by the title of each processor; `said`: the same of the whole request. `later`: that
    the person is owed a letter, in a sentence.
    """

    check: CodeCheck
    matter: Matter | None = field(default=None, repr=False)
    ticket: str = ""
    request: Request | None = field(default=None, repr=False)
    done: tuple[tuple[str, str], ...] = ()
    said: str = ""
    later: str = ""
    refused: str = ""

    @property
    def recorded(self) -> bool:
        """Whether a decision was recorded."""
        return bool(self.done or self.said)


class DecisionLinks:
    """What the holders of links may see and do. `token` is the secret part of a link."""

    def __init__(self, there: Installation) -> None:
        self._there = there
        self._looks: dict[str, tuple[datetime, dict[str, str]]] = {}

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
        """Record a decision about what was shown; where that is no more so, or `given` is not whole, show it again.

        Raises (in the future) `DecisionRefused`, and then nothing is recorded.
        """

        def work(unit: Unit) -> Looked:
            row = self._open(unit, token, now)
            matter = self._seen(unit, row, ticket, now)
            if not isinstance(matter, Matter):
                return matter
            can = {place.name: place.remedies for place in matter.places}
            chosen = {name: remedy for name, remedy in given.remedies.items() if remedy in can.get(name, ())}
            if given.whole in matter.wholes and given.whole is not None and not chosen:
                return self._decided(unit, row, given.whole, given, now)
            if chosen and given.whole is None:
                return self._remedied(unit, row, matter, chosen, given, now)
            return self._shown(unit, row, now)

        return self._there.writer.submit(work)

    def again(self, token: str, ticket: str, refused: str, now: datetime) -> "Future[Looked]":
        """Show the request once more, and say why the decision was refused."""

        def work(unit: Unit) -> Looked:
            row = self._open(unit, token, now)
            matter = self._seen(unit, row, ticket, now)
            return self._shown(unit, row, now, sentence(refused)) if isinstance(matter, Matter) else matter

        return self._there.writer.submit(work)

    def _seen(self, unit: Unit, row: Row[Any], ticket: str, now: datetime) -> "Matter | Looked":
        """What the holder of a ticket was shown, where it is still so; else what they get instead."""
        there = self._there
        seen = tickets.seen_by(there.keys, row.id, ticket, now)
        if seen is None:
            return Looked(CodeCheck.NONE)
        matter = matter_of(unit.connection, there, row, None, now)
        if matter.seen == seen:
            return matter
        return self._shown(unit, row, now, "This has changed since you looked. Nothing is recorded yet.")

    def _open(self, unit: Unit, token: str, now: datetime) -> Row[Any]:
        row = questions.found_by(unit.connection, self._there.controller, token, now)
        if row is None or _standing(row) is not Standing.OPEN:
            raise NotFound("no question that is open has this link")
        return row

    def _decided(self, unit: Unit, row: Row[Any], whole: Whole, given: Given, now: datetime) -> Looked:
        there, role = self._there, Role(row.role)
        person, told = by_link(role, given.name, given.reason), given.told
        if whole in RETURNING:
            done, said = list[Decided](), returning.decide(unit, there, row, whole, person, told, now)
        else:
            event = f"link-{row.id}"
            done, said = carry_out(unit, there, row.request_id, whole, role, person, told, now, event=event)
        questions.close(unit.connection, row, OUTCOMES.get(whole, _in_part(row)), now)
        return Looked(CodeCheck.RIGHT, done=done_of(there, done), said=said, later=_later(unit, there, row, now))

    def _remedied(
        self, unit: Unit, row: Row[Any], matter: Matter, chosen: Mapping[str, Remedy], given: Given, now: datetime
    ) -> Looked:
        """What was chosen at each place, through the function of its command; all of it, or nothing."""
        there, person = self._there, by_link(Role(row.role), given.name, given.reason)
        done: list[Decided] = []
        for name, remedy in chosen.items():
            typed = given.contacts.get(name, "")
            done += remedies.carry_out(unit, there, row.request_id, name, remedy, person, now, address=typed)
        questions.close(unit.connection, row, _in_part(row) if matter.held else Outcome.DECIDED, now)
        return Looked(CodeCheck.RIGHT, done=done_of(there, done), later=_later(unit, there, row, now))

    def _shown(self, unit: Unit, row: Row[Any], now: datetime, refused: str = "") -> Looked:
        there = self._there
        technical = subject_of(points_of(row)) is QuestionKind.TECHNICAL
        request = None if technical else self._request(unit, row, now)
        who = None if request is None else who_rows(who_of(request))
        matter = matter_of(unit.connection, there, row, who, now)
        ticket = tickets.ticket(there.keys, row.id, matter.seen, now)
        return Looked(CodeCheck.RIGHT, matter, ticket, request=request, refused=refused)

    def _request(self, unit: Unit, row: Row[Any], now: datetime) -> Request | None:
        try:
            person = by_link(Role(row.role), "", "shown by the link to a decision")
            return show(unit, self._there, row.request_id, person, now)
        except NotFound:
            return None  # destroyed: a decision is owed all the same

    def looks(self, link: Link, looked: Looked, now: datetime) -> dict[str, str]:
        """Where the person is held, a sentence for each processor where something is still to be done; in a thread.

        Asked once for each half hour in which a decision may be sent: a form that comes back wrong asks nobody again.
        """
        if looked.request is None or looked.matter is None:
            return {}
        at, kept = self._looks.get(link.id, (now, None))
        if kept is not None and now - at < tickets.TICKET:
            return kept
        places = [place.name for place in looked.matter.places if place.open]
        try:
            seen = looks_of(self._there, looked.request, places, now)
        except DpsyncError as error:  # such as an older request of the person that does not open
            seen = dict.fromkeys(places, unknown(error.message, again=True))
        found = {name: sentence(looked_up(one)) for name, one in seen.items()}
        if len(self._looks) >= MOST_KEPT:
            self._looks.clear()
        self._looks[link.id] = (now, found)
        return found


def _later(unit: Unit, there: Installation, row: Row[Any], now: datetime) -> str:
    """What is left to do for the person after a decision."""
    if Role(row.role) is Role.OPERATOR or not there.controller.watch_letters:
        return ""
    today = now.astimezone(there.zone).date()
    duties, later = letters_ahead(unit.connection, today, there.zone, row.request_id)
    by = next((duty.by for duty in duties if duty.by), None)
    return f"Write to the person by {day(by)}: no letter that answers them is recorded." if by else later


def _in_part(row: Row[Any]) -> Outcome:
    """How a question ends where something that it asked about is still to be decided."""
    whole = subject_of(points_of(row)) in {QuestionKind.ASKED_FOR, QuestionKind.BACK}
    return Outcome.DECIDED if whole else Outcome.IN_PART


def _standing(row: Row[Any]) -> Standing:
    if row.outcome == Outcome.LOCKED:
        return Standing.LOCKED
    return Standing.OPEN if row.closed_at is None else Standing.DECIDED


def _tell_of_lock(unit: Unit, there: Installation, row: Row[Any], now: datetime) -> None:
    for role in ("operator", "dpo"):
        raise_alert(
            unit.connection,
            cause=AlertCause.QUESTION_LOCKED,
            also=role != "operator",
            role=role,
            subject="The link to a decision is locked after many wrong codes",
            body="Somebody has the link of a question and typed wrong codes. Nothing was shown and nothing is decided. "
            "The page of the request, from our email or from what waits, has a button for another link; or decide by "
            "command: `dpsync status REQUEST`. If the DPO did not type them, find out who else reads their "
            "mail.",
            now=now,
            zone=there.zone,
            concerns=[Concern(row.id, f"request {row.request_id}")],
        )
