"""Which contact of a processor counts, and whether it has confirmed that letters about persons reach the right people.

The settings name it. What somebody named in its place counts once that address itself has confirmed, and only as long
as the settings still name the address that it stands for: a newer setting counts again, and nothing is contradicted in
silence (`dpsync check` says which counts).
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, update

from dpsync.connector import Processor
from dpsync.propagation.controller import Controller, token_hash
from dpsync.sealing import Keys
from dpsync.store import tables as t
from dpsync.store.contact_tables import contact_named
from dpsync.store.upsert import insert_or_ignore

ASK: Final = "ask_contact"
"""What it is called among the decisions that a contact was asked again."""

NAMED: Final = "name_contact"
"""What it is called, there and in the ledger, that a contact was named; also what its row is sealed for."""


class NamedState(StrEnum):
    """How an address stands that somebody named. `OVERRULED`: the settings name another one since."""

    COUNTS = "counts"
    WAITS = "waits"
    OVERRULED = "overruled"


@dataclass(frozen=True, slots=True)
class Named:
    """The address that somebody named last in place of the one in the settings."""

    address: str = field(repr=False)
    by: str = field(repr=False)
    at: datetime
    state: NamedState


def named(connection: Connection, controller: Controller, processor: Processor) -> Named | None:
    """What was named in place of the settings' contact; None where nothing was, or where it was taken back."""
    return named_for(connection, controller.keys, processor.name, processor.contact)


def named_for(connection: Connection, keys: Keys, name: str, contact: str) -> Named | None:
    """The same where no connector is made: `contact` is the address in the settings."""
    c = contact_named.c
    newest = select(contact_named).where(c.processor == name).order_by(c.id.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    setting = keys.pseudonym("address", contact)
    if row is None or row.pseudonym in {row.instead_of, setting}:
        return None
    said = json.loads(keys.open(NAMED, row.sealed, name.encode()))
    if row.instead_of != setting:
        state = NamedState.OVERRULED
    else:
        counts = _has_confirmed(connection, name, row.pseudonym)
        state = NamedState.COUNTS if counts else NamedState.WAITS
    return Named(said["contact"], said["by"], row.at, state)


def present(connection: Connection, controller: Controller, processor: Processor) -> str:
    """The address that counts as a processor's contact now."""
    one = named(connection, controller, processor)
    return one.address if one is not None and one.state is NamedState.COUNTS else processor.contact


def is_confirmed(connection: Connection, controller: Controller, name: str, address: str) -> bool:
    """Whether identifiers may go to this address at this processor. Another address must confirm itself anew."""
    return _has_confirmed(connection, name, controller.keys.pseudonym("address", address))


def _has_confirmed(connection: Connection, name: str, pseudonym: str) -> bool:
    return any(row.processor == name and row.pseudonym == pseudonym for row in connection.execute(_CONFIRMED))


def confirmed(connection: Connection, controller: Controller) -> frozenset[str]:
    """The names of the processors whose present contact has confirmed itself."""
    rows = connection.execute(_CONFIRMED).all()
    return frozenset(
        row.processor
        for row in rows
        if (processor := controller.processors.get(row.processor))
        and row.pseudonym == controller.keys.pseudonym("address", present(connection, controller, processor))
    )


def register(connection: Connection, controller: Controller, processor: Processor, now: datetime) -> None:
    """Know of a processor's contacts, so that they are asked to confirm themselves. Twice changes nothing."""
    for address in desks(connection, controller, processor):
        insert_or_ignore(
            connection,
            t.contact,
            {
                "pseudonym": controller.keys.pseudonym("address", address),
                "processor": processor.name,
                "token_hash": token_hash(controller.contact_token(address, processor.name)),
                "created_at": now,
            },
        )


def desks(connection: Connection, controller: Controller, processor: Processor) -> tuple[str, ...]:
    """Every address that mail about persons may go to once somebody there has confirmed it, each once."""
    rule, one = processor.retention, named(connection, controller, processor)
    instead = one.address if one and one.state is not NamedState.OVERRULED else None
    known = (processor.contact, instead, processor.backup_contact, *((rule.admin, rule.deputy) if rule else ()))
    return tuple(dict.fromkeys(address for address in known if address))


def mark_asked(connection: Connection, controller: Controller, name: str, address: str, now: datetime) -> None:
    """Remember that the question went out."""
    pseudonym = controller.keys.pseudonym("address", address)
    connection.execute(_ASKED, {"address": pseudonym, "name": name, "at": now})


def ask_anew(connection: Connection, controller: Controller, name: str) -> None:
    """Have the contact of a processor asked again, within a minute, unless it has confirmed itself."""
    processor = controller.processors[name]
    one = named(connection, controller, processor)
    waits = {one.address} if one and one.state is NamedState.WAITS else set[str]()
    for address in {processor.contact} | waits:
        pseudonym = controller.keys.pseudonym("address", address)
        connection.execute(
            _ASKED.where(t.contact.c.confirmed_at.is_(None)), {"address": pseudonym, "name": name, "at": None}
        )


def times_asked_anew(connection: Connection, name: str) -> int:
    """How often somebody had the contact of a processor asked again: each time it is another mail."""
    d = t.decision.c
    return int(connection.execute(select(func.count()).where(d.kind == ASK, d.processor == name)).scalar_one())


_HERE = (t.contact.c.pseudonym == bindparam("address")) & (t.contact.c.processor == bindparam("name"))
_CONFIRMED = select(t.contact.c.processor, t.contact.c.pseudonym).where(t.contact.c.confirmed_at.is_not(None))
_ASKED = update(t.contact).where(_HERE).values(asked_at=bindparam("at"))
