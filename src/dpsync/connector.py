"""The contract every connector keeps.

A connector says what its processor said. It decides nothing about time, retries, alerts or storage. Outcomes are what
the *processor* said; exceptions (`CredentialsRejected`, `UnsupportedRight`) are what is wrong with *us*.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import BaseModel

from dpsync.address import spellings
from dpsync.connector_outcomes import (
    Accepted,
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    Finding,
    HandOver,
    NothingHeld,
    NotIdentifiable,
    Outcome,
    Recipient,
    Refused,
    Retryable,
)
from dpsync.connector_services import (
    Evidence,
    Http,
    Kit,
    Pseudonym,
    Reply,
    Shelf,
)
from dpsync.model import Changes, Exemption, Lifted, Retention, Right

__all__ = [
    "Accepted",
    "Account",
    "Applied",
    "AsAsked",
    "CannotTell",
    "Capability",
    "Connector",
    "Contradicts",
    "Conversation",
    "Evidence",
    "Exemption",
    "Exported",
    "Finding",
    "HandOver",
    "Http",
    "Inbound",
    "Instruction",
    "KeepsConversations",
    "Kit",
    "Letter",
    "Means",
    "NotIdentifiable",
    "NothingHeld",
    "NoticeKind",
    "Outcome",
    "Processor",
    "Pseudonym",
    "Recipient",
    "Refused",
    "Reply",
    "Retryable",
    "Shelf",
]


# --- what a processor is told


class NoticeKind(StrEnum):
    """Which letter of one correspondence this is."""

    FIRST = "first"
    REMINDER = "reminder"
    BACKUP = "backup"
    TASK = "task"
    TASK_REMINDER = "task_reminder"


@dataclass(frozen=True, slots=True)
class Letter:
    """What a notice needs besides: from and to whom, its sequence number, the answer to what, by when."""

    number: int
    kind: NoticeKind
    controller: str
    to: str = field(repr=False)
    processor_title: str
    answer_by: date
    in_reply_to: str | None = None
    task: str = ""
    references: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Instruction:
    """What one processor is told about one subject. A value; told twice, the effect is that of once.

    `addresses`: every address the subject is known under, the current one first. `message_id`, `answer_url` and
    `reference` are HMACs over propagation and notice number. `digest_key` keys the digests in the evidence.
    """

    reference: str
    right: Right
    addresses: tuple[str, ...] = field(repr=False)
    subject_id: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    changes: Changes | None = field(default=None, repr=False)
    lifted: Lifted | None = None
    message_id: str = ""
    answer_url: str = field(default="", repr=False)
    digest_key: bytes = field(default=b"", repr=False)
    may_call_until: Callable[[], float] = field(default=lambda: float("inf"), repr=False, compare=False)
    letter: Letter | None = None

    @property
    def deadline(self) -> float:
        """No call begins after this second of the kit's clock. Ask before *each*: a lease is renewed, or lost."""
        return self.may_call_until()

    @property
    def spellings(self) -> tuple[str, ...]:
        """Each to be asked for before "nobody" is believed: every spelling of every address, of a new one last."""
        new = self.changes.email if self.changes and self.right is Right.RECTIFICATION else None
        known = (*self.addresses, *([new] if new else []))
        return tuple(dict.fromkeys(form for one in known for form in spellings(one)))


# --- what a connector declares


class Means(StrEnum):
    """By which means a right is carried out."""

    API = "api"
    NOTICE = "notice"
    API_AND_OPERATOR = "api_and_operator"
    API_AND_NOTICE = "api_and_notice"
    OPERATOR = "operator"
    LIST_AND_NOTICE = "list_and_notice"


@dataclass(frozen=True, slots=True)
class Capability:
    """What a connector can do for a right, and what it cannot: printed in the report and in docs/processors.md.

    `effect`: what is true afterwards; `limits`: what is not; `verified_by`: the read-back, or ""; `source`: dated.
    """

    means: Means
    effect: str
    limits: str
    verified_by: str
    source: str
    address_change: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """What a processor says of itself when probed: whose account it is and how many contacts it holds."""

    title: str
    contacts: int | None
    lists: tuple[str, ...] = ()


# --- the contract


class Connector(ABC):
    """How one kind of processor is told. One file or folder a vendor; its name is the connector's name."""

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]]
    capabilities: ClassVar[Mapping[Right, Capability]]
    max_inflight: ClassVar[int] = 4
    """How many instructions this vendor's account takes at once; a documented limit, or a polite guess."""

    @classmethod
    @abstractmethod
    def from_settings(cls, section: BaseModel, kit: Kit) -> Self:
        """Build it from its own validated section. Opens no connection."""

    @abstractmethod
    def probe(self) -> Account:
        """Read-only: whose account is it? Raises `CredentialsRejected` or `ProcessorUnreachable`."""

    @abstractmethod
    def carry_out(self, instruction: Instruction) -> Outcome:
        """Tell it; told twice is told once. Raises `CredentialsRejected`, and `UnsupportedRight` before any call."""

    @abstractmethod
    def verify(self, instruction: Instruction) -> Finding:
        """Read back whether it is as asked. Raises `CredentialsRejected`."""


# --- what a processor may send us


@dataclass(frozen=True, slots=True)
class Conversation:
    """A private conversation that the processor keeps, as its own webhook reported it; never a word of its text.

    `id`, `contact`, `medium` and `channel` are the vendor's ids. `started_at` is the oldest moment that the vendor
    names. `open`: it is still going on there. `people`: keyed pseudonyms (`Kit.pseudonym`) of whom it names.
    """

    id: str
    contact: str
    medium: str
    channel: str
    started_at: datetime
    seen_at: datetime
    open: bool
    people: tuple[str, ...] = ()


class Inbound(ABC):
    """A connector whose vendor sends webhooks, to `/in/{processor}/{secret}`, inherits this too.

    What comes in is a hint at most: it is read again at the vendor before it counts, and never becomes a
    rectification or an erasure.
    """

    @abstractmethod
    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:
        """Take in one delivery; what the connector wants to remember is on its Shelf when this returns.

        Called with lower-case header names after the secret in the path was found right, in a thread, perhaps twice
        with the same body: the second changes nothing. What it does not know it passes over. Makes no call.
        Raises `SignatureInvalid` (a vendor that signs) and `PayloadInvalid`.
        """


@dataclass(frozen=True, slots=True)
class Exported:
    """One row of the vendor's own export of conversations: its ids, and the oldest moment that the row names."""

    conversation: str
    contact: str
    started_at: datetime


class KeepsConversations(Inbound):
    """A connector whose vendor keeps private conversations that must be gone after a while.

    `unseen`: what its webhooks never show, one sentence each, printed in the report beside what they do.
    `export_columns`: without these a file is not that export; a header alone may be an export that found nothing.
    `whole_contacts`: only a contact can be deleted; while it shows itself, none of its conversations is gone.
    """

    whole_contacts: ClassVar[bool] = False
    unseen: ClassVar[tuple[str, ...]]
    export_columns: ClassVar[frozenset[str]]

    @abstractmethod
    def read_export(self, rows: Iterable[Mapping[str, str]]) -> Iterator[Exported]:
        """The rows of the vendor's export, by `export_columns`. Raises `PayloadInvalid`: the row, never its value."""


@dataclass(frozen=True, slots=True)
class Processor:
    """A processor as the service hands it to propagation: its connector, and what the contract with it says."""

    name: str
    title: str
    account: str
    connector: Connector
    contact: str = field(repr=False)
    answer_within: timedelta
    backup_contact: str | None = field(default=None, repr=False)
    exempt: Mapping[Right, Exemption] = field(default_factory=dict)
    is_controller: bool = False  # of its own: it is told (Art. 19), and answers itself for what it holds
    retention: Retention | None = None

    def means(self, right: Right) -> Means:
        """How this right reaches the processor; what its connector does not declare goes to its contact by notice."""
        capability = self.connector.capabilities.get(right)
        return capability.means if capability else Means.NOTICE
