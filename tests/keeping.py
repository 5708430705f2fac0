"""A processor that keeps private conversations, for tests: the stand-in as a real connector, and what it tells."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

import dpsync.connectors
from dpsync.connector import Conversation
from dpsync.known_connectors import connector_class
from dpsync.ledger import entry
from dpsync.model import Retention
from dpsync.retention import acts
from dpsync.retention.conversations import opened, pseudonym
from dpsync.store import conversation_tables as ct
from dpsync.store import tables as t
from dpsync.store.database import reading
from tests.builders import START, World

STANDINS = str(Path(__file__).parent / "standins")
ADMIN, DEPUTY = "inbox@example.org", "deputy-inbox@example.org"
RULE = Retention(months=3, admin=ADMIN, deputy=DEPUTY)
HEADER = "Conversation,Contact,Created at,Medium\r\n"


@contextmanager
def standins() -> Iterator[None]:
    """The stand-ins are found as connectors."""
    dpsync.connectors.__path__.append(STANDINS)
    try:
        yield
    finally:
        dpsync.connectors.__path__.remove(STANDINS)


def postbox() -> Any:
    """The stand-in, built."""
    with standins():
        found = connector_class("postbox")
    assert found is not None
    return found.from_settings(found.Settings(), None)  # type: ignore[arg-type]  # because it asks nothing of a kit


def keeping(world: World, rule: Retention = RULE) -> World:
    """A world whose only processor keeps private conversations."""
    world.use(replace(world.processor("inbox", connector=postbox()), retention=rule))
    return world


def told(
    number: int = 1,
    began: datetime = START - timedelta(days=100),
    *,
    seen: datetime | None = None,
    contact: str = "",
    open: bool = False,  # noqa: A002 - because it is the field's name in the contract
) -> Conversation:
    """What a webhook says of a conversation."""
    return Conversation(
        id=f"conv-canary-{number}",
        contact=contact or f"contact-canary-{number}",
        medium="fb",
        channel="main",
        started_at=began,
        seen_at=seen or began,
        open=open,
        people=("00" * 32,),
    )


def note(world: World, *conversations: Conversation) -> int:
    """A webhook came in."""
    now = world.clock.now()
    return world.writer.call(lambda unit: acts.note(unit, world.controller, "inbox", conversations, now))


def row(world: World, number: int = 1) -> Any:
    """One conversation's row."""
    key = pseudonym(world.controller, "inbox", "conversation", f"conv-canary-{number}")
    with reading(world.engine) as connection:
        return connection.execute(select(ct.conversation).where(ct.conversation.c.pseudonym == key)).one()


def rows(world: World) -> dict[str, Any]:
    """All rows by the vendor's id; a number in its place where that is destroyed."""
    with reading(world.engine) as connection:
        found = connection.execute(select(ct.conversation)).all()
    named = {}
    for at, one in enumerate(found):
        ids = opened(world.controller, one)
        named[ids.conversation if ids else f"destroyed {at}"] = one
    return named


def entries(world: World) -> list[dict[str, Any]]:
    """What the ledger says of retention, in order."""
    said = [entry.decode(one.body) for one in world.rows(t.entry)]
    return [one for one in said if one.get("kind") in {"retention", "worklist"} or "retention" in str(one.get("cause"))]


def export(*conversations: tuple[str, str], columns: str = HEADER) -> str:
    """The vendor's file: (id, began) a row."""
    return columns + "".join(f"{name},contact of {name},{began},fb\r\n" for name, began in conversations)


def body_of(*conversations: Conversation) -> bytes:
    """The same as the stand-in's webhook sends it."""
    return json.dumps(
        [
            {
                "id": one.id,
                "contact": one.contact,
                "started_at": one.started_at.isoformat(),
                "seen_at": one.seen_at.isoformat(),
                "open": one.open,
            }
            for one in conversations
        ]
    ).encode()
