"""What fills the imitated Mailchimp and acts in it by hand: a scenario's section, switches, people, the web app."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from dpsync.sandbox.mailchimp.asked import Change, MailchimpSwitches
from dpsync.sandbox.mailchimp.audience import (
    DEFAULT_FIELDS,
    Account,
    Audience,
    Group,
    GroupCategory,
    digest,
    made_fields,
)
from dpsync.sandbox.mailchimp.merge_fields import MergeFieldType
from dpsync.sandbox.vendor import Part, Section


class SeedMember(Part):
    """One contact. `status` may also be `archived`; `left_by_link`: only the person may subscribe again; `groups`: the
    ids of the interest groups that it is in.
    """

    email: str
    status: str = "subscribed"
    merge_fields: dict[str, str | int | float | dict[str, str]] = Field(default_factory=dict)
    left_by_link: bool = False
    tags: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class SeedMergeField(Part):
    """A merge field that is set as somebody set it in the web app: such as `date_format`, `phone_format`, `choices`."""

    type: MergeFieldType
    options: dict[str, str | list[str]] = Field(default_factory=dict)


def _usual() -> dict[str, MergeFieldType | SeedMergeField]:
    return {**DEFAULT_FIELDS}


class SeedAudience(Part):
    """One audience. `merge_fields`: type by tag, or type and options; `forgotten` and `fake`: addresses it refuses;
    `groups`: by the title of their category, the names of interest groups by their ids.
    """

    id: str
    name: str = ""
    merge_fields: dict[str, MergeFieldType | SeedMergeField] = Field(default_factory=_usual)
    required: tuple[str, ...] = ()
    members: tuple[SeedMember, ...] = ()
    forgotten: tuple[str, ...] = ()
    fake: tuple[str, ...] = ()
    groups: dict[str, dict[str, str]] = Field(default_factory=dict)


class SeedAccount(Part):
    """One user at the vendor with any number of keys."""

    name: str
    keys: tuple[str, ...] = ()
    audiences: tuple[SeedAudience, ...] = ()


class MailchimpSection(Section):
    """What a scenario says of Mailchimp."""

    accounts: tuple[SeedAccount, ...] = ()
    switches: MailchimpSwitches = MailchimpSwitches()


class PersonActs(Part):
    """Something done at the vendor by hand: by the person (`user`, through the link) or in the web app (`admin`)."""

    address: str
    act: Literal["subscribe", "unsubscribe", "move", "bounce"]
    source: Literal["user", "admin"] = "user"
    list_id: str | None = None
    to: str = ""


@dataclass(frozen=True, slots=True)
class Holding:
    """One contact of an address in one audience; status `forgotten` where it was erased for good."""

    account: str
    list_id: str
    status: str
    contact_id: str = ""
    merge_fields: tuple[tuple[str, object], ...] = ()


def holdings(accounts: Iterable[Account], address: str) -> list[Holding]:
    """Where this address is held, or refused for ever, over all accounts."""
    key = digest(address)
    found = []
    for account in accounts:
        for audience in account.audiences.values():
            if member := audience.members.get(key):
                fields = tuple(member.merge_fields.items())
                found.append(Holding(account.name, audience.id, member.status, member.contact_id, fields))
            elif key in audience.forgotten:
                found.append(Holding(account.name, audience.id, "forgotten"))
    return found


def audience_of(account: Account, list_id: str, name: str, now: datetime) -> Audience:
    """The audience of that id, made where it is new."""
    found = account.audiences.get(list_id)
    if found is None:
        # Ids are the vendor's and unique across accounts; these follow from the names, so that runs repeat.
        web_id = int(digest(f"{account.name}/{list_id}")[:6], 16)
        found = Audience(list_id, name or list_id, web_id, _stamp(now))
        account.audiences[list_id] = found
    return found


def fill(audience: Audience, part: SeedAudience, now: datetime) -> None:
    """Adds what a scenario says of one audience."""
    types = {tag: one if isinstance(one, str) else one.model_dump() for tag, one in part.merge_fields.items()}
    audience.fields = made_fields(types, part.required)
    audience.fake |= {address.strip().lower() for address in part.fake}
    audience.forgotten |= {digest(address) for address in part.forgotten}
    for title, names in part.groups.items():
        category = GroupCategory(digest(f"{audience.id}/{title}")[:10], title)
        audience.categories[category.id] = category
        audience.groups |= {own_id: Group(own_id, category.id, name) for own_id, name in names.items()}
    for member in part.members:
        plant(audience, member, now)


def plant(audience: Audience, seeded: SeedMember, now: datetime) -> None:
    """Adds one contact as it is described, in whatever status."""
    archived = seeded.status == "archived"
    member = audience.add(seeded.email, "subscribed" if archived else seeded.status, seeded.merge_fields, _stamp(now))
    member.status = seeded.status
    member.left_by_link = seeded.left_by_link
    audience.regroup(member, audience.asked_groups(dict.fromkeys(seeded.groups, True)))
    member.tags = {name: int(digest(name)[:6], 16) for name in seeded.tags}


def by_hand(account: Account, asked: PersonActs) -> list[Change]:
    """Does it in every audience of the account that holds the address. Raises `Problem`."""
    changes = []
    for audience in account.audiences.values():
        member = audience.members.get(digest(asked.address))
        if member is None or asked.list_id not in {None, audience.id}:
            continue
        was = member.email_address
        match asked.act:
            case "subscribe":
                member.status, member.left_by_link = "subscribed", False
                changes.append(Change("resubscribed", audience, member))
            case "unsubscribe":
                member.status, member.left_by_link = "unsubscribed", asked.source == "user"
                changes.append(Change("unsubscribed", audience, member))
            case "bounce":
                member.status = "cleaned"
                changes.append(Change("patched", audience, member))
            case "move":
                audience.check_new_address(asked.to)
                audience.move(member, asked.to)
                changes.append(Change("moved", audience, member, was))
    return changes


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")
