"""What a rule takes out of somebody else's message, as our own shape has it.

What cannot be understood is refused, never left out: the rest might name another person. A refusal names the field in
our names, and never what stands there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from dpsync import opt_out_scope
from dpsync.errors import PayloadInvalid
from dpsync.intake.sources.paths import NOTHING, Path
from dpsync.model import Right

ScopeKind = Annotated[str, Field(pattern=f"^({'|'.join(opt_out_scope.KINDS)})$")]
ScopeName = Annotated[str, Field(pattern=f"^{opt_out_scope.NAME.pattern}$")]

ONE_OF_THEM = frozenset({"id", "phone", "name"})
"""What a subject has one of: of two, the other would be left out in silence."""


class TimeUnit(StrEnum):
    """In what a moment is told, where it is not in RFC 3339."""

    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    MICROSECONDS = "microseconds"
    UTC = "utc"


@dataclass(frozen=True, slots=True)
class MomentPlace:
    """Where a moment stands, and in what it is told."""

    path: Path
    unit: TimeUnit | None = None


def demand_scope(right: Right | None, names: Mapping[str, object], places: Mapping[str, object]) -> None:
    """Raise ValueError, for pydantic, where a rule narrows something else than an opt-out, or says a kind twice."""
    if (names or places) and (right is not Right.OPT_OUT or names.keys() & places.keys()):
        raise ValueError("scope and scope_at belong to an opt_out, and name each kind once")


def plain(value: object) -> object:
    """Nothing and null are one: senders leave out what they could send as null."""
    return None if value is NOTHING else value


def is_blank(value: object) -> bool:
    """Whether nobody said anything there: nothing, null, or a text without a mark."""
    return value is NOTHING or value is None or (isinstance(value, str) and not value.strip())


def subject_of(wanted: Mapping[str, tuple[Path, ...]], message: object, source: str) -> dict[str, object]:
    """Whom a message is about. Raises `PayloadInvalid` where a name stands in a form that names nobody for certain."""
    found: dict[str, object] = {}
    others: list[str] = []
    for name, paths in wanted.items():
        here = [path.find(message) for path in paths]
        if name == "id" and here[0] is NOTHING:
            # Whoever has an id and is asked for without it is one person with all who share the address.
            raise PayloadInvalid("subject.id", "is not where the rule looks for it")
        if name in ONE_OF_THEM and isinstance(here[0], list):
            raise PayloadInvalid(f"subject.{name}", "is a list: name one place in it, such as phones[0]")
        values = [text for value in here for text in _texts(name, value)]
        if name == "other_emails":
            others += values
        elif values:
            # Two main databases number their people each for itself: 4711 here is not 4711 there.
            found[name] = f"{source}:{values[0]}" if name == "id" else values[0]
            others[:0] = values[1:]
    return {**found, **({"other_emails": list(dict.fromkeys(others))} if others else {})}


def ids_of(paths: tuple[Path, ...], message: object, source: str) -> list[str]:
    """The ids of all records at some places, or in lists there, each once. Raises `PayloadInvalid` where none is."""
    found = [text for path in paths for text in _texts("id", path.find(message))]
    if not found:
        raise PayloadInvalid("subject.id", "is not where the rule looks for it")
    return [f"{source}:{one}" for one in dict.fromkeys(found)]


def _texts(name: str, value: object) -> Iterator[str]:
    """What may name somebody: a text, a whole number, or a list of such. Nothing, null and blanks name nobody."""
    if isinstance(value, list):
        for one in value:
            yield from _texts(name, one)
    elif is_blank(value):
        return
    elif isinstance(value, bool) or not isinstance(value, str | int):
        raise PayloadInvalid(f"subject.{name}", "is neither text nor a whole number")
    else:
        yield str(value).strip()


def changes_of(wanted: Mapping[str, Path], message: object, field: str) -> dict[str, object]:
    """The new values as texts; null clears, as "" does, and what is not there changes nothing."""
    said = {name: path.find(message) for name, path in wanted.items()}
    return {name: _changed(value, field) for name, value in said.items() if value is not NOTHING}


def _changed(value: object, field: str) -> object:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str() | dict():
            return value
        case int() | float():
            return str(value)
        case _:
            raise PayloadInvalid(field, "is a list")


def moment_of(told: MomentPlace, message: object) -> object:
    """The moment in RFC 3339; as it stands where it cannot be read, so that the door says of which form it must be."""
    value = plain(told.path.find(message))
    if is_blank(value):
        return None
    if told.unit is None:
        return value
    if told.unit is TimeUnit.UTC:
        return f"{value}".replace(" ", "T") + "Z"
    size = {TimeUnit.SECONDS: 1, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1_000_000}[told.unit]
    try:
        return datetime.fromtimestamp(int(f"{value}") // size, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{value}"
