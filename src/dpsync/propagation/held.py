"""How a person hears of what is held: one alert a day that lists it all, with the command for each.

Where links are on, a request is first asked about in a mail of its own, and the alert reminds from the next day on.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.model import Cause
from dpsync.propagation import questions
from dpsync.propagation.controller import Controller
from dpsync.propagation.points import Point, QuestionKind

BY = "--by NAME --reason WHY"
RELEASE_CONTACT = f"dpsync release {{request}} {{processor}} --cause contact_unverified {BY}"
CAUSE = "held"

BECAUSE = {
    Cause.BRAKE: "There were more requests for one account in 24 hours than [safety] irreversible_per_day allows. "
    "A fault in the main database or a stolen secret looks like this.",
    Cause.APPROVAL: "An erasure waits for a person to approve it.",
    Cause.SHARED_ADDRESS: "An erasure names an address that another person in the main database uses too.",
    Cause.RESTRICTION_IN_FORCE: "There is an erasure request while a restriction (Art. 18) is in force for the person.",
    Cause.CONTACT_UNVERIFIED: "A notice would send personal data to a contact that has not confirmed the address yet.",
    Cause.OBSERVE: "dpsync only observes and sends nothing: see [safety] mode in the settings.",
    Cause.RESTORED: "The database was restored from a back-up. This was open in it, and may have been done since, or "
    "withdrawn, or something newer may have come: look before you release it.",
}
"""Why a person must decide. What only cools off is released by time, and is no concern of anybody's."""


@dataclass(frozen=True, slots=True)
class Held:
    """One propagation that is held, and for what."""

    request_id: str
    processor: str
    causes: frozenset[Cause]

    @property
    def points(self) -> list[Point]:
        """What a person must decide about it."""
        return [Point(self.request_id, self.processor, cause.value) for cause in sorted(self.causes & BECAUSE.keys())]


def tell_of_held(connection: Connection, controller: Controller, held: Sequence[Held], now: datetime) -> list[Held]:
    """Tell the DPO of what a person must decide on; gives those of which something is new today.

    Each cause is a concern of its own: what is held anew, for another one, is told anew. What a mail of its own asks
    about today needs no other.
    """
    points = [point for one in held for point in one.points if point.subject is QuestionKind.HELD]
    asked = questions.ask(connection, controller, points, now)
    concerns = {one: _concerns(controller, one, asked) for one in held}
    abouts = [concern.about for some in concerns.values() for concern in some]
    told = told_of(connection, CAUSE, abouts, now, controller.zone)
    fresh = [one for one, some in concerns.items() if any(concern.about not in told for concern in some)]
    if fresh:
        raise_alert(
            connection,
            cause=CAUSE,
            role="dpo",
            subject="Held and waiting for a decision",
            body="Nothing is sent until a named person decides, and the legal dates run. To see who a request is "
            "about: `dpsync status REQUEST --who`. Each command below is for one processor. To release a request "
            f"everywhere, leave out the processor. To stop a request instead: `dpsync withdraw REQUEST {BY}`."
            + (" If an email of its own asks about a request, its link decides, too." if controller.asked else ""),
            now=now,
            zone=controller.zone,
            concerns=[concern for one in fresh for concern in concerns[one]],
        )
    return fresh


def _concerns(controller: Controller, one: Held, asked: Collection[Point]) -> list[Concern]:
    title = controller.title_of(one.processor)
    found = []
    for cause in (Cause(point.why) for point in one.points if point not in asked):
        release = f"dpsync release {one.request_id} {one.processor} {BY}"
        if cause is Cause.CONTACT_UNVERIFIED:
            release = RELEASE_CONTACT.format(request=one.request_id, processor=one.processor)
        about = f"{one.request_id}/{one.processor}/{cause}"
        text = f"{title}, request {one.request_id}: `{release}`"
        found.append(Concern(about, text, title, BECAUSE[cause]))
    return found
