"""What becomes of an attempt that stands unanswered: each is in doubt, and is read back before it is repeated."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from dpsync import telemetry
from dpsync.errors import KeyProblem
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.commitments import request_key, rows_said
from dpsync.propagation.controller import Controller
from dpsync.propagation.engine.lease import STOPPED
from dpsync.propagation.record import Attempt, Update, record
from dpsync.propagation.rules.lifecycle import Defect, Interrupted
from dpsync.store import tables as t
from dpsync.store.writer import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered(Attempt):
    """An attempt that stands unanswered; `stopped`: its worker said that it was stopping."""

    worker: str
    stopped: bool


def recover(
    unit: Unit,
    controller: Controller,
    account_id: str,
    judged: Callable[[Unanswered], Interrupted | Defect | None],
    now: datetime,
) -> int:
    """Close the attempts that were left unanswered: each is in doubt, and is read back before it is repeated.

    `judged` says what became of each, None where it is still under way. Returns how many were closed.
    """
    a, p = t.attempt.c, t.propagation.c
    found = unit.connection.execute(
        select(a.id, a.number, a.propagation_id, a.worker, a.reason)
        .join(t.propagation, p.id == a.propagation_id)
        .where(p.account_id == account_id, a.ended_at.is_(None))
        .order_by(a.id)
    ).all()
    unanswered = [
        Unanswered(row.id, row.number, row.propagation_id, worker=row.worker, stopped=row.reason == STOPPED)
        for row in found
    ]
    happened = [(left, what) for left in unanswered if (what := judged(left)) is not None]
    for left, what in happened:
        entries = len(unit.entries)
        try:
            with unit.connection.begin_nested():
                record(unit, controller, Update(left.propagation_id, [what], now, left))
        except SQLAlchemyError:
            raise  # the store's trouble, not this row's
        except Exception as error:  # noqa: BLE001 - because one row that cannot be read must not keep the account shut
            del unit.entries[entries:]
            telemetry.log("lease").error("cannot record an interruption", error=error, account=account_id)
            _close(unit, controller, left, now)
    return len(happened)


def _close(unit: Unit, controller: Controller, left: Unanswered, now: datetime) -> None:
    """The same without the rules, which could not be asked; where the key opens, its entry commits to the rows too."""
    ended = {"ended_at": now, "outcome": "Interrupted", "reason": "cut off"}
    p = t.propagation.c
    unit.connection.execute(update(t.attempt).where(t.attempt.c.id == left.id).values(**ended))
    unit.connection.execute(update(t.propagation).where(p.id == left.propagation_id).values(doubtful=True))
    found = select(t.propagation, t.request.c.wrapped_key, t.request.c.key_month).join(
        t.request, t.request.c.id == p.request_id
    )
    row = dict(unit.connection.execute(found.where(p.id == left.propagation_id)).mappings().one())
    said: dict[str, str | int] = {"req": row["request_id"], "dest": row["processor"], "right": row["right"]}
    said |= {"state": row["state"], "rung": row["rung"], "way": row["way"], "attempt": left.number}
    with suppress(KeyProblem):
        if key := request_key(controller, row):
            written = [("propagation", row), ("ended", {"number": left.number, **ended})]
            said["rows"] = rows_said(key.commit_key, written)
    unit.append(row["request_id"], entry.encode(EntryKind.DEFERRED, now, **said))
