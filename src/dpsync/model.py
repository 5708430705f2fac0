"""The values every room speaks of: rights, requests, states, rungs. No behaviour beyond what a value knows itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Literal

from dpsync.address import normalised


class Right(StrEnum):
    """What the person may demand (GDPR Art. 16, 17, 18, 21)."""

    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    OPT_OUT = "opt_out"


class Regime(StrEnum):
    """Whose law sets the periods: that of the United Kingdom, or that of the European Union (and of the EEA)."""

    UK = "uk"
    EU = "eu"


class State(StrEnum):
    """Where a propagation stands. There is no state "failed": a right does not fail, it waits for a person."""

    HELD = "held"
    PENDING = "pending"
    ACCEPTED = "accepted"
    HANDED_OVER = "handed_over"
    APPLIED = "applied"
    DECLARED_DONE = "declared_done"
    NOTHING_HELD = "nothing_held"
    DECLARED_NOTHING_HELD = "declared_nothing_held"
    VERIFIED = "verified"
    CONTRADICTED = "contradicted"
    REFUSED = "refused"
    ESCALATED = "escalated"
    NOT_IDENTIFIABLE = "not_identifiable"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    SETTLED = "settled"
    EXEMPT = "exempt"


DONE_STATES = frozenset(
    {
        State.APPLIED,
        State.DECLARED_DONE,
        State.NOTHING_HELD,
        State.DECLARED_NOTHING_HELD,
        State.VERIFIED,
    }
)
"""What the reports may count as done. `settled` and `exempt` are closed, and counted apart."""

CLOSED_STATES = DONE_STATES | {State.SUPERSEDED, State.WITHDRAWN, State.SETTLED, State.EXEMPT}
"""Nobody is waited for any more. Each done state may still become `contradicted`."""


class Rung(IntEnum):
    """How far the proof reaches."""

    NONE = 0
    SENT = 1
    DELIVERED = 2
    ACKNOWLEDGED = 3
    CONFIRMED = 4
    VERIFIED = 5
    STILL_VERIFIED = 6


class Cause(StrEnum):
    """Why a propagation is held: accepted, its legal clock running, nothing sent."""

    BRAKE = "brake"
    COOLING_OFF = "cooling_off"
    APPROVAL = "approval"
    SHARED_ADDRESS = "shared_address"
    RESTRICTION_IN_FORCE = "restriction_in_force"
    CONTACT_UNVERIFIED = "contact_unverified"
    OBSERVE = "observe"
    MAYBE_MERGE = "maybe_merge"  # a record is gone: erased, or merged into another of the same person
    RESTORED = "restored"  # the database was put back: it may have been sent since
    KEY_LOST = "key_lost"  # the key of its month is lost for good: nobody can be told of it
    FOR_A_PERSON = "for_a_person"  # who hands it over does not say what is to be done
    SCOPE_UNMAPPED = "scope_unmapped"  # an opt-out of a part, and nobody said what that part is there


class Way(StrEnum):
    """By which means the processor is told next."""

    API = "api"
    NOTICE = "notice"
    OPERATOR = "operator"


class Role(StrEnum):
    """Who of the controller our mails go to."""

    DPO = "dpo"
    DEPUTY = "deputy"
    OPERATOR = "operator"


class ConversationState(StrEnum):
    """Where a private conversation stands that a processor keeps and that must be gone after a while."""

    KEPT = "kept"
    LISTED = "listed"
    EXCEPTED = "excepted"
    CONTRADICTED = "contradicted"
    ATTESTED = "attested"
    VERIFIED_BY_EXPORT = "verified_by_export"


class ActKind(StrEnum):
    """What was done about private conversations: by the clock, by a person, or by what a vendor showed."""

    LISTED = "listed"
    ATTESTED = "attested"
    CHECKED = "checked"
    CONTRADICTED = "contradicted"
    EXCEPTED = "excepted"
    NO_OPEN = "no_open"


@dataclass(frozen=True, slots=True)
class Retention:
    """How many calendar months private conversations may stay at a processor, and who deletes them there.

    `weekday`: on which day of the week the work list is made, 0 is Monday.
    """

    months: int
    admin: str = field(repr=False)
    deputy: str | None = field(default=None, repr=False)
    weekday: int = 0


class Mode(StrEnum):
    """How carefully an installation starts: look only, ask first, or act."""

    OBSERVE = "observe"
    CONFIRM = "confirm"
    LIVE = "live"


NameKind = Literal["address", "id", "phone"]
"""By what a person can be named: an email address, the main database's id, or a telephone number."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A data subject as the main database names it. Everything here is personal data and hidden in `repr`."""

    id: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    other_emails: tuple[str, ...] = field(default=(), repr=False)
    phone: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)


FieldValue = str | Mapping[str, str]
"""The new value of a processor's own field: a text, or the parts of an address by the processor's names for them."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What is put right (Art. 16). `fields` are the processor's own field names.

    "" clears a field or a part of it; what is not named stays as it is, parts of an address too.
    """

    email: str | None = field(default=None, repr=False)
    first_name: str | None = field(default=None, repr=False)
    last_name: str | None = field(default=None, repr=False)
    fields: Mapping[str, FieldValue] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> frozenset[str]:
        """What is changed, never to what."""
        own = {"email": self.email, "first_name": self.first_name, "last_name": self.last_name}
        named = {name for name, value in own.items() if value is not None}
        for name, value in self.fields.items():
            named |= {f"fields/{name}"} if isinstance(value, str) else {f"fields/{name}/{part}" for part in value}
        return frozenset(named)

    def under(self, newer: "Changes") -> "Changes":
        """These changes as they are after newer ones: what both change is as the newer one says."""
        return Changes(
            email=self.email if newer.email is None else newer.email,
            first_name=self.first_name if newer.first_name is None else newer.first_name,
            last_name=self.last_name if newer.last_name is None else newer.last_name,
            fields={
                **self.fields,
                **{name: _value_under(self.fields.get(name), value) for name, value in newer.fields.items()},
            },
        )

    def without(self, names: frozenset[str]) -> "Changes":
        """These changes but for those names; `fields/ADDRESS` takes every part of it."""
        left = {name: _value_without(f"fields/{name}", value, names) for name, value in self.fields.items()}
        return Changes(
            email=None if "email" in names else self.email,
            first_name=None if "first_name" in names else self.first_name,
            last_name=None if "last_name" in names else self.last_name,
            fields={name: value for name, value in left.items() if value is not None},
        )


def _value_under(older: FieldValue | None, newer: FieldValue) -> FieldValue:
    return newer if isinstance(newer, str) or not isinstance(older, Mapping) else {**older, **newer}


def _value_without(name: str, value: FieldValue, names: frozenset[str]) -> FieldValue | None:
    if name in names or isinstance(value, str):
        return None if name in names else value
    return {part: text for part, text in value.items() if f"{name}/{part}" not in names} or None


@dataclass(frozen=True, slots=True)
class Lifted:
    """That a restriction ends, and when and how the person was told before (Art. 18(3))."""

    told_on: date
    how: str


@dataclass(frozen=True, slots=True)
class Request:
    """One right of one subject, as it came in. `received_at` is when the *controller* received it.

    `identity_confirmed_at`, `fee_paid_at`: when what the controller had to ask for first had come, None where it asked
    for nothing (Art. 12(6), 12A). `scope`: of an opt-out, what it is from, as `opt_out_scope` writes it; "" is all.
    """

    source: str
    event_id: str
    right: Right
    subject: Subject
    received_at: datetime
    received_assumed: bool = False
    ground: str = ""
    version: int | None = None
    changes: Changes | None = None
    lifted: Lifted | None = None
    by: str = ""
    identity_confirmed_at: datetime | None = None
    fee_paid_at: datetime | None = None
    scope: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address this request itself names, the new one of a rectification included; first spelling wins."""
        named = [self.subject.email, *self.subject.other_emails, self.changes.email if self.changes else None]
        seen: dict[str, str] = {}
        for address in named:
            if address:
                seen.setdefault(normalised(address), address)
        return tuple(seen.values())

    @property
    def named(self) -> tuple[tuple[NameKind, str], ...]:
        """All that this request names the person by: every address, then the telephone number, then the id."""
        phone, own_id = self.subject.phone, self.subject.id
        found: list[tuple[NameKind, str]] = [("address", one) for one in self.addresses]
        found += [("phone", phone)] if phone else []
        found += [("id", own_id)] if own_id else []
        return tuple(found)

    @property
    def irreversible(self) -> bool:
        """Whether carrying it out destroys something at the processor."""
        return self.right is Right.ERASURE


class ExemptionCode(StrEnum):
    """On which ground a recipient need not be told (GDPR Art. 19)."""

    IMPOSSIBLE = "art19_impossible"
    DISPROPORTIONATE = "art19_disproportionate"


@dataclass(frozen=True, slots=True)
class Exemption:
    """Why a processor need not be told of a right (Art. 19): a code, a reason, a named person, an end."""

    code: ExemptionCode
    reason: str
    by: str = field(repr=False)
    until: date
