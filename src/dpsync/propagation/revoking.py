"""That a link in a mail was revoked, in the ledger: as a decision about its request, or about no request."""

from datetime import datetime
from typing import Final

from dpsync.ledger import entry, rows
from dpsync.ledger.entry import EntryKind
from dpsync.propagation.commitments import Keyring
from dpsync.propagation.decisions import Person, remember
from dpsync.store.writer import Unit

KIND: Final = "revoke_link"
"""What it is called among the decisions."""


def enter(unit: Unit, keyring: Keyring, link_id: str, opens: str, about: str, person: Person, now: datetime) -> None:
    """Keep that a link was revoked, and by whom. `opens`: which page, and for whom; `about`: a request, or a month.

    The id of a link opens nothing without its signature.
    """
    if about.startswith("r-"):
        remember(unit, keyring, about, KIND, person, now, detail=f"{opens} {link_id}")
        return
    said = person.author.said(rows.own_key(keyring.keys))
    unit.append(None, entry.encode(EntryKind.DECIDED, now, kind=KIND, cause=opens, ref=link_id, **said))
