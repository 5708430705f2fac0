"""When it goes on: a lane after what happened to its propagation, and an account after what its processor answered."""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, or_, update

from dpsync.connector import AsAsked, CannotTell, Contradicts, Declares, Processor, Retryable
from dpsync.errors import CredentialsRejected
from dpsync.model import Right, Way
from dpsync.propagation.queue import lanes
from dpsync.propagation.rules import backoff
from dpsync.propagation.rules.lifecycle import Event, Next, Step
from dpsync.store import tables as t

jitter = random.SystemRandom().random

_A = t.account.c
_ACCOUNT = update(t.account).where(_A.id == bindparam("here"))


def make_next_due(
    connection: Connection,
    processor: Processor | None,
    row: Mapping[str, Any],
    event: Event,
    step: Step,
    now: datetime,
) -> None:
    """When the lane of what is still pending goes on, after what happened. `processor`: None where it is none now."""
    here = row["account_id"], row["subject_id"]
    steps = processor.connector.retry_steps if processor and row["way"] == Way.API else ()
    match step.next:
        case Next.NOW if isinstance(event, Contradicts | CannotTell):
            # It only looked before it tells again: told and lost a tenth time, it must not be as often as the first.
            lanes.put_lane_off(connection, *here, now, lanes.lane_attempts(connection, *here))
        case Next.NOW:
            own = lanes.hurry_of(Right(row["right"]))
            lanes.make_lane_due(connection, *here, now, hurry=lanes.Hurry.AT_ONCE if own is lanes.Hurry.NO else own)
        case Next.BACKOFF:
            _put_off(connection, here, event, now, steps)
        case Next.ACCOUNT if is_blocked(event):
            # Behind all others, or one that alone is answered so would keep them from their half-open probe.
            lanes.put_lane_off(connection, *here, now, lanes.lane_attempts(connection, *here))
        case Next.ACCOUNT if steps and isinstance(event, Retryable):
            # The account's pauses are short: they would be many more messages than its protocol proposes.
            _put_off(connection, here, event, now, steps)
        case Next.ACCOUNT | Next.NOTHING:
            lanes.make_lane_due(connection, *here, now, hurry=lanes.Hurry.NO)


def _put_off(
    connection: Connection, here: tuple[str, str], event: Event, now: datetime, steps: Sequence[timedelta]
) -> None:
    attempts = lanes.lane_attempts(connection, *here) + 1
    wait = backoff.delay(attempts, jitter(), steps)
    if isinstance(event, Retryable) and event.retry_after:
        wait = max(wait, min(event.retry_after, timedelta(hours=24)))
    if is_blocked(event):
        wait = min(wait, backoff.LONGEST_PAUSE)  # how long it lasts must be seen within the hour
    lanes.put_lane_off(connection, *here, now + wait, attempts)


def is_blocked(event: Event) -> bool:
    """Whether no answer was the processor's own: a fact about its account, and charged to no request."""
    return isinstance(event, Retryable | CannotTell) and event.blocked


def is_of_the_account(event: Event) -> bool:
    """Whether an attempt that ended so says nothing of its request."""
    return isinstance(event, CredentialsRejected) or is_blocked(event)


def note_account(
    connection: Connection, row: Mapping[str, Any], event: Event, counted: dict[str, int], now: datetime
) -> str:
    """Keep the account's health; of what about it the operator must hear now, "" of nothing.

    That it is blocked before its processor, for so long; or that the settings name what it does not have. What
    concerns the whole account moves one row, whatever the backlog. `counted`: each account's failures in a row, as they
    stand; kept up to date here.
    """
    _note_failures(connection, row, event, counted, now)
    here, since = {"here": row["account_id"]}, row["blocked_since"]
    if is_blocked(event):
        if since is None:
            connection.execute(_ACCOUNT.where(_A.blocked_since.is_(None)).values(blocked_since=now), here)
        return "blocked" if since is not None and now - since >= backoff.BLOCKED_AFTER else ""
    by_letter = row["way"] != Way.API and not isinstance(event, AsAsked | Contradicts | CannotTell | Declares)
    if since is not None and not by_letter and any(one.status for one in getattr(event, "evidence", ())):
        connection.execute(_ACCOUNT.values(blocked_since=None), here)
    return "misplaced" if isinstance(event, Retryable) and event.misplaced else ""


def _note_failures(
    connection: Connection, row: Mapping[str, Any], event: Event, counted: dict[str, int], now: datetime
) -> None:
    here = {"here": row["account_id"]}
    if isinstance(event, CredentialsRejected) and not event.by_mail_host:
        connection.execute(_ACCOUNT.values(stopped="credential"), here)
        return
    if is_blocked(event) and getattr(event, "busy", True):
        failures = counted[row["account_id"]] = counted[row["account_id"]] + 1
        # Who answers in the processor's place does not say how long it must be left in peace.
        wish = getattr(event, "retry_after", None)
        wait = min(backoff.account_pause(failures, wish, jitter()), backoff.LONGEST_PAUSE)
        connection.execute(_ACCOUNT.values(failures=failures, paused_until=now + wait), here)
        return
    if row["way"] != Way.API:
        return  # our own mail host's trouble says nothing of the processor's interface
    failures = counted[row["account_id"]]
    if isinstance(event, Retryable) and not event.misplaced:
        failures += 1
        values: dict[str, Any] = {"failures": failures}
        if event.busy:
            values["paused_until"] = now + backoff.account_pause(failures, event.retry_after, jitter())
        elif failures >= backoff.CIRCUIT_OPENS_AT:
            beyond = failures - backoff.CIRCUIT_OPENS_AT + 1
            values["paused_until"] = now + backoff.account_pause(beyond, None, jitter())
        connection.execute(_ACCOUNT.values(**values), here)
        counted[row["account_id"]] = failures
    elif failures and getattr(event, "evidence", None):
        # Answers to calls that were under way when the processor asked for a pause do not end the pause.
        over = or_(_A.paused_until.is_(None), _A.paused_until <= now)
        if connection.execute(_ACCOUNT.where(over).values(failures=0, paused_until=None), here).rowcount:
            counted[row["account_id"]] = 0
