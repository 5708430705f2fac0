"""When finished requests are forgotten: after the days of the settings, unless somebody still needs to know who it was.

What is destroyed does not come back. So a clock that leaps destroys nothing, and neither does the first week of a new
setting: the days must pass one after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Connection

from dpsync import key_register
from dpsync.cases import holds
from dpsync.cases.complaints import evidence_held
from dpsync.cases.incidents import incidents
from dpsync.installation import Installation
from dpsync.ledger import receipt_comparison
from dpsync.propagation import forgetting, proof_boxes
from dpsync.propagation.correspondence import letters_due
from dpsync.running import ended_periods, month_keys, timekeeping
from dpsync.store.database import truncate_wal
from dpsync.store.writer import Unit

AT_ONCE: Final = 100
"""Requests that are forgotten in one transaction, and in one hour."""

_ROW: Final = "forgetting"
_LEFT_BEHIND: Final = (
    "a processor without a section in the settings would still have to be looked at: put its section back, or settle it"
)


@dataclass(frozen=True, slots=True)
class ToForget:
    """Which finished requests are to be forgotten, and which are kept although their days are over: ids by reason."""

    now: tuple[str, ...]
    kept: Mapping[str, tuple[str, ...]]


def until_of(there: Installation, now: datetime) -> datetime | None:
    """By when a request must have been finished to be forgotten at `now`; None where the settings forget nothing."""
    section = there.settings.forgetting
    return now - timedelta(days=section.after_days) if section else None


def due(there: Installation, until: datetime, now: datetime) -> ToForget:
    """What of the requests that were finished by `until` can be forgotten. Reads only."""
    ids = there.read(lambda connection: forgetting.finished(connection, until))
    needed = there.read(lambda connection: _needed(there, connection, now))
    free = [one for one in ids if not any(one in some for some in needed.values())]
    untold = there.read(lambda connection: _unproven(there, connection, free))
    needed["its receipt does not tell its whole story yet"] = frozenset(untold)
    kept = {reason: tuple(one for one in ids if one in some) for reason, some in needed.items()}
    waiting = {one for some in kept.values() for one in some}
    names = there.settings.processors
    kept[_LEFT_BEHIND] = tuple(there.read(lambda connection: forgetting.left_behind(connection, until, [*names])))
    return ToForget(tuple(one for one in ids if one not in waiting), {why: some for why, some in kept.items() if some})


def forget(there: Installation, now: datetime, at_once: int = AT_ONCE) -> int:
    """Forget what is due, at most `at_once`; tells how many were. Interrupted anywhere, it goes on where it was."""
    until = until_of(there, now)
    if until is None or not timekeeping.is_calm(there, now, _ROW):
        return 0
    _prove(there, until, now, at_once)
    ids = due(there, until, now).now[:at_once]
    done = there.write(partial(_forget, there, ids, until)) if ids else 0
    kept = partial(evidence, there, now)
    ended_periods.destroy(there, now, kept, at_once)
    month_keys.care_for(there, now, kept, at_once)
    truncate_wal(there.engine)  # while somebody reads it stays, and the next hour tries again
    return done


def _prove(there: Installation, until: datetime, now: datetime, at_once: int) -> None:
    """Write the receipts that lack the last words of what may be forgotten; nobody can write another one afterwards.

    Those that somebody still needs, or whose receipt cannot be made, keep no other one waiting.
    """
    ids = there.read(lambda connection: forgetting.finished(connection, until))
    needed = frozenset().union(*there.read(lambda connection: _needed(there, connection, now)).values())
    free = [one for one in ids if one not in needed]
    unproven = there.read(lambda connection: _unproven(there, connection, free))
    written = 0
    for at in range(0, len(unproven), at_once):
        page = unproven[at : at + at_once]
        written += len(page) - len(there.custody.write_receipts(page, lambda one: there.receipt(one, now)))
        if written >= at_once:
            return


def _forget(there: Installation, ids: tuple[str, ...], until: datetime, unit: Unit) -> int:
    now = there.clock.now()
    # a complaint that came in since the others were looked at holds them too, and so does a word that no receipt has
    needed = frozenset().union(*_needed(there, unit.connection, now).values(), _unproven(there, unit.connection, ids))
    free = [one for one in ids if one not in needed]
    proof_boxes.renew(unit.connection, there, free, now.year)
    return forgetting.forget(unit, there.controller, free, until, now)


def forget_again(there: Installation, now: datetime) -> int:
    """Forget what a back-up brought back of closed requests whose month's key is destroyed; tells how many.

    Nothing opens them, so no processor is looked at for them again, and no receipt is made. What somebody still needs
    stays as it is, without that look. Interrupted anywhere, it goes on where it was.
    """
    ids = there.write(partial(_look_no_more, there))
    pages = [tuple(ids[at : at + AT_ONCE]) for at in range(0, len(ids), AT_ONCE)]
    return sum(there.write(partial(_forget, there, page, now)) for page in pages)


def _look_no_more(there: Installation, unit: Unit) -> list[str]:
    months = key_register.destroyed(unit.connection, there.keys)
    ids = forgetting.shut(unit.connection, months)
    forgetting.look_no_more(unit.connection, months)
    return ids


def _needed(there: Installation, connection: Connection, now: datetime) -> dict[str, frozenset[str]]:
    """The requests of which somebody must still know who it was, by the reason."""
    zone, watched = there.zone, there.settings.controller.watch_letters
    letters = letters_due.owed(connection, lambda at: at.astimezone(zone).date(), now.astimezone(zone).date())
    return {
        "a complaint about it is open": frozenset(evidence_held(connection)),
        "an incident about it is open": _of_incidents(connection),
        "its evidence is held (`dpsync hold-evidence`)": frozenset(holds.held(connection, now.astimezone(zone).date())),
        "no letter to the person is recorded yet": frozenset(one.request_id for one in letters if watched),
    }


def evidence(there: Installation, now: datetime, connection: Connection) -> frozenset[str]:
    """The requests that a complaint or an incident is about, or whose evidence a person has held.

    Nothing of them may be changed or destroyed.
    """
    named = holds.held(connection, now.astimezone(there.zone).date())
    return _of_incidents(connection).union(evidence_held(connection), named)


def _of_incidents(connection: Connection) -> frozenset[str]:
    return frozenset(one for case in incidents(connection) if case.open for one in case.about)


def _unproven(there: Installation, connection: Connection, ids: Sequence[str]) -> list[str]:
    """Those whose receipt is not in the receipts folder, or lacks one of their entries, where one can still be made."""
    shut = set(forgetting.shut(connection, key_register.destroyed(connection, there.keys)))
    return receipt_comparison.untold(connection, there.custody.receipts, [one for one in ids if one not in shut])
