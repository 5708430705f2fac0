"""Working days: which days are weekends or public holidays, for a country or a part of one. Data of `holidays`.

Countries are those where the GDPR applies: the member states of the European Union and of the European Economic Area,
and the nations of the United Kingdom. Only public holidays move a date; where the settings say so, Catholic ones too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache
from importlib.metadata import version

import holidays as public_holidays

from dpsync.errors import ConfigurationError, Fault

NATIONS = ("GB-ENG", "GB-WLS", "GB-SCT", "GB-NIR")
"""Plain "GB" is refused: it knows only what all four share, and so lacks Easter Monday."""

MEMBER_STATES = (
    *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS", "IT", "LI"),
    *("LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"),
)
"""The European Economic Area, by ISO 3166."""

PUBLIC = "public"
CATEGORIES = (PUBLIC, "catholic")
"""Others of the library are not days off for everybody: bank, optional, school, half_day, workday and more."""

DAY = timedelta(days=1)
SATURDAY = 5


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """The calendar of a place. `place`: "GB-ENG", "DE-BE" or "FR"; `categories`: some of `CATEGORIES`, public first."""

    place: str
    categories: tuple[str, ...] = (PUBLIC,)

    @property
    def name(self) -> str:
        """The place, the categories beside the public holidays, and the version of the data: what a date came from."""
        return f"{' '.join([self.place, *self.categories[1:]])}, holidays {_version_of_the_data()}"

    def first_from(self, day: date) -> date:
        """`day` itself, or the next working day. Raises `ConfigurationError` beyond the years that the data know."""
        while day.weekday() >= SATURDAY or day in _holidays_of(self.place, self.categories, day.year):
            day += DAY
        return day


def faults_of(country: str, subdivision: str, categories: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the data do not know of a place in the European Economic Area: the setting, and what there is instead."""
    if country not in MEMBER_STATES:
        yield "country", f"must be one of {', '.join(MEMBER_STATES)}"
        return
    known = public_holidays.country_holidays(country)
    parts = tuple(known.subdivisions)
    if subdivision and subdivision not in parts:
        there_are = f"must be one of {', '.join(parts)}, or left out" if parts else "must be left out"
        yield "subdivision", f"{there_are}: so the holidays of {country} are known"
    usable = [name for name in CATEGORIES if name in known.supported_categories]
    if PUBLIC not in categories or not set(categories) <= set(usable):
        more = f", and may name {', '.join(usable[1:])}" if usable[1:] else " and no other"
        yield "categories", f"must name {PUBLIC}{more}: so the holidays of {country} are known"


@cache  # the library's metadata are a file that would be read and parsed for each date
def _version_of_the_data() -> str:
    return version("holidays")


@lru_cache(maxsize=256)
def _holidays_of(place: str, categories: tuple[str, ...], year: int) -> frozenset[date]:
    # Built a year at a time and never shared: the library's own object fills itself while it is asked, and a second
    # thread would find the year there and its days missing.
    country, _, subdivision = place.partition("-")
    known = public_holidays.country_holidays(country, subdiv=subdivision or None, years=year, categories=categories)
    if not known.start_year <= year <= known.end_year:
        said = f"the holidays of {place} are known from {known.start_year} to {known.end_year}, and not of {year}"
        key = "controller.holidays" if place in NATIONS else "controller.country"
        raise ConfigurationError([Fault(key, f"{said}: is the clock of this machine right?")])
    return frozenset(known)
