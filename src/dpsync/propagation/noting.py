"""A decision whose entry in the ledger says more than the decision: dates of an extension, when a person was told."""

import json
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import insert

from dpsync.errors import UsageError
from dpsync.ledger import entry
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.commitments import Keyring, key_of, rows_said
from dpsync.propagation.decisions import PURPOSE, Person
from dpsync.store import tables as t
from dpsync.store.writer import Unit


def note(
    unit: Unit,
    keyring: Keyring,
    request_id: str,
    kind: str,
    detail: str,
    person: Person,
    now: datetime,
    *,
    event: EntryKind,
    entered: Mapping[str, str | int],
) -> None:
    """Keep the row, name and reason sealed, and its entry with more fields. Raises `UsageError` without a name."""
    if not person.by.strip():
        raise UsageError("give your name with --by")
    said = json.dumps({"by": person.by.strip(), "reason": person.reason.strip()})
    row = {
        "request_id": request_id,
        "processor": "",
        "kind": kind,
        "detail": detail,
        "sealed": keyring.keys.seal(PURPOSE, said.encode(), request_id.encode()),
        "os_user": person.os_user,
        "at": now,
    }
    unit.connection.execute(insert(t.decision).values(row))
    fields: dict[str, str | int] = {"req": request_id, "kind": kind, **entered}
    if key := key_of(unit.connection, keyring, request_id):
        fields |= person.author.said(key.commit_key)
        fields["rows"] = rows_said(key.commit_key, [("decision", row)])
    unit.append(request_id, entry.encode(event, now, **fields))
