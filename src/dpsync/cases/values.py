"""What a complaint is: how it came, what it is about, what the person was told, how it ended."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


class Channel(StrEnum):
    """By which way a complaint came, or the person was told."""

    FORM = "form"
    MAIL = "mail"
    POST = "post"
    PHONE = "phone"
    SOCIAL = "social"
    STAFF = "staff"
    OTHER = "other"


class Complainant(StrEnum):
    """Who complains."""

    SUBJECT = "subject"
    REPRESENTATIVE = "representative"


class Topic(StrEnum):
    """What a complaint is about."""

    ACCESS = "access"
    RECTIFICATION = "rectification"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    MARKETING = "marketing"
    DELAY = "delay"
    REFUSAL = "refusal"
    SHARING = "sharing"
    SECURITY = "security"
    OTHER = "other"


class Result(StrEnum):
    """How a complaint ended."""

    UPHELD = "upheld"
    PARTLY = "partly"
    NOT_UPHELD = "not_upheld"
    WITHDRAWN = "withdrawn"
    OUT_OF_SCOPE = "out_of_scope"


@dataclass(frozen=True, slots=True)
class PersonTold:
    """That the person was told something: on which day, how; `digest`: SHA-256 of what was sent, "" where unknown."""

    on: date
    how: Channel
    digest: str = ""

    @property
    def said(self) -> dict[str, str]:
        """As a row keeps it."""
        return {"on": self.on.isoformat(), "how": self.how.value, **({"digest": self.digest} if self.digest else {})}

    @property
    def entered(self) -> dict[str, str | int]:
        """As the ledger's entry has it."""
        return {
            "told_on": self.on.isoformat(),
            "way": self.how.value,
            **({"digest": self.digest} if self.digest else {}),
        }


@dataclass(frozen=True, slots=True)
class Complaint:
    """One complaint as it stands. Days are the controller's; `strict_on` and `due_on` are None where no law sets them.

    `about`: full ids of requests, `processors`: names. `contains`: the right that was hidden in it, "" for none; its
    request is among `about`. `escalated_on`: since when it is, or was, with the authority; `with_authority`: whether it
    is now.
    """

    id: str
    received_at: datetime
    received_on: date
    channel: Channel
    by: Complainant
    about: tuple[str, ...]
    processors: tuple[str, ...]
    topics: tuple[Topic, ...]
    contains: str
    authority_checked_on: date | None
    strict_on: date | None
    due_on: date | None
    rule: str
    acknowledged: PersonTold | None = None
    progress: tuple[PersonTold, ...] = ()
    result: Result | None = None
    told: PersonTold | None = None
    escalated_on: date | None = None
    with_authority: bool = False
    closed_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether it has no outcome yet."""
        return self.result is None

    @property
    def acknowledged_on(self) -> date | None:
        """When the person first heard that it came: an outcome may be both messages in one."""
        days = [one.on for one in (self.acknowledged, self.told) if one]
        return min(days, default=None)

    @property
    def heard_on(self) -> date:
        """When the person last heard of it; the day of receipt, if never."""
        days = [one.on for one in (self.acknowledged, *self.progress, self.told) if one]
        return max(days, default=self.received_on)

    def late(self, today: date) -> bool:
        """Whether the acknowledgement came after the legal date, or is still missing then."""
        return self.due_on is not None and (self.acknowledged_on or today) > self.due_on

    @property
    def holds(self) -> bool:
        """Whether the evidence of what it is about must stay: it is open, or with the authority."""
        return self.open or self.with_authority


@dataclass(frozen=True, slots=True)
class NewComplaint:
    """A complaint that comes in, as whoever records it says."""

    received_at: datetime
    channel: Channel
    topics: tuple[Topic, ...]
    by: Complainant = Complainant.SUBJECT
    authority_checked_on: date | None = None
    about: tuple[str, ...] = ()
    processors: tuple[str, ...] = ()
    contains: str = ""
    note: str = ""
