"""What a processor may send us: a hint at most, which is read again at the processor before it counts."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from dpsync.connector_outcomes import ReportedOutcome


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
    rectification or an erasure. `taken`, `unsigned`: the status that this vendor waits for where a delivery was taken
    in, and where its signature is not right.
    """

    taken: ClassVar[int] = 200
    unsigned: ClassVar[int] = 401

    @abstractmethod
    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:
        """Take in one delivery; what the connector wants to remember is on its Shelf when this returns.

        Called with lower-case header names after the secret in the path was found right, in a thread, perhaps twice
        with the same body: the second changes nothing. What it does not know it passes over. Makes no call.
        Raises `SignatureInvalid` (a vendor that signs) and `PayloadInvalid`.
        """


@dataclass(frozen=True, slots=True)
class OptOutHint:
    """That somebody opted out at the vendor, as its webhook says. `place`: where, in the connector's own words."""

    address: str = field(repr=False)
    place: str


class ObservesOptOuts(Inbound):
    """A connector whose vendor tells of people who opt out there, and can be asked whether it is so."""

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:  # noqa: ARG002 - because the contract names them
        """Nothing to remember: what it tells of is a wish or nothing, see `opt_out_hints`."""
        return ()

    @abstractmethod
    def opt_out_hints(self, body: bytes) -> tuple[OptOutHint, ...]:
        """Who opted out, by one delivery. Makes no call. Raises `PayloadInvalid`."""

    @abstractmethod
    def opted_out_at(self, hint: OptOutHint) -> datetime | None:
        """Since when the vendor itself says so, by one look now; None where it does not.

        Raises `vendor.errors.Ended` and `CredentialsRejected` where it does not answer: then it is not known.
        """


@dataclass(frozen=True, slots=True)
class Reported:
    """What a processor's own system said later of one instruction, as far as its signature was right.

    `request`: the id that the instruction bore. `event`: the id of its message, the same each time it is sent.
    `digest`: SHA-256 (hex) of the body. `older`: it answers what was told before the last time. `remark`: free text,
    which may be about the person.
    """

    request: str
    outcome: ReportedOutcome
    event: str
    digest: str
    older: bool = False
    remark: str = field(default="", repr=False)


class ReportsOutcomes(Inbound):
    """A connector whose processor says later, by a signed message, what became of what it was told.

    Then that is the processor's word, as a person's answer to a letter is: it is declared, and never verified.
    `only_so`: it can be asked for nowhere, so that the section of settings must say where it comes in.
    """

    only_so: ClassVar[bool] = True

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[Conversation, ...]:  # noqa: ARG002 - because the contract names them
        """Nothing to remember, see `reported`."""
        return ()

    @abstractmethod
    def reported(self, headers: Mapping[str, str], body: bytes) -> Reported:
        """What one delivery says. Raises `SignatureInvalid`, `WebhookStale` and `PayloadInvalid`; `vendor.errors.Ended`
        where it takes a call to check the signature, and that is not answered. Makes no other call.
        """


@dataclass(frozen=True, slots=True)
class NotesTo:
    """Where a processor's own system takes short signed messages, and what signs them: two during a change.

    `private_host`: the host of `url` that may be inside our own network, "" for none.
    """

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    private_host: str = ""


class TakesNotes(ABC):
    """A connector whose processor can be reminded of what it was told, and told that a request was withdrawn."""

    @abstractmethod
    def notes_to(self) -> NotesTo:
        """Where such a message goes. Makes no call."""


@dataclass(frozen=True, slots=True)
class TakingBack:
    """One call by which a processor hears that a request was withdrawn."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class TakesBack(ABC):
    """A connector whose processor has a call of its own for a request that was withdrawn.

    `too_late`: the statuses by which it says for good that it does not stop any more. Neither they nor a yes change
    where the propagation stands: only what the processor says of the request does.
    """

    too_late: ClassVar[frozenset[int]]

    @abstractmethod
    def taking_back(self, request: str) -> tuple[TakingBack, ...]:
        """The calls for all that it was told of a request. Makes none."""

    @abstractmethod
    def taken_back_at(self) -> str:
        """The host that they go to."""


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
class VendorHook:
    """A webhook as its vendor has it registered. `url` holds a secret, ours or somebody else's.

    `deaf`: why it tells nothing of people who opt out, "" where it does.
    """

    id: str
    url: str = field(repr=False)
    deaf: str = ""


@dataclass(frozen=True, slots=True)
class HookedPlace:
    """A list, or what the vendor calls it, and every webhook that is registered for it, ours or not."""

    place: str
    title: str
    hooks: tuple[VendorHook, ...]


class RegistersHooks(ABC):
    """A connector whose vendor can be asked which webhooks it has, and be given one.

    `sample`: content type and body of a delivery in the vendor's form that is nobody's wish. Of all that is called here
    `vendor.errors.Ended` and `CredentialsRejected` are raised where the vendor does not answer, or says no.
    """

    sample: ClassVar[tuple[str, bytes]]

    @abstractmethod
    def hooked(self) -> Iterator[HookedPlace]:
        """Every place with its webhooks. Only reads."""

    @abstractmethod
    def register_hook(self, place: str, url: str, instead_of: VendorHook | None) -> None:
        """Have the vendor tell `url` of people who opt out there, in place of a webhook of ours that does not."""

    @abstractmethod
    def try_hook(self, place: str, hook: VendorHook) -> str | None:
        """Have the vendor send one now: "" where it says that it was taken, else why not; None: it has no such call."""


@dataclass(frozen=True, slots=True)
class RosterLine:
    """One record of a processor's list of its people. Personal data, which lives while its page is compared.

    `place` and `record` are the vendor's own ids; one that has no other knows a record by its address. `address` is ""
    where it shows none. `mailed`: it may get mail; `used`: nothing keeps it from use; `opted_out`: it says that the
    person themselves left; `unsure`: of that only a look at the record is sure (`ObservesOptOuts.opted_out_at`).
    `within`: in which parts of the place it may be mailed, of those that were asked for.
    `changed_at` and `by`: when it was changed last, and how it came there, in the vendor's own words, as far as it
    tells. `mark`: a place in the list, "" for none: whoever saw all lines up to this one can go on from there later.
    """

    place: str
    record: str = field(repr=False)
    address: str = field(repr=False)
    mailed: bool
    used: bool
    opted_out: bool
    changed_at: datetime | None = None
    by: str = ""
    unsure: bool = False
    within: frozenset[str] = frozenset()
    mark: str = field(default="", repr=False)


class Roster(ABC):
    """A connector whose vendor lists everybody whom it holds inherits this too."""

    @abstractmethod
    def roster(self, after: str = "", parts: Collection[str] = ()) -> Iterator[RosterLine]:
        """Everybody in every place, page by page; a record may come twice. Only reads. `after`: the mark of a line that
        this same connector gave: then only whoever comes behind it. `parts`: those smaller than a place of which it is
        asked who is in them, as `Connector.parts` has them; no other is read.

        Raises `vendor.errors.Ended` and `CredentialsRejected` where a page cannot be read, or the list changed so
        much meanwhile that somebody may have been passed over: whoever only reached the end has seen everybody.
        """
