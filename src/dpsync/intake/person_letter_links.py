"""The letter to a person, by link: the code first, then the text, then the record that it went.

dpsync sends it to nobody. Whoever reads it here sends it, and the digest of what they were shown is recorded with it.
"""

from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Row

from dpsync.errors import NotFound
from dpsync.installation import Installation
from dpsync.intake import mailed_codes, tickets
from dpsync.intake.mailed_codes import Sent
from dpsync.model import Role
from dpsync.person_letters.compose import Asks, PersonLetter
from dpsync.person_letters.service import LetterChoices, choices_of, letter_to
from dpsync.propagation import codes, page_links, telling
from dpsync.propagation.codes import CodeCheck
from dpsync.propagation.commitments import asked_by
from dpsync.propagation.decisions import by_link
from dpsync.propagation.showing import show
from dpsync.propagation.telling import LetterKind, Told
from dpsync.store.page_link_tables import page_link
from dpsync.store.writer import Unit

_NOTHING_YET: Final = "none"
"""What a ticket says before a letter is written."""


@dataclass(frozen=True, slots=True)
class LetterTicket:
    """What came of a code. `ticket`: by which a letter is written; "" where the code was not right."""

    check: CodeCheck
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class LetterSent:
    """That a letter went, as somebody typed it. `how`: post, mail and so on."""

    on: date
    how: str
    name: str = field(repr=False)
    note: str = field(default="", repr=False)


class PersonLetterLinks:
    """What the holders of links may have written, and record. `token` is the secret part of a link."""

    def __init__(self, there: Installation) -> None:
        self._there = there

    def send_code(self, token: str, now: datetime) -> Sent:
        """Mail a code to the role's address; waits for the mail host, so it is called in a thread."""
        there = self._there
        return mailed_codes.send(
            there,
            page_link,
            lambda connection: page_links.reader_of(connection, there.controller, token, now),
            "the letter that you want to write",
            now,
        )

    def look(self, token: str, request_id: str, code: str, now: datetime) -> "Future[LetterTicket]":
        """Let a right code have letters written; that the person is shown is on the record before. Wrong ones count.

        Raises (in the future) `NotFound`.
        """
        there = self._there

        def work(unit: Unit) -> LetterTicket:
            row = self._demanded(unit, token, now)
            check = codes.checked(unit.connection, there.controller, row, code, now, page_link)
            if check is CodeCheck.LOCKED:
                page_links.revoke(unit.connection, [row.id], now)
            if check is not CodeCheck.RIGHT:
                return LetterTicket(check)
            person = by_link(Role(row.role), "", "the letter to the person, shown by the link to the dossier")
            with suppress(NotFound):  # destroyed: the letter then names nobody
                show(unit, there, request_id, person, now)
            return LetterTicket(check, tickets.ticket(there.keys, _about(row, request_id), _NOTHING_YET, now))

        return there.writer.submit(work)

    def choices(self, request_id: str, now: datetime) -> LetterChoices:
        """What letters fit the request as it stands. Raises `NotFound`."""
        return choices_of(self._there, request_id, now)

    def written(
        self, token: str, request_id: str, ticket: str, kind: LetterKind, asks: Asks, now: datetime
    ) -> tuple[PersonLetter, str] | None:
        """The letter, with the ticket by which it is recorded; None where the ticket is over its time.

        Raises `NotFound`, `DecisionRefused` for one that does not fit, `UsageError` for what it lacks.
        """
        there = self._there
        row = there.read(lambda connection: page_links.reader_of(connection, there.controller, token, now))
        if row is None or tickets.seen_by(there.keys, _about(row, request_id), ticket, now) is None:
            return None
        asked = there.read(lambda connection: asked_by(connection, there, request_id))
        letter = letter_to(there, request_id, kind, (asked and asked.subject.name) or "", asks, now)
        seen = f"{letter.kind.value}-{letter.digest}"
        return letter, tickets.ticket(there.keys, _about(row, request_id), seen, now)

    def record(
        self, token: str, request_id: str, ticket: str, sent: LetterSent, now: datetime
    ) -> "Future[bool | None]":
        """Record that the letter of a ticket went; whether none is due any more, None where the ticket is over.

        Twice is recorded once. Raises (in the future) `NotFound`, `DecisionRefused`.
        """
        there = self._there

        def work(unit: Unit) -> bool | None:
            row = self._demanded(unit, token, now)
            kind, _, digest = (tickets.seen_by(there.keys, _about(row, request_id), ticket, now) or "").partition("-")
            if not digest:
                return None
            told = Told(LetterKind(kind), sent.on, sent.how, digest)
            if told not in telling.all_told(unit.connection, request_id):
                person = by_link(Role(row.role), sent.name, sent.note)
                telling.tell(unit, there.controller, request_id, told, person, now)
            return telling.is_answered(unit.connection, there.controller, request_id)

        return there.writer.submit(work)

    def _demanded(self, unit: Unit, token: str, now: datetime) -> Row[Any]:
        row = page_links.reader_of(unit.connection, self._there.controller, token, now)
        if row is None:
            raise NotFound("no link that is good is this one")
        return row


def _about(row: Row[Any], request_id: str) -> str:
    """What a ticket is for: letters about this request, by this link."""
    return f"{row.id}/{request_id}/letter"
