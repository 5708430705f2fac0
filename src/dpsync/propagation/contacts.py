"""Whether a processor's contact has confirmed, by a link, that letters about persons reach the right desk."""

from datetime import datetime

from sqlalchemy import Connection, select, update

from dpsync.connector import Processor
from dpsync.propagation.controller import Controller, token_hash
from dpsync.store import tables as t
from dpsync.store.upsert import insert_or_ignore


def is_confirmed(connection: Connection, controller: Controller, processor: Processor) -> bool:
    """Whether identifiers may go to this contact. Another address at the same processor must confirm itself anew."""
    found = connection.execute(select(t.contact.c.confirmed_at).where(*_here(controller, processor))).one_or_none()
    return found is not None and found.confirmed_at is not None


def register(connection: Connection, controller: Controller, processor: Processor, now: datetime) -> None:
    """Know of a contact, so that it is asked to confirm itself. Twice changes nothing."""
    insert_or_ignore(
        connection,
        t.contact,
        {
            "pseudonym": controller.keys.pseudonym("address", processor.contact),
            "processor": processor.name,
            "token_hash": token_hash(controller.contact_token(processor.contact, processor.name)),
            "created_at": now,
        },
    )


def mark_asked(connection: Connection, controller: Controller, processor: Processor, now: datetime) -> None:
    """Remember that the question went out."""
    connection.execute(update(t.contact).where(*_here(controller, processor)).values(asked_at=now))


def _here(controller: Controller, processor: Processor):  # type: ignore[no-untyped-def]  # because column expressions have no useful type
    return (
        t.contact.c.pseudonym == controller.keys.pseudonym("address", processor.contact),
        t.contact.c.processor == processor.name,
    )
