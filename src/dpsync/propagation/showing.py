"""Whom a request is about, for whoever must decide on it: shown to a named person, and recorded that it was."""

from datetime import datetime

from dpsync.errors import NotFound
from dpsync.ledger.entry import EntryKind
from dpsync.model import Request
from dpsync.propagation.commitments import Keyring, asked_by
from dpsync.propagation.decisions import Person, remember
from dpsync.store.writer import Unit

SHOWN = "shown"
"""What the record calls it, among what people decided."""


def show(unit: Unit, keyring: Keyring, request_id: str, person: Person, now: datetime) -> Request:
    """What was asked, as long as it exists; that `person` looked is committed with it, before anybody sees it.

    Raises `NotFound` where the identifiers were destroyed.
    """
    asked = asked_by(unit.connection, keyring, request_id)
    if asked is None:
        raise NotFound("nobody knows any more who it was about: the identifiers of this request were destroyed")
    remember(unit, keyring, request_id, SHOWN, person, now, event=EntryKind.SHOWN)
    return asked
