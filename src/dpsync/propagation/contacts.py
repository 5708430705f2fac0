"""Whether a processor's contact has confirmed, by a link, that letters about persons reach the right people."""

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, update

from dpsync.connector import Processor
from dpsync.propagation.controller import Controller, token_hash
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore

ASK: Final = "ask_contact"
"""What it is called among the decisions that a contact was asked again."""


def is_confirmed(connection: Connection, controller: Controller, name: str, address: str) -> bool:
    """Whether identifiers may go to this address at this processor. Another address must confirm itself anew."""
    pseudonym = controller.keys.pseudonym("address", address)
    return any(row.processor == name and row.pseudonym == pseudonym for row in connection.execute(_CONFIRMED))


def confirmed(connection: Connection, controller: Controller) -> frozenset[str]:
    """The names of the processors whose present contact has confirmed itself."""
    rows = connection.execute(_CONFIRMED).all()
    return frozenset(
        row.processor
        for row in rows
        if (processor := controller.processors.get(row.processor))
        and row.pseudonym == controller.keys.pseudonym("address", processor.contact)
    )


def register(connection: Connection, controller: Controller, processor: Processor, now: datetime) -> None:
    """Know of a processor's contacts, so that they are asked to confirm themselves. Twice changes nothing."""
    for address in desks(processor):
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


def desks(processor: Processor) -> tuple[str, ...]:
    """Every address that mail about persons may go to once somebody there has confirmed it, each once."""
    rule = processor.retention
    named = (processor.contact, processor.backup_contact, rule.admin if rule else None, rule.deputy if rule else None)
    return tuple(dict.fromkeys(address for address in named if address))


def mark_asked(connection: Connection, controller: Controller, name: str, address: str, now: datetime) -> None:
    """Remember that the question went out."""
    pseudonym = controller.keys.pseudonym("address", address)
    connection.execute(_ASKED, {"address": pseudonym, "name": name, "at": now})


def ask_anew(connection: Connection, controller: Controller, name: str) -> None:
    """Have the contact of a processor asked again, within a minute, unless it has confirmed itself."""
    pseudonym = controller.keys.pseudonym("address", controller.processors[name].contact)
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
