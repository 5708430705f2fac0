"""When finished requests are forgotten: after the days of the settings, unless a complaint or a receipt holds them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from dpsync.cases.complaints import evidence_held
from dpsync.installation import Installation
from dpsync.propagation import forgetting
from dpsync.store.database import truncate_wal
from dpsync.store.writer import Unit

STRAGGLES: Final = timedelta(days=60)
"""How long after its month a request keeps that month's key in use."""

AT_ONCE: Final = 100
"""Requests that are forgotten in one transaction."""


@dataclass(frozen=True, slots=True)
class ToForget:
    """Which finished requests are to be forgotten, and which are kept although their days are over.

    `held`: a complaint needs their evidence; `unproven`: their receipt is not in the receipts folder, and only they
    themselves can prove what was done. Each is a request id.
    """

    now: tuple[str, ...]
    held: tuple[str, ...]
    unproven: tuple[str, ...]


def due(there: Installation, until: datetime) -> ToForget:
    """What of the requests that were finished by `until` can be forgotten. Reads only."""

    def both(connection: Connection) -> tuple[list[tuple[str, datetime]], frozenset[str]]:
        return forgetting.finished(connection, until), frozenset(evidence_held(connection))

    finished, held = there.read(both)
    unproven = frozenset(there.custody.receipts.missing(finished))
    ids = [one for one, _ in finished]
    return ToForget(
        tuple(one for one in ids if one not in held | unproven),
        tuple(one for one in ids if one in held),
        tuple(one for one in ids if one in unproven - held),
    )


def until_of(there: Installation, now: datetime) -> datetime | None:
    """By when a request must have been finished to be forgotten at `now`; None where the settings forget nothing."""
    section = there.settings.forgetting
    return now - timedelta(days=section.after_days) if section else None


def forget(there: Installation, now: datetime) -> int:
    """Forget what is due, and destroy the key of each month that nothing needs any more; tells how many were forgotten.

    Interrupted anywhere, it goes on where it was.
    """
    until = until_of(there, now)
    if until is None:
        return 0
    ids, done = due(there, until).now, 0
    for first in range(0, len(ids), AT_ONCE):
        done += there.write(partial(_forget, there, ids[first : first + AT_ONCE], until))
    month, old = f"{now:%Y-%m}", f"{now - STRAGGLES:%Y-%m}"
    there.write(lambda unit: forgetting.wrap_anew(unit, there.keys, old, month))
    there.write(lambda unit: forgetting.let_go_of_months(unit.connection, month))
    months = there.read(forgetting.let_go)
    for month in months:
        there.keys.destroy_month(month)
    if months:
        there.write(lambda unit: forgetting.strike(unit.connection, months))
    truncate_wal(there.engine)  # while somebody reads it stays, and the next hour tries again
    return done


def _forget(there: Installation, ids: tuple[str, ...], until: datetime, unit: Unit) -> int:
    # a complaint that came in since the others were looked at holds them too
    held = evidence_held(unit.connection)
    return forgetting.forget(unit, [one for one in ids if one not in held], until, there.clock.now())
