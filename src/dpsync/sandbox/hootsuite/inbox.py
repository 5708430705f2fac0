"""What Hootsuite's Inbox holds: contacts, their attributes and conversations, and the log of whom an admin deleted.

Source: the vendor notes, sections 2, 3, 5 and 8. Plain data and plain functions: no HTTP, no faults, no counting.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from dpsync.sandbox import vendor
from dpsync.sandbox.asked import Change, Json, folded, made_id

Source = Literal["AGENT", "MEDIUM", "CRM_CONFIRMED"]
Status = Literal["new", "pending", "resolved"]
LONGEST_VALUE = 250
X = "twit"
"""The medium whose handles, posts and transcripts the write-back leaves out."""


class Refusal(vendor.Refusal):
    """A no, with the vendor's code; `inbox`: in the shape that the Inbox API has."""

    def __init__(self, status: int, code: int, message: str, *, inbox: bool = False) -> None:
        super().__init__(status, message)
        self.code, self.inbox = code, inbox


@dataclass(slots=True)
class Conversation:
    """One conversation. `texts`: (direction, text)."""

    id: str
    created: datetime
    channel: str
    status: Status = "new"
    resolved: datetime | None = None
    texts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Contact:
    """One contact profile. `attributes`: (value, source) by name; `proposed`: what waits for a person's Confirm."""

    id: str
    medium: str
    name: str
    handle: str
    attributes: dict[str, tuple[str, Source]] = field(default_factory=dict)
    proposed: dict[str, str | None] | None = None
    conversations: list[Conversation] = field(default_factory=list)

    def texts(self) -> list[str]:
        """Every text of the person: identifiers, attribute values, what was written."""
        written = [text for one in self.conversations for _, text in one.texts]
        return [self.name, self.handle, *(value for value, _ in self.attributes.values()), *written]

    def is_of(self, person: str) -> bool:
        """Whether an identifier, an attribute or the profile id is this."""
        wanted = folded(person)
        known = [self.id, self.name, self.handle, *(value for value, _ in self.attributes.values())]
        return wanted in {folded(one) for one in known}


@dataclass(frozen=True, slots=True)
class Deleted:
    """One line of the Deleted-contacts log."""

    hint: str
    platform: str
    at: datetime
    admin: str


@dataclass(slots=True)
class Inbox:
    """One organisation's Inbox. `managed`: the attributes that the CRM is the source of."""

    managed: tuple[str, ...] = ("email", "first_name", "last_name")
    contacts: dict[str, Contact] = field(default_factory=dict)
    deleted: list[Deleted] = field(default_factory=list)
    gone: list[tuple[Contact, Conversation]] = field(default_factory=list)
    counted: int = 0

    def made_id(self, kind: str) -> str:
        """An id that follows from the order in which things came, so that runs repeat."""
        self.counted += 1
        digits = made_id(kind, self.counted)
        return f"{digits[:8]}-0000-11eb-9363-{digits[8:20]}"

    def of(self, person: str) -> list[Contact]:
        """Every contact of an identifier, an attribute's value or a profile id."""
        return [one for one in self.contacts.values() if one.is_of(person)]

    def open_contact(self, medium: str, name: str, handle: str, now: datetime, text: str = "") -> Contact:
        """The contact behind a handle, made where it is new, with a message in its open conversation."""
        found = next((one for one in self.contacts.values() if (one.medium, one.handle) == (medium, handle)), None)
        if found is None:
            found = Contact(self.made_id("contact"), medium, name, handle)
            found.attributes[f"{medium}-profile-name"] = (name, "MEDIUM")
            self.contacts[found.id] = found
        if not found.conversations or found.conversations[-1].status == "resolved":
            found.conversations.append(Conversation(self.made_id("conversation"), now, f"0-{medium}"))
        if text:
            found.conversations[-1].texts.append(("INBOUND", text))
        return found

    def delete(self, contact: Contact, hint: str, admin: str, now: datetime) -> None:
        """History, attachments and attributes go for good; the log keeps the hint."""
        del self.contacts[contact.id]
        self.gone += [(contact, one) for one in contact.conversations]
        self.deleted.append(Deleted(hint, contact.medium, now, admin))

    def faults_of(self, wanted: Mapping[str, str | None]) -> list[str]:
        """What the vendor's validation finds wrong, minutes after its 200."""
        return [
            f"Invalid value for attribute key:{name}"
            for name, value in wanted.items()
            if name not in self.managed
            or (value is not None and len(value) > LONGEST_VALUE)
            or (name == "email" and value is not None and "@" not in value)
        ]


def apply(inbox: Inbox, contact: Contact, wanted: Mapping[str, str | None]) -> list[Change]:
    """The complete set of what the CRM manages: what is left out or null is deleted."""
    kinds = []
    for name in inbox.managed:
        value, now = wanted.get(name), contact.attributes.get(name)
        if value is None:
            if contact.attributes.pop(name, None) is not None:
                kinds.append("attribute_removed")
        elif now != (value, "CRM_CONFIRMED"):
            contact.attributes[name] = (value, "CRM_CONFIRMED")
            kinds.append("attribute_set")
    contact.proposed = None
    return [Change(kind, contact.id, contact.name) for kind in kinds]


def write_back(contact: Contact, conversation: Conversation, previous: Status, at: datetime, key: str) -> Json:
    """The body that tells of a conversation which was resolved or set to pending. Of X no identifier and no text."""
    resolved = conversation.status == "resolved"
    return {
        "timestamp": stamp(at),
        "version": 1,
        "type": "CONVERSATION_RESOLVED" if resolved else "CONVERSATION_SET_TO_PENDING",
        "idempotencyKey": key,
        "data": {
            "conversation": {
                "id": conversation.id,
                "createdAt": stamp(conversation.created),
                "previousStatus": previous,
                "currentStatus": conversation.status,
            },
            "medium": {"id": contact.medium},
            "channel": {"id": conversation.channel, "name": "Main page"},
            "agent": {"id": "11599", "email": "staff@example.org", "firstName": "Sam", "lastName": "Staff"},
            **_of_person(contact, conversation),
            "notes": [],
            "topics": [],
        },
    }


def _of_person(contact: Contact, conversation: Conversation) -> Json:
    shown = contact.medium != X
    identifiers = {
        "mediumContactProfileId": hashlib.sha256(contact.handle.encode()).hexdigest()[:24],
        "primaryIdentifier": contact.name,
        "secondaryIdentifier": contact.handle,
    }
    return {
        "contactProfile": {"id": contact.id} | (identifiers if shown else {}),
        "messages": [
            {"id": f"{conversation.id[:8]}-m{number}", "direction": direction, "text": text}
            for number, (direction, text) in enumerate(conversation.texts, 1)
            if shown
        ],
        "contactAttributes": [
            {"attribute": name, "value": value, "source": source}
            for name, (value, source) in contact.attributes.items()
            if shown or source != "MEDIUM"
        ],
    }


def stamp(at: datetime) -> str:
    """In UTC, as the vendor writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
