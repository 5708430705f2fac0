"""Whom a request is about, for whoever must decide on it: shown to a named person, and recorded that it was."""

from datetime import datetime

from sqlalchemy import select

from dpsync.errors import NotFound
from dpsync.ledger.entry import EntryKind
from dpsync.model import Request
from dpsync.propagation import serialization
from dpsync.propagation.commitments import Keyring, request_key
from dpsync.propagation.decisions import Person, remember
from dpsync.store import tables as t
from dpsync.store.writer import Unit

SHOWN = "shown"
"""What the record calls it, among what people decided."""

_R = t.request.c


def show(unit: Unit, keyring: Keyring, request_id: str, person: Person, now: datetime) -> Request:
    """What was asked, as long as it exists; that `person` looked is committed with it, before anybody sees it.

    Raises `NotFound` where the identifiers were destroyed.
    """
    found = select(_R.id.label("request_id"), _R.sealed, _R.wrapped_key, _R.key_month).where(_R.id == request_id)
    row = dict(unit.connection.execute(found).mappings().one())
    key = request_key(keyring, row)
    if key is None or row["sealed"] is None:
        raise NotFound("whom it was about is not known any more: the identifiers of this request were destroyed")
    asked = serialization.from_bytes(key.open(row["sealed"], request_id.encode()))
    remember(unit, keyring, request_id, SHOWN, person, now, event=EntryKind.SHOWN)
    return asked
