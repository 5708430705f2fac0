"""What a sandbox is filled with: accounts, audiences, contacts, faults and mailbox rules, as JSON says them."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from dpsync.sandbox.audience import DEFAULT_FIELDS, Account, Audience, digest
from dpsync.sandbox.endpoints import search_index
from dpsync.sandbox.faults import Fault
from dpsync.sandbox.mailbox import Mailbox, Rule
from dpsync.sandbox.mailchimp import Mailchimp


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class SeedMember(_Part):
    """One contact. `status` may also be `archived`; `left_by_link`: only the person may subscribe again."""

    email: str
    status: str = "subscribed"
    merge_fields: dict[str, str | int | float] = Field(default_factory=dict)
    left_by_link: bool = False
    tags: tuple[str, ...] = ()


class SeedAudience(_Part):
    """One audience. `merge_fields`: type by tag; `forgotten` and `fake`: addresses it refuses."""

    id: str
    name: str = ""
    merge_fields: dict[str, str] = Field(default_factory=lambda: dict(DEFAULT_FIELDS))
    required: tuple[str, ...] = ()
    members: tuple[SeedMember, ...] = ()
    forgotten: tuple[str, ...] = ()
    fake: tuple[str, ...] = ()


class SeedAccount(_Part):
    """One user at the vendor with any number of keys."""

    name: str
    keys: tuple[str, ...] = ()
    audiences: tuple[SeedAudience, ...] = ()


class Switches(_Part):
    """What the vendor does now and then; None leaves a switch as it is."""

    latency_ms: float | None = Field(default=None, ge=0)
    search_lag: bool | None = None
    lists_hide_archived: bool | None = None
    webhooks_signed: bool | None = None
    webhooks_duplicated: bool | None = None
    webhooks_without_action: bool | None = None


class MailRules(_Part):
    """The mailbox: the rule for everybody, and rules by address."""

    default: Rule | None = None
    rules: dict[str, Rule] = Field(default_factory=dict)


class Scenario(_Part):
    """Everything at once; a scenario is added to what is there."""

    accounts: tuple[SeedAccount, ...] = ()
    faults: tuple[Fault, ...] = ()
    switches: Switches = Switches()
    mail: MailRules = MailRules()


def apply(scenario: Scenario, vendor: Mailchimp, mailbox: Mailbox) -> None:
    """Adds the scenario.

    Raises:
        Problem: a contact or a status that the vendor itself would refuse.
    """
    now = vendor.now()
    for seeded in scenario.accounts:
        account = vendor.open_account(seeded.name, seeded.keys)
        for part in seeded.audiences:
            _fill(audience_of(account, part.id, part.name, now), part, now)
    for fault in scenario.faults:
        vendor.faults.add(fault)
    switch(scenario.switches, vendor)
    rules(scenario.mail, mailbox)


def audience_of(account: Account, list_id: str, name: str, now: datetime) -> Audience:
    """The audience of that id, made where it is new."""
    found = account.audiences.get(list_id)
    if found is None:
        # Ids are the vendor's and unique across accounts; these follow from the names, so that runs repeat.
        web_id = int(digest(f"{account.name}/{list_id}")[:6], 16)
        found = Audience(list_id, name or list_id, web_id, _stamp(now))
        account.audiences[list_id] = found
    return found


def _fill(audience: Audience, part: SeedAudience, now: datetime) -> None:
    audience.fields = dict(part.merge_fields)
    audience.required = frozenset(part.required)
    audience.fake |= {address.strip().lower() for address in part.fake}
    audience.forgotten |= {digest(address) for address in part.forgotten}
    for member in part.members:
        plant(audience, member, now)


def plant(audience: Audience, seeded: SeedMember, now: datetime) -> None:
    """Adds one contact as it is described, in whatever status."""
    archived = seeded.status == "archived"
    member = audience.add(seeded.email, "subscribed" if archived else seeded.status, seeded.merge_fields, _stamp(now))
    member.status = seeded.status
    member.left_by_link = seeded.left_by_link
    member.tags = {name: int(digest(name)[:6], 16) for name in seeded.tags}


def switch(switches: Switches, vendor: Mailchimp) -> None:
    """Sets the switches that are given."""
    if switches.latency_ms is not None:
        vendor.latency = switches.latency_ms / 1000
    for account in vendor.accounts.values():
        if switches.lists_hide_archived is not None:
            account.lists_hide_archived = switches.lists_hide_archived
        if switches.search_lag is not None:
            account.search = list(search_index(account)) if switches.search_lag else None
    hooks = vendor.webhooks
    hooks.sign = hooks.sign if switches.webhooks_signed is None else switches.webhooks_signed
    hooks.duplicates = hooks.duplicates if switches.webhooks_duplicated is None else switches.webhooks_duplicated
    if switches.webhooks_without_action is not None:
        hooks.without_action = switches.webhooks_without_action


def rules(given: MailRules, mailbox: Mailbox) -> None:
    """Sets the mailbox rules that are given."""
    if given.default is not None:
        mailbox.set_rule(None, given.default)
    for address, rule in given.rules.items():
        mailbox.set_rule(address, rule)


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds")
