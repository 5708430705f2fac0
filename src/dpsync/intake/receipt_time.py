"""When the controller received what a foreign machine hands over: its word is taken, unless it cannot be so."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import TypeAdapter, ValidationError

from dpsync.intake.fields import Time
from dpsync.intake.payload import SKEW

OLDEST: Final = timedelta(days=366)
"""Nobody hands over a request that was received longer ago than this: a clock, or a field, is wrong."""

_READ = TypeAdapter[datetime](Time)


def believed(told: datetime, now: datetime) -> datetime | None:
    """When it was received, never later than now; None where that is nothing that anybody can believe.

    The legal dates then count from now, and a person is told.
    """
    return min(told, now) if now - OLDEST < told <= now + SKEW else None


def dated(data: Mapping[str, object], now: datetime) -> Mapping[str, object]:
    """What stands under `data` in the canonical body, with a day of receipt that can be so, or with none."""
    try:
        told = _READ.validate_python(data.get("received_at"))
    except ValidationError:
        return data  # nothing, or what the door refuses
    received = believed(told, now)
    rest = {name: value for name, value in data.items() if name != "received_at"}
    return rest if received is None else {**rest, "received_at": received.isoformat()}
