"""The kinds of text a request is made of, each with what it may not hold. A refusal never repeats the value."""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag
from pydantic_core import PydanticCustomError

from dpsync.address import NotAnAddress, mailbox

LARGEST_VERSION = 2**63 - 1

_WHOLE, _PARTS = "[whole]", "[parts]"


# "[key]" is pydantic's; none of them is a name of ours or of the sender's
NOT_NAMES = frozenset({"[key]", _WHOLE, _PARTS})

Some = TypeVar("Some", list[str], dict[str, str])


def _fault(problem: str) -> PydanticCustomError:
    return PydanticCustomError("dpsync", problem)


def _text(longest: int, *, empty: bool = False, lines: bool = False) -> Callable[[str], str]:
    def check(given: str) -> str:
        # Joiners (Cf) are part of names in several scripts; a line break is how a mail header is forged.
        if not given.isprintable() and any(_breaks(mark, lines) for mark in given):
            raise _fault("holds a control character")
        text = given.strip()  # columns of fixed width (CHAR) come padded
        if given and not text:
            raise _fault("is blank")  # and no empty text, which would clear a field
        if not text and not empty:
            raise _fault("is empty; leave it out, or say null")
        if len(text) > longest:
            raise _fault(f"is longer than {longest} characters")
        return text

    return check


def _breaks(mark: str, lines: bool) -> bool:
    return not (lines and mark == "\n") and unicodedata.category(mark) in {"Cc", "Cs", "Zl", "Zp"}


def _address(text: str) -> str:
    try:
        return mailbox(text)
    except NotAnAddress as problem:
        raise _fault(str(problem)) from None


def _phone(text: str) -> str:
    if len(text) > 40 or not text.isprintable() or sum(mark.isdigit() for mark in text) < 3:
        raise _fault("is not a telephone number")
    return text.strip()


# RFC 3339, 5.6: T and Z "may alternatively be lower case".
_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _time(value: object) -> datetime:
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise _fault("is not a time with a zone, as in 2026-11-20T09:00:00Z")


def _date(value: object) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise _fault("is not a date, as in 2026-11-20")


def at_most(count: int) -> Callable[[object], object]:
    """A check that a list or an object holds no more than `count`."""

    def check(value: object) -> object:
        if isinstance(value, list | dict) and len(value) > count:
            raise _fault(f"holds more than {count}")
        return value

    return check


def _some(value: Some) -> Some:
    if not value:
        raise _fault("is empty; leave it out")
    return value


def _form(value: object) -> str:
    return _PARTS if isinstance(value, dict) else _WHOLE


def _key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text):
        raise _fault("has a key that is no name (letters, digits, _ . -)")
    return text


def _version(value: int) -> int:
    if not 0 <= value <= LARGEST_VERSION:
        raise _fault("is not a whole number from 0 to 2^63 - 1")
    return value


Address = Annotated[str, AfterValidator(_address)]
Phone = Annotated[str, AfterValidator(_phone)]
Version = Annotated[int, AfterValidator(_version)]
Short = Annotated[str, AfterValidator(_text(200))]
Clearable = Annotated[str, AfterValidator(_text(200, empty=True))]
FieldName = Annotated[str, AfterValidator(_text(100))]
FieldValue = Annotated[str, AfterValidator(_text(2000, empty=True, lines=True))]
Key = Annotated[str, AfterValidator(_key)]
Parts = Annotated[dict[Key, Clearable], BeforeValidator(at_most(20)), AfterValidator(_some)]
Value = Annotated[Annotated[FieldValue, Tag(_WHOLE)] | Annotated[Parts, Tag(_PARTS)], Discriminator(_form)]
"""A text, or the parts of an address."""
Time = Annotated[datetime, BeforeValidator(_time)]
Day = Annotated[date, BeforeValidator(_date)]
Ids = Annotated[list[Short], BeforeValidator(at_most(50)), AfterValidator(_some)]
