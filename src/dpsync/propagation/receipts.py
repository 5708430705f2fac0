"""The receipt of a request: gathered from the store, built by `ledger.receipt`, written beside its verifier."""

import shutil
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from dpsync.errors import LedgerTampered, NotFound
from dpsync.ledger import entry, receipt, stored, verify_receipt
from dpsync.ledger.log import Log
from dpsync.propagation.controller import Controller
from dpsync.propagation.record import canonical, request_key
from dpsync.sealing import Keys
from dpsync.store import tables as t

VERIFIER = Path(verify_receipt.__file__)

PAGE = 500
"""Requests looked at together; SQLite takes a bounded number of parameters in one statement."""

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
        raise NotFound("this request is shredded; its receipt was written to the receipts folder before")
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
            f"no receipt can be made, for the record of this request is not as it was written ({problem}): "
            "`dpsync verify` names the place"
        ) from None


def _evidence(
    connection: Connection, request_id: str, commit_key: bytes, logged: Sequence[tuple[int, bytes]]
) -> dict[int, list[dict[str, str | int | None]]]:
    """The evidence rows by the entry that digests them."""
    groups = _groups(connection, [request_id]).get(request_id, ())
    by_digest = {entry.resp_digest(commit_key, rows): rows for rows in groups}
    found = {}
    for idx, body in logged:
        digest = entry.decode(body).get("resp")
        if isinstance(digest, str) and digest in by_digest:
            found[idx] = by_digest[digest]
    return found


def _groups(connection: Connection, ids: Sequence[str]) -> dict[str, list[list[dict[str, str | int | None]]]]:
    """The evidence rows of each request, those of one answer together and in their order."""
    e, a, p = t.evidence.c, t.attempt.c, t.propagation.c
    groups: dict[tuple[str, int, str], list[dict[str, str | int | None]]] = defaultdict(list)
    rows = connection.execute(
        select(t.evidence, p.request_id.label("of_request"))
        .join(t.attempt, a.id == e.attempt_id)
        .join(t.propagation, p.id == a.propagation_id)
        .where(p.request_id.in_(ids))
        .order_by(e.attempt_id, e.part, e.seq)
    )
    for row in rows.mappings():
        groups[row["of_request"], row["attempt_id"], row["part"]].append(canonical(dict(row)))
    found = defaultdict(list)
    for (request_id, _, _), group in groups.items():
        found[request_id].append(group)
    return found


def evidence_differences(connection: Connection, keys: Keys, request_id: str = "") -> tuple[str, ...]:
    """Each request (or the one) whose recorded calls are not those that its ledger entries digest.

    A request whose key is destroyed says nothing: then its receipt alone still holds the calls.
    """
    r = t.request.c
    query = select(r.ordinal, r.id.label("request_id"), r.wrapped_key, r.key_month).order_by(r.ordinal).limit(PAGE)
    if request_id:
        query = query.where(r.id == request_id)
    found: list[str] = []
    last = 0
    while rows := connection.execute(query.where(r.ordinal > last)).mappings().all():
        last = rows[-1]["ordinal"]
        ids = [row["request_id"] for row in rows]
        groups, digests = _groups(connection, ids), _digests(connection, ids)
        for row in rows:
            one = row["request_id"]
            if row["wrapped_key"] is None:
                continue
            key = keys.unwrap(row["wrapped_key"], one, row["key_month"])
            kept = {_digest(key.commit_key, group) for group in groups.get(one, ())}
            if changed := [idx for idx, told in digests.get(one, {}).items() if told not in kept]:
                found.append(f"request {one}: the calls behind entry {changed[0]} are not recorded as they were")
            elif kept - set(digests.get(one, {}).values()):
                found.append(f"request {one}: calls are recorded that no entry tells of")
            if len(found) == MOST_NAMED:
                return (*found, "and perhaps more")
    return tuple(found)


def _digest(commit_key: bytes, group: Sequence[dict[str, str | int | None]]) -> str:
    try:
        return entry.resp_digest(commit_key, group)
    except ValueError:
        return ""  # no answer was ever kept in that shape, so it fits no entry


def _digests(connection: Connection, ids: Sequence[str]) -> dict[str, dict[int, str]]:
    """The digests of calls that the ledger holds, by request and entry; `Log.verify` names what cannot be read."""
    column = t.entry.c
    query = select(column.idx, column.request_id, column.body).where(column.request_id.in_(ids)).order_by(column.idx)
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for idx, request_id, body in connection.execute(query):
        try:
            said = entry.decode(stored.raw(body))
        except ValueError:
            continue
        if "resp" in said:
            found[request_id][idx] = str(said["resp"])
    return found


def write(value: dict[str, Any], folder: Path) -> Path:
    """Write a receipt and the program that checks it into `folder`, whole or not at all. Returns the receipt's path."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(VERIFIER, folder / VERIFIER.name)
    path = folder / f"{value['request']}.json"
    draft = path.with_suffix(".part")
    draft.write_bytes(receipt.dump(value))
    draft.replace(path)
    return path


def closed(connection: Connection) -> list[tuple[str, datetime]]:
    """(id, when it closed) of each closed request, oldest first."""
    r = t.request.c
    query = select(r.id, r.closed_at).where(r.closed_at.is_not(None)).order_by(r.closed_at)
    return [(row.id, row.closed_at) for row in connection.execute(query)]


def missing(requests: Sequence[tuple[str, datetime]], folder: Path) -> list[str]:
    """Those without a receipt in `folder`, or with one from before they closed for the last time."""
    written = {path.stem: path.stat().st_mtime for path in folder.glob("r-*.json")}
    return [one for one, at in requests if written.get(one, 0.0) < at.timestamp()]
