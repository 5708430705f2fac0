"""Whether two spellings of a field's value mean the same, by the type of the field; and how a value is written for it.

A vendor keeps a right value in its own form: 12/31/1990 as 1990-12-31, "12.0" as 12. Compared as text that would look
like a lie. What can be read in two ways, or not at all, is unclear, which is neither yes nor no. Pure.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Final, TypeVar
from urllib.parse import unquote, urlsplit

from dpsync.model import FieldValue
from dpsync.telephone import phone_digits


class Kind(StrEnum):
    """What a field holds; `UNKNOWN` where the vendor does not say."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    BIRTHDAY = "birthday"
    PHONE = "phone"
    POSTCODE = "postcode"
    URL = "url"
    CHOICE = "choice"
    CHOICES = "choices"
    REGION = "region"
    ADDRESS = "address"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FieldType:
    """The type of one field of one list.

    `day_first`: how the list writes a date whose day and month could be either, None where it is not known; `choices`:
    the options of a choice; `american`: telephone numbers are those of the United States.
    """

    kind: Kind = Kind.UNKNOWN
    day_first: bool | None = None
    choices: tuple[str, ...] = ()
    american: bool = False


UNTYPED: Final = FieldType()
_Day = TypeVar("_Day")


class Likeness(IntEnum):
    """What a comparison shows; the larger one weighs more."""

    SAME = 0
    UNCLEAR = 1
    OTHER = 2


def likeness(field: FieldType, asked: FieldValue, held: object) -> Likeness:
    """Whether what is held means what was asked. `held`: as the vendor's JSON has it; several options as a list."""
    if isinstance(asked, Mapping) or isinstance(held, Mapping):
        return _address(asked, held)
    several = held if isinstance(held, list | tuple) else [held]
    shown = [text for one in several if one is not None and (text := plain(str(one)))]
    wanted = plain(asked)
    if not wanted or not shown:
        return Likeness.SAME if not wanted and not shown else Likeness.OTHER
    if [wanted] == shown:
        return Likeness.SAME
    if field.kind is Kind.CHOICES or len(shown) > 1:
        chosen = options_in(field, asked)
        return _same(chosen is not None and {one.casefold() for one in chosen} == {one.casefold() for one in shown})
    return _RULES[field.kind](field, wanted, shown[0])


def written(field: FieldType, asked: str) -> str:
    """The value in the form that a typed field takes, where there is one reading of it; else as it was asked."""
    text = asked.strip()
    match field.kind:
        case Kind.DATE:
            day = _reading(_dates(text), field.day_first)
            return day.isoformat() if day else asked
        case Kind.BIRTHDAY:
            month, number = _reading(_birthdays(text), field.day_first) or (0, 0)
            if not field.day_first:
                return f"{month:02}/{number:02}" if month else asked
            # where the day is written first, Mailchimp is reported both to take it so and to have swapped the two
            return f"{number:02}/{month:02}" if number > 12 or 0 < number == month else asked
        case Kind.CHOICE:
            return next((one for one in field.choices if plain(one).casefold() == plain(text).casefold()), asked)
        case _:
            return asked


def options_in(field: FieldType, asked: str) -> tuple[str, ...] | None:
    """The options that a text names, separated by line breaks, semicolons, commas or bars; None if one is unknown."""
    known = {plain(one).casefold(): one for one in field.choices}
    if plain(asked).casefold() in known:
        return (known[plain(asked).casefold()],)
    named = [part for part in (plain(one) for one in re.split(r"[\n;,|]+", asked)) if part]
    found = [known.get(part.casefold()) if known else part for part in named]
    return tuple(dict.fromkeys(one for one in found if one is not None)) if None not in found else None


def plain(text: str) -> str:
    """One form for what only looks different: HTML entities, line endings, blanks, composed and decomposed letters."""
    lines = unicodedata.normalize("NFC", html.unescape(text)).splitlines()
    return "\n".join(" ".join(line.split()) for line in lines).strip()


# --- one rule a kind: both texts are plain, not empty and not equal


def _same(alike: object) -> Likeness:
    return Likeness.SAME if alike else Likeness.OTHER


def _text(_: FieldType, asked: str, held: str) -> Likeness:
    return _same(asked == held)


def _number(_: FieldType, asked: str, held: str) -> Likeness:
    numbers = [Decimal(one) for one in (asked, held) if re.fullmatch(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?", one)]
    return _same(numbers[0] == numbers[1]) if len(numbers) == 2 else Likeness.UNCLEAR


def _date(field: FieldType, asked: str, held: str) -> Likeness:
    return _one_day(_dates(asked), _dates(held), field.day_first)


def _birthday(field: FieldType, asked: str, held: str) -> Likeness:
    return _one_day(_birthdays(asked), _birthdays(held), field.day_first)


def _one_day(
    asked: Mapping[bool | None, object], held: Mapping[bool | None, object], day_first: bool | None
) -> Likeness:
    if not asked or not held:
        return Likeness.UNCLEAR
    one, other = _reading(asked, day_first), _reading(held, day_first)
    if one is not None and one == other:
        return Likeness.SAME
    # both written in the same way: whichever way that is, it is the same day or it is not
    if asked == held:
        return Likeness.SAME
    return Likeness.UNCLEAR if set(asked.values()) & set(held.values()) else Likeness.OTHER


def _phone(field: FieldType, asked: str, held: str) -> Likeness:
    if not re.search("[0-9]", asked) or not re.search("[0-9]", held):
        return Likeness.OTHER
    one, other = (re.sub("[^0-9]", "", text) for text in (asked, held))
    if one == other or (field.american and one[-10:] == other[-10:] and {len(one), len(other)} <= {10, 11}):
        return Likeness.SAME
    if phone_digits(asked) == phone_digits(held):
        return Likeness.SAME
    # the same number with and without a country, or with an extension: nobody can say which country was meant
    short, long = sorted((one.lstrip("0"), other.lstrip("0")), key=len)
    return Likeness.UNCLEAR if len(short) >= 7 and short in long else Likeness.OTHER


def _postcode(_: FieldType, asked: str, held: str) -> Likeness:
    one, other = (re.sub(r"[\W_]", "", text).upper() for text in (asked, held))
    if one == other or one.lstrip("0") == other.lstrip("0"):
        return Likeness.SAME
    return Likeness.UNCLEAR if one.isdigit() and other.isdigit() and (one in other or other in one) else Likeness.OTHER


def _url(_: FieldType, asked: str, held: str) -> Likeness:
    try:
        one, other = (urlsplit(text if "://" in text else f"//{text}") for text in map(unquote, (asked, held)))
    except ValueError:
        return Likeness.OTHER
    places = {(part.netloc.lower(), part.path.rstrip("/"), part.query, part.fragment) for part in (one, other)}
    if len(places) > 1:
        return Likeness.OTHER
    return Likeness.UNCLEAR if one.scheme and other.scheme and one.scheme != other.scheme else Likeness.SAME


def _choice(_: FieldType, asked: str, held: str) -> Likeness:
    return _same(asked.casefold() == held.casefold())


def _region(_: FieldType, asked: str, held: str) -> Likeness:
    one, other = ("gb" if text.casefold() == "uk" else text.casefold() for text in (asked, held))
    if one == other:
        return Likeness.SAME
    # a code on one side and a name on the other: no list of names is complete in every language
    return Likeness.UNCLEAR if (len(one) <= 3) is not (len(other) <= 3) else Likeness.OTHER


def _unknown(field: FieldType, asked: str, held: str) -> Likeness:
    """By every rule that both texts look made for; one that finds them the same is right to."""
    found = [rule(field, asked, held) for looks, rule in _LOOKS if looks(asked) and looks(held)]
    if _MONTH_AND_DAY.fullmatch(asked) or _MONTH_AND_DAY.fullmatch(held):
        found += [_birthday(field, asked, held)] if _birthdays(asked) and _birthdays(held) else []
    return min(found, default=Likeness.OTHER)


def _like(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


_LOOKS: Final[tuple[tuple[Callable[[str], bool], Callable[[FieldType, str, str], Likeness]], ...]] = (
    (_like(r"[+-]?[0-9]+(\.[0-9]+)?"), _number),
    (lambda text: bool(_dates(text)), _date),
    (_like(r"\+?[0-9 ()./-]{7,40}"), _phone),
    (_like(r"https?://\S+"), _url),
)

_RULES: Final[Mapping[Kind, Callable[[FieldType, str, str], Likeness]]] = {
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.DATE: _date,
    Kind.BIRTHDAY: _birthday,
    Kind.PHONE: _phone,
    Kind.POSTCODE: _postcode,
    Kind.URL: _url,
    Kind.CHOICE: _choice,
    Kind.CHOICES: _choice,
    Kind.REGION: _region,
    Kind.ADDRESS: _text,
    Kind.UNKNOWN: _unknown,
}


# --- postal addresses

_PARTS: Final = {"zip": Kind.POSTCODE, "postcode": Kind.POSTCODE, "country": Kind.REGION, "state": Kind.REGION}


def _address(asked: FieldValue, held: object) -> Likeness:
    if isinstance(asked, Mapping) and isinstance(held, Mapping):
        found = (likeness(FieldType(_PARTS.get(part, Kind.TEXT)), text, held.get(part)) for part, text in asked.items())
        return max(found, default=Likeness.SAME)
    one, other = _lines(asked), _lines(held)
    if not _words(one) or not _words(other):
        # a country alone is what the vendor puts in by itself
        return _same(not _words(one) and not _words(other))
    return Likeness.SAME if Counter(_words(one)) == Counter(_words(other)) else Likeness.UNCLEAR


def _lines(value: object) -> Iterable[str]:
    if isinstance(value, Mapping):
        return [str(text) for part, text in value.items() if text is not None and part != "country"]
    return [] if value is None else [str(value)]


def _words(lines: Iterable[str]) -> list[str]:
    return re.findall(r"\w+", " ".join(lines).casefold())


# --- days: what each way of reading gives, under None what can be read in one way only

_ISO: Final = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})(?:[T ][0-9:.]+(?:Z|[+-][0-9:]+)?)?")
_EITHER: Final = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})")
_MONTH_AND_DAY: Final = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})")
_LEAP: Final = 2000


def _dates(text: str) -> Mapping[bool | None, date]:
    if found := _ISO.fullmatch(text):
        return _valid({None: (int(found[1]), int(found[2]), int(found[3]))})
    if not (found := _EITHER.fullmatch(text)):
        return {}
    one, other, year = int(found[1]), int(found[3]), int(found[4])
    return _valid({True: (year, other, one), False: (year, one, other)})


def _birthdays(text: str) -> Mapping[bool | None, tuple[int, int]]:
    if found := _MONTH_AND_DAY.fullmatch(text):
        one, other = int(found[1]), int(found[3])
        days = _valid({True: (_LEAP, other, one), False: (_LEAP, one, other)})
    else:
        days = _dates(text)
    return {way: (day.month, day.day) for way, day in days.items()}


def _valid(parts: Mapping[bool | None, tuple[int, int, int]]) -> Mapping[bool | None, date]:
    days: dict[bool | None, date] = {}
    for way, (year, month, day) in parts.items():
        with suppress(ValueError):
            days[way] = date(year, month, day)
    if len(set(days.values())) > 1:
        return days
    (only,) = set(days.values()) or (None,)
    return {None: only} if only else {}


def _reading(days: Mapping[bool | None, _Day], day_first: bool | None) -> _Day | None:
    return days.get(None, days.get(day_first) if day_first is not None else None)
