"""How a person hears of what is held: one alert a day that lists it all, with the command for each.

Where links are on, a request is first asked about in a mail of its own, and the alert reminds from the next day on.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from sqlalchemy import Connection

from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert, told_of
from dpsync.model import Cause
from dpsync.propagation import questions
from dpsync.propagation.controller import Controller
from dpsync.propagation.points import Point, QuestionKind

BY = "--by NAME --reason WHY"
RELEASE_CONTACT = f"dpsync release {{request}} {{processor}} --cause contact_unverified {BY}"
CAUSE = AlertCause.HELD

BECAUSE = {
    Cause.BRAKE: "There were more requests for one account in 24 hours than [safety] irreversible_per_day allows. "
    "A fault in the main database or a stolen secret looks like this.",
    Cause.APPROVAL: "An erasure waits for a person to approve it.",
    Cause.SHARED_ADDRESS: "An erasure names an address that another person in the main database uses too, or "
    "somebody whose records were merged: if that was a mistake, it would erase another one.",
    Cause.RESTRICTION_IN_FORCE: "There is an erasure request while a restriction (Art. 18) is in force for the person.",
    Cause.CONTACT_UNVERIFIED: "A notice would send personal data to a contact that has not confirmed the address yet.",
    Cause.OBSERVE: "dpsync only observes and sends nothing: see [safety] mode in the settings.",
    Cause.MAYBE_MERGE: "The main database says only that a record is gone. Merging two records of one person looks the "
    "same, and that person is not to be erased. Look in the main database which it was. If they were merged: `dpsync "
    "source merge SOURCE LOSER WINNER --by NAME --reason WHY` takes the erasure back.",
    Cause.RESTORED: "The database was restored from a back-up. This was open in it, and may have been done since, or "
    "withdrawn, or something newer may have come: look before you release it.",
    Cause.KEY_LOST: "The key of its month is lost for good, so dpsync cannot tell anybody of it. Have the main "
    "database send it again under a new id, then stop this one.",
    Cause.FOR_A_PERSON: "Who handed it over does not say what is to be done. Of a correction, find out the new values: "
    "enter them with `dpsync submit rectification`, then `dpsync settle REQUEST`. Of a restriction without its extent, "
    "or a legal hold: until you decide, no erasure of this person is sent. If you approve, the processor restricts all "
    "processing. If that is not meant, `dpsync settle REQUEST` keeps the erasures held, and `dpsync withdraw REQUEST` "
    "ends that.",
    Cause.SCOPE_UNMAPPED: "The person opted out of a part only, and the settings do not say what this part is at the "
    "processor. If you approve, the person is opted out of everything there. If it does not concern the processor: "
    "`dpsync settle REQUEST PROCESSOR`. So that nobody is asked again: [processors.NAME.scopes], see docs/scope.md.",
}
"""Why a person must decide. What only cools off is released by time, and is no concern of anybody's."""


@dataclass(frozen=True, slots=True)
class Held:
    """One propagation that is held, and for what. `fresh`: for less than a day."""

    request_id: str
    processor: str
    causes: frozenset[Cause]
    fresh: bool = True

    @property
    def points(self) -> list[Point]:
        """What a person must decide about it."""
        return [Point(self.request_id, self.processor, cause.value) for cause in sorted(self.causes & BECAUSE.keys())]


def tell_of_held(
    connection: Connection,
    controller: Controller,
    held: Sequence[Held],
    now: datetime,
    crowds: Mapping[tuple[str, Cause], int] = MappingProxyType({}),
) -> Counter[str]:
    """Tell the DPO of what a person must decide on; gives of how many at each processor something is new today.

    Each cause is a concern of its own: what is held anew, for another one, is told anew. What a mail of its own asks
    about today needs no other, and no contact that is being asked and may confirm itself: the operator sees to one that
    is silent for a day, and from then on the DPO is reminded. `crowds`: how many a processor has for a cause, where
    they are told as a number.
    """
    points = [point for one in held for point in one.points if point.subject is QuestionKind.HELD]
    asked = questions.ask(connection, controller, points, now)
    by_one = {one: _concerns(controller, one, asked, crowds) for one in held}
    by_crowd = {one: _concern_of_crowd(controller, *one, number) for one, number in crowds.items()}
    concerns = [*(concern for some in by_one.values() for concern in some), *by_crowd.values()]
    told = told_of(connection, CAUSE, [concern.about for concern in concerns], now, controller.zone)
    fresh = Counter(one.processor for one, some in by_one.items() if any(each.about not in told for each in some))
    for (processor, cause), concern in by_crowd.items():
        fresh[processor] += 0 if concern.about in told else crowds[processor, cause]
    if fresh := +fresh:
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
            concerns=concerns,
        )
    return fresh


def _concern_of_crowd(controller: Controller, processor: str, cause: Cause, number: int) -> Concern:
    title = controller.title_of(processor)
    command = RELEASE_CONTACT if cause is Cause.CONTACT_UNVERIFIED else f"dpsync release {{request}} {{processor}} {BY}"
    example = command.format(request="REQUEST", processor=processor)
    text = f"{title}: {number:,} requests. `dpsync status` lists them. For each: `{example}`"
    return Concern(f"*/{processor}/{cause}", text, title, BECAUSE[cause])


def _concerns(
    controller: Controller, one: Held, asked: Collection[Point], crowds: Mapping[tuple[str, Cause], int]
) -> list[Concern]:
    title = controller.title_of(one.processor)
    found = []
    for cause in (Cause(point.why) for point in one.points if point not in asked):
        may_confirm = cause is Cause.CONTACT_UNVERIFIED and one.fresh and bool(controller.asked)
        if may_confirm or (one.processor, cause) in crowds:
            continue
        release = f"dpsync release {one.request_id} {one.processor} {BY}"
        if cause is Cause.CONTACT_UNVERIFIED:
            release = RELEASE_CONTACT.format(request=one.request_id, processor=one.processor)
        if cause is Cause.FOR_A_PERSON:  # of a correction, a yes would say nothing
            release = f"dpsync dossier {one.request_id}"
        about = f"{one.request_id}/{one.processor}/{cause}"
        text = f"{title}, request {one.request_id}: `{release}`"
        found.append(Concern(about, text, title, BECAUSE[cause]))
    return found
