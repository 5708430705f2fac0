"""What is kept of people, and for how long, as the settings say it: the report, and `dpsync processors`."""

from collections.abc import Iterator
from dataclasses import dataclass

from dpsync.reports.words import several
from dpsync.settings import Settings
from dpsync.settings.housekeeping import SCHEDULE, ForgettingSection

FOR_EVER = "for ever: nothing destroys it"
_UNSET = "for ever, without the section"
_SCHEDULE = f"{SCHEDULE} years; for ever without the section"


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One kind of data. `setting`: what sets how long, "" where nothing does; `default`: how long without it."""

    what: str
    how_long: str
    setting: str = ""
    default: str = ""

    @property
    def set_by(self) -> str:
        """What sets it, in brackets behind a space; "" where nothing does."""
        return f" ({self.setting}; default: {self.default})" if self.setting else ""

    @property
    def sentence(self) -> str:
        """How long, and what sets it."""
        return self.how_long + self.set_by


def kept_lines(settings: Settings) -> tuple[KeptLine, ...]:
    """Each kind of data that is kept of people; needs no secret."""
    return tuple(_lines(settings))


def _lines(settings: Settings) -> Iterator[KeptLine]:
    section = settings.forgetting
    finished = f"{section.after_days} days after the request was finished everywhere" if section else FOR_EVER
    setting, default = "[forgetting] after_days", _UNSET
    what = "Name, addresses and changes, reasons of decisions and remarks of answers, sealed"
    yield KeptLine(what, finished, setting, default)
    yield _keys_line(settings)
    cases = _years(section.cases_after_years if section else None, "the case")
    yield KeptLine(
        "What was written of complaints and incidents, sealed", cases, "[forgetting] cases_after_years", _SCHEDULE
    )
    who = "Who decided, answered or was named as a contact, sealed"
    yield KeptLine(who, f"{FOR_EVER}. It is part of the proof, and names your people and those of the processors")
    ids = "Event ids that main databases gave, and keyed digests of what they sent"
    yield KeptLine(ids, f"{FOR_EVER}: a message that comes again is known by them, and is not carried out twice")
    yield KeptLine("The id of a record that differs in a main database, sealed", "until the difference is closed")
    platform = "What opens the job of a privacy platform to our answer, sealed"
    yield KeptLine(platform, "until the platform has the answer, or the request is forgotten")
    yield from _of_conversations(settings)
    yield from _by_name(section)
    yield KeptLine("Ledger, calls and dates", f"{FOR_EVER}. They name nobody")
    receipts = _years(section.receipts_after_years if section else None, "its request, if that is forgotten")
    yield KeptLine(
        "Receipts, in the receipts folder",
        f"{receipts}. Whoever has one, or a copy of it, can confirm an address that they know",
        "[forgetting] receipts_after_years",
        "for ever",
    )
    yield KeptLine("Back-ups", "until you delete them. With the keys of their months they open what is destroyed since")


def _by_name(section: ForgettingSection | None) -> Iterator[KeptLine]:
    """What outlives a request, and is found or known by a name of its person."""
    pseudonyms = _years(section.pseudonyms_after_years if section else None, "the last request of the person")
    yield KeptLine(
        "Pseudonyms of people",
        f"{pseudonyms}; of whoever opted out or was restricted for ever. By them dpsync knows who asked before. A "
        "pseudonym is still personal data",
        "[forgetting] pseudonyms_after_years",
        _SCHEDULE,
    )
    proofs = _years(section.proofs_after_years if section else None, "the year in which its request is forgotten")
    yield KeptLine(
        "What leads from a name to the proof (dpsync find)",
        f"{proofs}. It opens only for whoever has the name",
        "[forgetting] proofs_after_years",
        _SCHEDULE,
    )
    memories = section and f"{several(section.memories_after_years, 'year')} after it was last written"
    yield KeptLine(
        "What connectors remember of people, sealed",
        f"{memories or 'for ever'}, if it belongs to no request; what an opt-out or a restriction rests on for ever, "
        "and what finds people at a processor without a search of its own for as long as that is in the settings",
        "[forgetting] memories_after_years",
        _SCHEDULE,
    )


def _of_conversations(settings: Settings) -> Iterator[KeptLine]:
    for name, one in settings.processors.items():
        if one.retention is not None:
            months = f"{one.retention.months} months from when it began, then a person deletes it there"
            of = f"Private conversations at {one.title}"
            yield KeptLine(of, months, f"[processors.{name}.retention] months", "no rule: dpsync does not look")
            gone = f"Pseudonyms of private conversations at {one.title}"
            yield KeptLine(gone, f"{FOR_EVER}: one that comes back is known by them. Its ids go when it is gone")


def _years(years: int | None, of: str) -> str:
    return "for ever" if years is None else f"{several(years, 'year')} after the end of {of}"


def _keys_line(settings: Settings) -> KeptLine:
    section = settings.forgetting
    how_long = f"{section.keys_after_days} days after all that is sealed under it is forgotten" if section else FOR_EVER
    return KeptLine("The key of a month, which opens older back-ups", how_long, "[forgetting] keys_after_days", _UNSET)
