"""The receipt of a request: gathered from the store, built by `ledger.receipt`, written beside its verifier."""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from dpsync.errors import LedgerTampered, NotFound
from dpsync.ledger import entry, evidence, receipt, verify_receipt
from dpsync.ledger.log import Log
from dpsync.propagation.commitments import request_key
from dpsync.propagation.controller import Controller
from dpsync.store import tables as t

VERIFIER = Path(verify_receipt.__file__)


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
) -> dict[int, list[evidence.Call]]:
    """The recorded calls by the entry that digests them."""
    kept = evidence.answers(connection, [request_id]).get(request_id, {}).values()
    by_digest = {answer.digest(commit_key): answer.calls for answer in kept}
    told = {idx: said["resp"] for idx, body in logged if "resp" in (said := entry.decode(body))}
    return {idx: by_digest[str(digest)] for idx, digest in told.items() if digest in by_digest}


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
