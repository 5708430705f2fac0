"""A processor that leaves: it was instructed to delete or return everything, and it confirmed that (Art. 28(3)(g)).

dpsync instructs nobody here: that cannot be undone, and it is about everybody. A person sends the letter and records
it. Each belongs to the last day that the settings name, so that another last day is instructed anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from dpsync.cases.acts import act, acts, demand_day
from dpsync.cases.values import Channel, PersonTold
from dpsync.errors import DecisionRefused
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.controller import Controller
from dpsync.propagation.decisions import Person
from dpsync.store.writer import Unit

LETTER: Final = "L"


class DepartureStep(StrEnum):
    """What can be recorded of it; the ledger calls it `leaving_` and this."""

    INSTRUCTED = "instructed"
    CONFIRMED = "confirmed"


@dataclass(frozen=True, slots=True)
class Departure:
    """How far it is. `instructed`, `confirmed`: when and how, and the digest of the letter; the newest of each."""

    processor: str
    last_day: date
    instructed: PersonTold | None = None
    confirmed: PersonTold | None = None


def case_of(processor: str) -> str:
    """What its steps are kept under."""
    return f"{LETTER}-{processor}"


def departure(connection: Connection, processor: str, last_day: date) -> Departure:
    """How far the departure of a processor on that day is."""
    told: dict[str, PersonTold] = {}
    for one in acts(connection, LETTER, case_of(processor)).get(case_of(processor), ()):
        said = one.said
        if said.get("last_day") == last_day.isoformat():
            told[said["step"]] = PersonTold(
                date.fromisoformat(said["on"]), Channel(said["how"]), said.get("digest", "")
            )
    return Departure(processor, last_day, told.get(DepartureStep.INSTRUCTED), told.get(DepartureStep.CONFIRMED))


def departures(connection: Connection, leaving: Mapping[str, date]) -> Mapping[str, Departure]:
    """The same of all that leave, by processor."""
    return {name: departure(connection, name, day) for name, day in leaving.items()}


def record(
    unit: Unit,
    controller: Controller,
    before: Departure,
    step: DepartureStep,
    told: PersonTold,
    person: Person,
    now: datetime,
) -> Departure:
    """Record a step. It may be instructed again; what is confirmed is closed.

    Raises `DecisionRefused`, `UsageError` without a name.
    """
    if before.confirmed is not None:
        raise DecisionRefused(f"it confirmed on {before.confirmed.on:%d %b %Y} already that everything is deleted")
    since, began = date.min, ""
    if step is DepartureStep.CONFIRMED:
        if before.instructed is None:
            raise DecisionRefused("nobody recorded that it was instructed: record that first")
        since, began = before.instructed.on, "when it was instructed"
    demand_day(controller, told.on, since, now, "the day", began)
    said = {"step": step.value, "last_day": before.last_day.isoformat(), **told.said}
    entered = {**told.entered, "kind": f"leaving_{step}", "dest": before.processor}
    act(unit, controller, case_of(before.processor), EntryKind.DECIDED, person, now, said=said, entered=entered)
    return departure(unit.connection, before.processor, before.last_day)
