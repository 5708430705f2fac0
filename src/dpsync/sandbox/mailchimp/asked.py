"""One call to Mailchimp as its endpoints read it, all that a call may change, and what it changed."""

from dataclasses import dataclass, field
from datetime import UTC

from dpsync.sandbox import asked, vendor
from dpsync.sandbox.asked import Json
from dpsync.sandbox.mailchimp.audience import Account, Audience, Member

LIST = "/lists/{list_id}"
MEMBER = LIST + "/members/{subscriber_hash}"


class MailchimpSwitches(vendor.Switches):
    """What the vendor does now and then, or leaves undocumented.

    `search_lag`: a search finds what there was when this was switched on. `lists_hide_archived`: whether the email
    filter of GET /lists passes over archived contacts, which it does unless this is False.
    """

    search_lag: bool | None = None
    lists_hide_archived: bool | None = None
    webhooks_signed: bool | None = None
    webhooks_duplicated: bool | None = None
    webhooks_without_action: bool | None = None


@dataclass(slots=True)
class Hook:
    """One registered webhook."""

    id: str
    list_id: str
    url: str
    events: dict[str, bool]
    sources: dict[str, bool]
    secret: str
    enabled: bool = True

    def body(self) -> Json:
        """The hook as the API shows it; the secret is shown by its creation only."""
        return {
            "id": self.id,
            "url": self.url,
            "events": self.events,
            "sources": self.sources,
            "list_id": self.list_id,
            "signing_enabled": bool(self.secret),
            "_links": [],
        }


@dataclass(slots=True)
class Held:
    """All accounts, by name, and all webhooks, by id."""

    accounts: dict[str, Account] = field(default_factory=dict)
    hooks: dict[str, Hook] = field(default_factory=dict)


class Asked(asked.Asked[Held, MailchimpSwitches]):
    """One authenticated call."""

    __slots__ = ()

    @property
    def owner(self) -> Account:
        """The account."""
        return self.held.accounts[self.account]

    @property
    def stamp(self) -> str:
        """The vendor's time stamp for whatever it changes."""
        return self.now.astimezone(UTC).isoformat(timespec="seconds")

    @property
    def list_id(self) -> str:
        """The audience's id in the path."""
        return self.names.get("list_id", "")

    @property
    def reference(self) -> str:
        """The contact of the path, by whatever it is called there."""
        return self.names.get("subscriber_hash", "")

    @property
    def part(self) -> str:
        """The merge field, note or webhook of the path."""
        return self.names.get("part", "")

    @property
    def audience(self) -> Audience:
        """The audience of the path, or Problem 404."""
        return self.owner.audience(self.list_id)

    @property
    def lax(self) -> bool:
        """Whether required merge fields may stay empty."""
        # the official Python client writes True
        return self.query.get("skip_merge_validation", "").lower() == "true"


@dataclass(frozen=True, slots=True)
class Change:
    """One effect of a call. `member` is the contact after it, `was` its address before a move."""

    kind: str
    audience: Audience
    member: Member
    was: str = ""

    @property
    def place(self) -> str:
        """The audience."""
        return self.audience.id

    @property
    def address(self) -> str:
        """The contact's address after it."""
        return self.member.email_address
