"""The contract every connector keeps.

A connector says what its processor said. It decides nothing about time, retries, alerts or storage. Outcomes are what
the *processor* said; exceptions (`CredentialsRejected`, `UnsupportedRight`) are what is wrong with *us*.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Self

from pydantic import BaseModel

from dpsync.address import spellings
from dpsync.connector_inbound import (
    Conversation,
    Exported,
    HookedPlace,
    Inbound,
    KeepsConversations,
    NotesTo,
    ObservesOptOuts,
    OptOutHint,
    RegistersHooks,
    Reported,
    ReportsOutcomes,
    Roster,
    RosterLine,
    TakesBack,
    TakesNotes,
    TakingBack,
    VendorHook,
)
from dpsync.connector_outcomes import (
    Accepted,
    Applied,
    AsAsked,
    CannotTell,
    Contradicts,
    Declares,
    Finding,
    HandOver,
    NothingHeld,
    NotIdentifiable,
    Outcome,
    Recipient,
    Refused,
    ReportedOutcome,
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
    "Declares",
    "Evidence",
    "Exemption",
    "Exported",
    "Finding",
    "HandOver",
    "HookedPlace",
    "Http",
    "Inbound",
    "Instruction",
    "KeepsConversations",
    "Kit",
    "Letter",
    "Means",
    "NotIdentifiable",
    "NotesTo",
    "NothingHeld",
    "NoticeKind",
    "ObservesOptOuts",
    "OptOutHint",
    "Outcome",
    "Processor",
    "Pseudonym",
    "Recipient",
    "Refused",
    "RegistersHooks",
    "Reply",
    "Reported",
    "ReportedOutcome",
    "ReportsOutcomes",
    "Retryable",
    "Roster",
    "RosterLine",
    "Shelf",
    "TakesBack",
    "TakesNotes",
    "TakingBack",
    "VendorHook",
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
    `reference` are HMACs over propagation and notice number. `request`: by which id its processor may answer later.
    `digest_key` keys the digests in the evidence. `received_at`: when the controller received what is asked.
    `answer_within`: how long the processor has to say how it ended.
    `scope`: from what an opt-out is, "" for all; `only`: what that is there, as `parts` of its connector have it, None
    for all, or where words alone say it.
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
    request: str = ""
    message_id: str = ""
    answer_url: str = field(default="", repr=False)
    digest_key: bytes = field(default=b"", repr=False)
    may_call_until: Callable[[], float] = field(default=lambda: float("inf"), repr=False, compare=False)
    letter: Letter | None = None
    received_at: datetime | None = None
    answer_within: timedelta | None = None
    scope: str = ""
    only: tuple[str, ...] | None = None

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

    `effect`: what is true afterwards; `limits`: what is not; `verified_by`: the read-back, or ""; `declared_by`: the
    call by which the processor itself says how far it is, or ""; `source`: dated.
    """

    means: Means
    effect: str
    limits: str
    verified_by: str
    source: str
    address_change: bool = False
    declared_by: str = ""


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
    parts: ClassVar[Mapping[str, str]] = {}  # what an opt-out can be narrowed down to: kinds, and the form of their ids
    tells_scope: ClassVar[bool] = False  # words are enough: whoever reads them narrows it down
    retry_steps: ClassVar[tuple[timedelta, ...]] = ()
    """After how long its protocol proposes to try again, attempt by attempt; none: dpsync's own steps."""
    forgets: ClassVar[frozenset[str]] = frozenset()
    """How keys on the shelf begin under which it remembers something of people beyond one request. That is destroyed
    years after it was written last. What an opt-out or a restriction that holds still rests on is none of it.
    """

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
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # what a scope of ours is here

    def means(self, right: Right) -> Means:
        """How this right reaches the processor; what its connector does not declare goes to its contact by notice."""
        capability = self.connector.capabilities.get(right)
        return capability.means if capability else Means.NOTICE
