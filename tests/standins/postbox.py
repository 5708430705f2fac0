"""Postbox: a vendor that does not exist and keeps private conversations. For tests only; see `tests/keeping.py`."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict

from dpsync.connector import (
    Account,
    CannotTell,
    Capability,
    Connector,
    Conversation,
    Exported,
    Finding,
    Instruction,
    KeepsConversations,
    NothingHeld,
    Outcome,
)
from dpsync.connector_services import Kit
from dpsync.errors import PayloadInvalid
from dpsync.model import Right


class PostboxSettings(BaseModel):
    """No keys of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Postbox(Connector, KeepsConversations):
    """Says what it keeps by webhook, and in an export."""

    name: ClassVar[str] = "postbox"
    whole_contacts: ClassVar[bool] = True
    Settings: ClassVar[type[BaseModel]] = PostboxSettings
    capabilities: ClassVar[Mapping[Right, Capability]] = MappingProxyType({})
    unseen: ClassVar[tuple[str, ...]] = ("Pigeon post is never told of.",)
    export_columns: ClassVar[frozenset[str]] = frozenset({"Conversation", "Contact", "Created at"})

    @classmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it; opens no connection."""
        del section, kit
        return cls()

    def probe(self) -> Account:
        """Always there."""
        return Account(title="Postbox", contacts=None)

    def carry_out(self, instruction: Instruction) -> Outcome:
        """Not asked: it declares no right."""
        return NothingHeld(evidence=())

    def verify(self, instruction: Instruction) -> Finding:
        """Not asked either."""
        return CannotTell(reason="no interface")

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:
        """Its webhook: a JSON list."""
        del headers
        return tuple(_told(one) for one in json.loads(body))

    def read_export(self, rows: Iterable[Mapping[str, str]]) -> Iterator[Exported]:
        """Its export."""
        for number, row in enumerate(rows, 1):
            try:
                started = datetime.fromisoformat(row["Created at"])
            except ValueError:
                raise PayloadInvalid(f"row {number}", "its date cannot be read") from None
            if started.tzinfo is None or not row["Conversation"]:
                raise PayloadInvalid(f"row {number}", "it lacks an id or a zone")
            yield Exported(row["Conversation"], row["Contact"], started)


def _told(one: Mapping[str, str]) -> Conversation:
    return Conversation(
        id=one["id"],
        contact=one["contact"],
        medium=one.get("medium", "fb"),
        channel=one.get("channel", "main"),
        started_at=datetime.fromisoformat(one["started_at"]),
        seen_at=datetime.fromisoformat(one["seen_at"]),
        open=bool(one.get("open", False)),
    )
