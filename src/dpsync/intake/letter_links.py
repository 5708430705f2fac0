"""Where the links in our letters lead: the answer to a notice, and the confirmation of a contact."""

from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from dpsync.installation import Installation
from dpsync.propagation.correspondence import acknowledgement
from dpsync.propagation.correspondence.acknowledgement import AnswerForm, Question
from dpsync.propagation.rules.lifecycle import AnswerKind


@dataclass(frozen=True, slots=True)
class ContactPage:
    """What whoever holds a confirmation link may see: which processor's contact this address is meant to be."""

    processor: str
    confirmed: bool = False


class LetterLinks:
    """What their holders may see, and what they say. `token` is the secret part of a link.

    Links are forwarded, and read by scanners: looking changes nothing.
    """

    def __init__(self, there: Installation) -> None:
        self._there = there

    def question(self, token: str, now: datetime) -> Question | None:
        """What an answer link asks; None for a link that nobody made, or that is too old."""
        there = self._there
        return there.read(lambda connection: acknowledgement.question(connection, there.controller, token, now))

    def answer(self, token: str, kind: AnswerKind, given: AnswerForm, now: datetime) -> "Future[Question]":
        """Keep what a processor's person said; resolves after the commit.

        Raises (in the future) `NotFound` for a link that leads nowhere, `DecisionRefused` for one used too often.
        """
        controller = self._there.controller
        return self._there.writer.submit(
            lambda unit: acknowledgement.answer_by_link(unit, controller, token, kind, given, now)
        )

    def contact(self, token: str) -> ContactPage | None:
        """Whose contact a confirmation link is for; None for a link that leads nowhere."""
        there = self._there
        found = there.read(lambda connection: acknowledgement.contact_of(connection, there.controller, token))
        return None if found is None else ContactPage(found[0], confirmed=found[1])

    def confirm(self, token: str, now: datetime) -> "Future[str]":
        """Keep that this is the right address; resolves after the commit. Raises (in the future) `NotFound`."""
        controller = self._there.controller
        return self._there.writer.submit(lambda unit: acknowledgement.confirm_contact(unit, controller, token, now))
