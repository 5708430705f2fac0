"""The receipt of a request: gathered from the store, built by `ledger.receipt`."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, literal, select

from dpsync import key_register
from dpsync.alert_causes import AlertCause
from dpsync.alerts import Concern, raise_alert
from dpsync.errors import KeyProblem, LedgerTampered, NotFound
from dpsync.ledger import entry, evidence
from dpsync.ledger.log import Log
from dpsync.propagation import serialization
from dpsync.propagation.commitments import request_key
from dpsync.propagation.controller import Controller
from dpsync.propagation.proof_boxes import Leading, Proof, lacking, leading
from dpsync.propagation.remarks import remarks
from dpsync.sealing import Keys
from dpsync.store import tables as t

_R = t.request.c
PAGE = 500
MOST_NAMED = 50
_GONE: Final = [literal(one).concat(_R.key_month) for one in (key_register.GIVEN_UP, key_register.DESTROYED)]
_SHUT: Final = select(t.meta.c.key).where(t.meta.c.key.in_(_GONE)).exists()
_PROVABLE: Final = _R.closed_at.is_not(None) & _R.shredded_at.is_(None) & ~_SHUT


def receipt_of(
    connection: Connection,
    controller: Controller,
    log: Log,
    request_id: str,
    signed: str,
    commit_key: bytes | None = None,
) -> dict[str, Any]:
    """The receipt of a request under a checkpoint that was signed; what was recorded later is not in it.

    `commit_key`: the request's, where a name of the person led to it. Raises `NotFound` where there is no such request,
    or nothing of it can be opened any more, and `LedgerTampered` where an entry or its evidence was changed by hand.
    """
    query = select(_R.id.label("request_id"), _R.wrapped_key, _R.key_month, _R.processors)
    row = connection.execute(query.where(_R.id == request_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no request {request_id}")
    if commit_key is None and (key := request_key(controller, dict(row))):
        commit_key = key.commit_key
    if commit_key is None:
        raise NotFound("this request is forgotten. Its receipt is in the receipts folder, and `dpsync find` makes one")
    logged = log.entries_of(connection, request_id, signed)
    names = [name for name in row["processors"].split("\n") if name]
    try:
        return log.receipt(
            connection,
            request_id,
            commit_key=commit_key,
            processors=names,
            remarks=remarks(controller, names, [body for _, body in logged]),
            evidence=_evidence(connection, request_id, commit_key, logged),
            signed=signed,
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


@dataclass(frozen=True, slots=True)
class Opening:
    """What came of opening every request, in sentences. `unopened`: those that do not open with their key, so that
    nothing that rests on them can be checked; `unfound`: those to which a name of their person does not lead.
    """

    unopened: tuple[str, ...]
    unfound: tuple[str, ...]


def opening(
    connection: Connection, keys: Keys, shut: Collection[str], only: ColumnElement[bool] | None = None
) -> Opening:
    """Open every request that is not forgotten, but for those of the months `shut`: their key is known to be lost.

    `only`: those for which it holds, over table `request`.
    """
    r = t.request.c
    query = select(r.ordinal, r.id, r.sealed, r.wrapped_key, r.key_month).order_by(r.ordinal).limit(PAGE)
    query = query.where(r.wrapped_key.is_not(None), r.key_month.not_in(list(shut)), *([] if only is None else [only]))
    unopened, unfound, last = list[str](), list[str](), 0
    while rows := connection.execute(query.where(r.ordinal > last)).all():
        last = rows[-1].ordinal
        names: list[Leading] = []
        for row in rows:
            try:
                key = keys.unwrap(row.wrapped_key, row.id, row.key_month)
                if row.sealed is not None:
                    asked = serialization.from_bytes(key.open(row.sealed, row.id.encode()))
                    names += leading(asked, Proof(row.id, key.commit_key))
            except KeyProblem as problem:
                unopened.append(f"request {row.id} cannot be opened: {problem.message}")
        ids = dict.fromkeys(one.proof.request_id for one in lacking(connection, keys, names))
        unfound += [f"request {one}: `dpsync find` would miss it, a row of proof_of is gone or changed" for one in ids]
    return Opening(_named(unopened), _named(unfound))


def unopened(connection: Connection, keys: Keys) -> tuple[str, ...]:
    """Of the requests that wait, those that the worker could not open, and that still do not open, in sentences."""
    c = t.alert_concern.c
    abouts = connection.execute(select(c.about).where(c.cause == AlertCause.UNOPENED)).scalars()
    if not (ids := {about.partition("/")[0] for about in abouts}):
        return ()
    shut = key_register.shut(connection, keys)
    return opening(connection, keys, shut, _R.closed_at.is_(None) & among(ids)).unopened


def _named(sentences: Sequence[str]) -> tuple[str, ...]:
    more = ("and perhaps more",) if len(sentences) > MOST_NAMED else ()
    return (*sentences[:MOST_NAMED], *more)


def closed(connection: Connection, only: ColumnElement[bool] | None = None) -> list[tuple[str, datetime]]:
    """(id, when it closed) of each closed request of which a receipt can still be made, oldest first.

    `only`: those for which it holds, over table `request`.
    """
    query = select(_R.id, _R.closed_at).where(_PROVABLE).order_by(_R.closed_at)
    rows = connection.execute(query if only is None else query.where(only))
    return [(row.id, row.closed_at) for row in rows]


def told_of_by(first: int, end: int) -> ColumnElement[bool]:
    """The requests of which the ledger's entries from `first` to before `end` tell: whatever closes has one there."""
    e = t.entry.c
    return _R.id.in_(select(e.request_id).where(e.idx >= first, e.idx < end, e.request_id.is_not(None)))


def among(ids: Collection[str]) -> ColumnElement[bool]:
    """These requests; of very many the first of them."""
    return _R.id.in_(sorted(ids)[:PAGE])


def next_closed(connection: Connection, after: int, most: int) -> list[tuple[int, str, datetime]]:
    """(ordinal, id, when it closed) of as many of them, received after that ordinal."""
    query = select(_R.ordinal, _R.id, _R.closed_at).where(_PROVABLE, _R.ordinal > after)
    query = query.order_by(_R.ordinal).limit(most)
    return [(row.ordinal, row.id, row.closed_at) for row in connection.execute(query)]


def tell_of(connection: Connection, refused: Mapping[str, str], now: datetime, zone: ZoneInfo) -> None:
    """One alert a day about the receipts that cannot be written: each request with its reason."""
    raise_alert(
        connection,
        cause=AlertCause.RECEIPTS,
        role="operator",
        subject="A receipt cannot be written",
        body="dpsync wrote all other receipts, and tries again every minute. Run `dpsync verify`.",
        now=now,
        zone=zone,
        concerns=[Concern(request_id, f"{request_id}: {reason}") for request_id, reason in refused.items()],
    )
