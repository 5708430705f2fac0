"""When it goes on: a lane after what happened to its propagation, and an account after what its processor answered."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, or_, update

from dpsync.connector import Retryable
from dpsync.errors import CredentialsRejected
from dpsync.model import Right, Way
from dpsync.propagation import backoff, lanes
from dpsync.propagation.lifecycle import Happening, Next, Step
from dpsync.store import tables as t

jitter = random.SystemRandom().random

_A = t.account.c
_ACCOUNT = update(t.account).where(_A.id == bindparam("here"))


def make_next_due(
    connection: Connection, row: Mapping[str, Any], happening: Happening, step: Step, now: datetime
) -> None:
    """When the lane of what is still pending goes on, after what happened."""
    here = row["account_id"], row["subject_id"]
    match step.next:
        case Next.NOW:
            own = lanes.hurry_of(Right(row["right"]))
            lanes.make_lane_due(connection, *here, now, hurry=lanes.Hurry.AT_ONCE if own is lanes.Hurry.NO else own)
        case Next.BACKOFF:
            attempts = lanes.lane_attempts(connection, *here) + 1
            wait = backoff.delay(attempts, jitter())
            if isinstance(happening, Retryable) and happening.retry_after:
                wait = max(wait, min(happening.retry_after, timedelta(hours=24)))
            lanes.put_lane_off(connection, *here, now + wait, attempts)
        case Next.ACCOUNT | Next.NOTHING:
            lanes.make_lane_due(connection, *here, now, hurry=lanes.Hurry.NO)


def note_account(
    connection: Connection, row: Mapping[str, Any], happening: Happening, counted: dict[str, int], now: datetime
) -> None:
    """Keep the account's health: what concerns the whole account moves one row, whatever the backlog.

    `counted`: each account's failures in a row, as they stand; kept up to date here.
    """
    here = {"here": row["account_id"]}
    if isinstance(happening, CredentialsRejected) and not happening.by_mail_host:
        connection.execute(_ACCOUNT.values(stopped="credential"), here)
        return
    if row["way"] != Way.API:
        return  # our own mail host's trouble says nothing of the processor's interface
    failures = counted[row["account_id"]]
    if isinstance(happening, Retryable):
        failures += 1
        values: dict[str, Any] = {"failures": failures}
        if happening.busy:
            values["paused_until"] = now + backoff.account_pause(failures, happening.retry_after, jitter())
        elif failures >= backoff.CIRCUIT_OPENS_AT:
            beyond = failures - backoff.CIRCUIT_OPENS_AT + 1
            values["paused_until"] = now + backoff.account_pause(beyond, None, jitter())
        connection.execute(_ACCOUNT.values(**values), here)
        counted[row["account_id"]] = failures
    elif failures and getattr(happening, "evidence", None):
        # Answers to calls that were under way when the processor asked for a pause do not end the pause.
        over = or_(_A.paused_until.is_(None), _A.paused_until <= now)
        if connection.execute(_ACCOUNT.where(over).values(failures=0, paused_until=None), here).rowcount:
            counted[row["account_id"]] = 0
