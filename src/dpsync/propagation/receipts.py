"""The receipt of a request: gathered from the store, built by `ledger.receipt`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from dpsync.alerts import Concern, raise_alert
from dpsync.errors import KeyProblem, LedgerTampered, NotFound
from dpsync.ledger import entry, evidence
from dpsync.ledger.log import Log
from dpsync.propagation.commitments import request_key
from dpsync.propagation.controller import Controller
from dpsync.sealing import Keys
from dpsync.store import tables as t

PAGE = 500
MOST_NAMED = 50


def receipt_of(
    connection: Connection, controller: Controller, log: Log, request_id: str, now: datetime
) -> dict[str, Any]:
    """The receipt of a request under a checkpoint of this moment, which is signed where it is new.

    Raises `NotFound` where there is no such request, or its key is destroyed so that nothing could be opened any more,
    and `LedgerTampered` where an entry or its evidence was changed by hand.
    """
    r = t.request.c
    row = (
        connection.execute(
            select(r.id.label("request_id"), r.wrapped_key, r.key_month, r.processors).where(r.id == request_id)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFound(f"there is no request {request_id}")
    key = request_key(controller, dict(row))
    if key is None:
        raise NotFound("this request is shredded. Its receipt is in the receipts folder")
    try:
        return log.receipt(
            connection,
            request_id,
            commit_key=key.commit_key,
            processors=[name for name in row["processors"].split("\n") if name],
            evidence=_evidence(connection, request_id, key.commit_key, log.entries_of(connection, request_id)),
            now=now,
        )
    except ValueError as problem:
        raise LedgerTampered(
            f"dpsync cannot make a receipt, because the record of this request was changed ({problem}). "
            "`dpsync verify` names the place"
        ) from None


def _evidence(
    connection: Connection, request_id: str, commit_key: bytes, logged: Sequence[tuple[int, bytes]]
) -> dict[int, list[evidence.Call]]:
    """The recorded calls by the entry that digests them."""
    kept = evidence.answers(connection, [request_id]).get(request_id, {}).values()
    by_digest = {answer.digest(commit_key): answer.calls for answer in kept}
    told = {idx: said["resp"] for idx, body in logged if "resp" in (said := entry.decode(body))}
    return {idx: by_digest[str(digest)] for idx, digest in told.items() if digest in by_digest}


def unopened(connection: Connection, keys: Keys, shut: Collection[str]) -> tuple[str, ...]:
    """Each request that does not open with its key, and why: none of what rests on it can be checked.

    Those of the months `shut` are left out: their key is known to be lost.
    """
    r = t.request.c
    query = select(r.ordinal, r.id, r.sealed, r.wrapped_key, r.key_month).order_by(r.ordinal).limit(PAGE)
    query = query.where(r.wrapped_key.is_not(None), r.key_month.not_in(list(shut)))
    found: list[str] = []
    last = 0
    while rows := connection.execute(query.where(r.ordinal > last)).all():
        last = rows[-1].ordinal
        for row in rows:
            try:
                key = keys.unwrap(row.wrapped_key, row.id, row.key_month)
                if row.sealed is not None:
                    key.open(row.sealed, row.id.encode())
            except KeyProblem as problem:
                found.append(f"request {row.id} cannot be opened: {problem.message}")
            if len(found) == MOST_NAMED:
                return (*found, "and perhaps more")
    return tuple(found)


def closed(connection: Connection) -> list[tuple[str, datetime]]:
    """(id, when it closed) of each closed request of which a receipt can still be made, oldest first."""
    r = t.request.c
    query = select(r.id, r.closed_at).where(r.closed_at.is_not(None), r.shredded_at.is_(None)).order_by(r.closed_at)
    return [(row.id, row.closed_at) for row in connection.execute(query)]


def tell_of(connection: Connection, refused: Mapping[str, str], now: datetime, zone: ZoneInfo) -> None:
    """One alert a day about the receipts that cannot be written: each request with its reason."""
    raise_alert(
        connection,
        cause="receipts",
        role="operator",
        subject="A receipt cannot be written",
        body="dpsync wrote all other receipts, and tries again every minute. Run `dpsync verify`.",
        now=now,
        zone=zone,
        concerns=[Concern(request_id, f"{request_id}: {reason}") for request_id, reason in refused.items()],
    )
