"""The register of processors (GDPR Art. 30): what the settings say of each, and what they do not say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, func, select

from dpsync.cases.departures import Departure
from dpsync.model import CLOSED_STATES
from dpsync.reports.duties import Duty
from dpsync.reports.processors import CapabilityLine, ExemptLine, ProcessorLine
from dpsync.reports.words import day, several
from dpsync.settings import ProcessorSection, Settings
from dpsync.store import tables as t

HOME = "GB"
"""Data that are elsewhere need a ground for the transfer (UK GDPR Art. 44 to 49)."""

COMMAND = "dpsync register"

_P = t.propagation.c
_OPEN = (
    select(_P.processor, func.count().label("requests"))
    .where(_P.state.not_in([state.value for state in CLOSED_STATES]))
    .group_by(_P.processor)
)


@dataclass(frozen=True, slots=True)
class RegisterLine:
    """One processor. `missing`: the keys of its section that say nothing; nothing is made up in their place.

    `conversations_months`: how long private conversations may stay there, None without a rule. `open_requests`: how
    many requests are not closed there. `review_overdue`, `left`: the day of the review, or of leaving, is over.
    `instructed_on`, `confirmed_on`: when one that leaves was told to delete or return everything, and said that it has.
    """

    processor: str
    title: str
    is_controller: bool
    contact: str
    purpose: str
    people: tuple[str, ...]
    data: tuple[str, ...]
    countries: tuple[str, ...]
    transfer: str
    kept_for: str
    conversations_months: int | None
    contract_on: date | None
    review_by: date | None
    review_overdue: bool
    leaving: date | None
    left: bool
    instructed_on: date | None
    confirmed_on: date | None
    open_requests: int
    missing: tuple[str, ...]
    rights: tuple[CapabilityLine, ...]
    exempt: tuple[ExemptLine, ...]

    @property
    def key(self) -> str:
        """Where its entry stands in the settings."""
        return f"processors.{self.processor}.about"


@dataclass(frozen=True, slots=True)
class Register:
    """All of them, as the settings say today; `duties`: what a person must do about it, the most urgent first."""

    controller: str
    dpo: str
    rehearsal: bool
    zone: str
    made_at: datetime
    lines: tuple[RegisterLine, ...]
    duties: tuple[Duty, ...]


def open_requests(connection: Connection) -> dict[str, int]:
    """How many requests are not closed at each processor; one without any is not in it."""
    return {row.processor: row.requests for row in connection.execute(_OPEN)}


def register_of(
    settings: Settings,
    known: Iterable[ProcessorLine],
    still_open: Mapping[str, int],
    leaving: Mapping[str, Departure],
    now: datetime,
    today: date,
) -> Register:
    """The register. `known`: what each connector can do; `leaving`: how far the departure of each that leaves is;
    `today`: a day of the controller's zone.
    """
    lines = tuple(
        _line(one, settings.processors[one.name], still_open.get(one.name, 0), leaving.get(one.name), today)
        for one in known
    )
    duties = sorted(
        (duty for line in lines for duty in duties_of_line(line)),
        key=lambda duty: (not duty.overdue, duty.by is None, duty.by or today),
    )
    c = settings.controller
    return Register(c.name, c.dpo, c.rehearsal, c.time_zone, now, lines, tuple(duties))


def duties_of_line(line: RegisterLine) -> list[Duty]:
    """What is to be done about one processor."""
    found = []
    if line.review_overdue:
        told = (
            f"Review {line.title}: contract, data, country and how long they are kept. Then set {line.key}.review_by."
        )
        found.append(Duty(overdue=True, by=line.review_by, sentence=told, command=COMMAND))
    if line.leaving is not None:
        told = f"{line.title} is leaving. {' '.join(remains(line))}"
        found.append(
            Duty(overdue=line.left, by=line.leaving, sentence=told, command=f"dpsync leaving {line.processor}")
        )
    if line.missing:
        told = f"Fill in {', '.join(line.missing)} of {line.title}, in [{line.key}]."
        found.append(Duty(overdue=False, by=None, sentence=told, command=COMMAND))
    return found


def remains(line: RegisterLine) -> list[str]:
    """What must still be done about a processor that is leaving. dpsync itself does none of it."""
    still = several(line.open_requests, "request is", "requests are")
    open_there = [f"{still} still open there: close them first."] if line.open_requests else []
    section = f"Then take [processors.{line.processor}] out of the settings. Until then dpsync goes on telling it."
    return [*open_there, _of_its_data(line), section]


def _of_its_data(line: RegisterLine) -> str:
    if line.is_controller:
        return "Tell it to use the data no more for you."
    if line.confirmed_on:
        return (
            f"It confirmed on {day(line.confirmed_on)} that everything is deleted or returned. That is its word: "
            "dpsync cannot see it."
        )
    if line.instructed_on:
        return (
            f"It was instructed on {day(line.instructed_on)} to delete or return all your data, and nobody recorded "
            "that it confirmed this."
        )
    return (
        "Instruct it in writing to delete or return all your data, and to confirm that (Art. 28(3)(g)): dpsync has the "
        "letter ready, and sends it to nobody."
    )


def _line(
    known: ProcessorLine, section: ProcessorSection, still_open: int, leaves: Departure | None, today: date
) -> RegisterLine:
    said = section.about
    return RegisterLine(
        processor=known.name,
        title=known.title,
        is_controller=section.kind == "controller",
        contact=section.contact,
        purpose=said.purpose or "",
        people=said.people,
        data=said.data,
        countries=said.countries,
        transfer=said.transfer or "",
        kept_for=said.kept_for or "",
        conversations_months=section.retention.months if section.retention else None,
        contract_on=said.contract_on,
        review_by=said.review_by,
        review_overdue=said.review_by is not None and said.review_by < today,
        leaving=section.leaving,
        left=section.leaving is not None and section.leaving < today,
        instructed_on=leaves.instructed.on if leaves and leaves.instructed else None,
        confirmed_on=leaves.confirmed.on if leaves and leaves.confirmed else None,
        open_requests=still_open,
        missing=tuple(missing_of(section)),
        rights=known.capabilities,
        exempt=known.exempt,
    )


def missing_of(section: ProcessorSection) -> list[str]:
    """The keys of the register that a section leaves out although they are needed."""
    said = section.about
    needed = ["purpose", "people", "data", "countries", "kept_for", "review_by"]
    needed += ["transfer"] if set(said.countries) - {HOME} else []
    # With a controller of its own there is no contract of Art. 28.
    needed += ["contract_on"] if section.kind == "processor" else []
    return [key for key in needed if not getattr(said, key)]
