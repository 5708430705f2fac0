"""Legal dates that were extended (Art. 12(3)): kept as decisions, beside the dates of the request, which stay."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from sqlalchemy import Connection, select

from dpsync.store import tables as t

KIND = "extend"
"""What such a decision is called in its row."""


@dataclass(frozen=True, slots=True)
class Extension:
    """The dates after an extension; days are the controller's. `told_on`: when the person was told of it, and why."""

    strict_on: date
    due_on: date
    due_at: datetime
    told_on: date

    @property
    def detail(self) -> str:
        """As the row keeps it; people read it, too."""
        overdue = f"{self.due_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"due {self.due_on}, strictly {self.strict_on}, overdue {overdue}, told {self.told_on}"


def read(detail: str) -> Extension:
    """The extension of a row. Raises `ValueError` for what `detail` would not have written."""
    said = dict(part.split(" ", 1) for part in detail.split(", "))
    try:
        strict_on, due_on, told_on = (date.fromisoformat(said[name]) for name in ("strictly", "due", "told"))
        return Extension(strict_on, due_on, datetime.fromisoformat(said["overdue"]), told_on)
    except KeyError:
        raise ValueError("not the dates of an extension") from None


def all_of(connection: Connection) -> Mapping[str, Extension]:
    """Every extension, by request. What somebody wrote there by hand is none: `verify` names it."""
    d = t.decision.c
    found = {}
    for row in connection.execute(select(d.request_id, d.detail).where(d.kind == KIND).order_by(d.id)):
        try:
            found[row.request_id] = read(row.detail)
        except ValueError:
            continue
    return found


def of(connection: Connection, request_id: str) -> Extension | None:
    """The extension of one request, None where it has none."""
    d = t.decision.c
    detail = connection.execute(select(d.detail).where(d.request_id == request_id, d.kind == KIND)).scalar()
    return read(detail) if detail else None
