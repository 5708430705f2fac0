"""A value of a report, made of a row of the store."""

from typing import Any, TypeVar

from sqlalchemy import Row

T = TypeVar("T")


def value_of(kind: type[T], row: Row[Any], **given: Any) -> T:
    """A value of the dataclass `kind`: a field is what was `given`, or else the row's column of that name."""
    names: list[str] = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]  # because no bound says "a dataclass"
    return kind(**{name: getattr(row, name) for name in names if name not in given}, **given)
