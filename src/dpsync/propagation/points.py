"""What people are asked about by link: single points, and which kind of question they make together."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from dpsync.model import Cause, State

CREDENTIAL: Final = "credential"
"""Why nothing goes to a processor that rejects our credential; also what its account says."""

_ASKED_FOR: Final = "asked for"
_BACK: Final = "back "


class QuestionKind(StrEnum):
    """What a question is about."""

    HELD = "held"
    STUCK = "stuck"
    ASKED_FOR = "asked for"
    TECHNICAL = "technical"
    BACK = "came back"


class Point(NamedTuple):
    """One thing to decide. `why`: the cause for which it is held, or the state in which it is stuck, and since when; or
    which record is there again.

    `processor` is "" where it is about the whole request, because somebody asked for a link to decide.
    """

    request_id: str
    processor: str
    why: str

    @property
    def cause(self) -> Cause | None:
        """Why it is held; None where it is not."""
        return Cause(self.why) if self.why in set(Cause) else None

    @property
    def finding(self) -> str:
        """The key of what a sweep found; "" where it is about nothing of the kind."""
        return self.why.removeprefix(_BACK) if self.why.startswith(_BACK) else ""

    @property
    def subject(self) -> QuestionKind:
        """Which kind of question asks about it."""
        if self.why == CREDENTIAL or self.cause is Cause.CONTACT_UNVERIFIED:
            return QuestionKind.TECHNICAL
        if self.why.startswith(_ASKED_FOR):
            return QuestionKind.ASKED_FOR
        if self.finding:
            return QuestionKind.BACK
        return QuestionKind.HELD if self.cause else QuestionKind.STUCK


def stuck_point(request_id: str, processor: str, state: State, since: datetime) -> Point:
    """That it is stuck. The same again at another time is another thing to decide."""
    return Point(request_id, processor, f"{state.value} {since.isoformat()}")


def back_point(request_id: str, processor: str, finding: str) -> Point:
    """That somebody is back at a processor for whom this request was carried out there. `finding`: its key."""
    return Point(request_id, processor, f"{_BACK}{finding}")


def asked_for(request_id: str, now: datetime) -> Point:
    """That somebody asked for a link to decide about a request."""
    return Point(request_id, "", f"{_ASKED_FOR} {now.isoformat()}")


def subject_of(points: Iterable[Point]) -> QuestionKind:
    """What a question is about; all its points are of one kind."""
    return next(iter(points)).subject
