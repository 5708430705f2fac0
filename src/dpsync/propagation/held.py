"""How a person hears of what is held: one alert a day that lists it all, with the command for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.model import Cause
from dpsync.propagation.controller import Controller

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
}
"""Why a person must decide. What only cools off is released by time, and is no concern of anybody's."""


@dataclass(frozen=True, slots=True)
class Held:
    """One propagation that is held, and for what."""

    request_id: str
    processor: str
    causes: frozenset[Cause]


def tell_of_held(connection: Connection, controller: Controller, held: Sequence[Held], now: datetime) -> list[Held]:
    """Tell the DPO of what a person must decide on; gives those of which something is new today.

    Each cause is a concern of its own: what is held anew, for another one, is told anew.
    """
    concerns = {one: _concerns(controller, one) for one in held}
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
            f"everywhere, leave out the processor. To stop a request instead: `dpsync withdraw REQUEST {BY}`.",
            now=now,
            zone=controller.zone,
            concerns=[concern for one in fresh for concern in concerns[one]],
        )
    return fresh


def _concerns(controller: Controller, one: Held) -> list[Concern]:
    title = controller.title_of(one.processor)
    found = []
    for cause in sorted(one.causes & BECAUSE.keys()):
        release = f"dpsync release {one.request_id} {one.processor} {BY}"
        if cause is Cause.CONTACT_UNVERIFIED:
            release = RELEASE_CONTACT.format(request=one.request_id, processor=one.processor)
        about = f"{one.request_id}/{one.processor}/{cause}"
        text = f"{title}, request {one.request_id}: `{release}`"
        found.append(Concern(about, text, title, BECAUSE[cause]))
    return found
