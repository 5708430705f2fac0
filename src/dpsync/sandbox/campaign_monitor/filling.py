"""What fills the imitated Campaign Monitor: a scenario's section, switches, and what people do by hand."""

from typing import Literal

from pydantic import Field

from dpsync.sandbox.campaign_monitor.account import Acts
from dpsync.sandbox.vendor import Part, Section, Switches

State = Literal["Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted"]


class SeedSubscriber(Part):
    """One address in one list. `fields`: value by the name of the custom field."""

    email: str
    name: str = ""
    state: State = "Active"
    fields: dict[str, str] = Field(default_factory=dict)


class SeedList(Part):
    """One list. `reach`: how far an unsubscribe goes; `fields`: type by name."""

    title: str
    reach: Literal["AllClientLists", "OnlyThisList"] = "AllClientLists"
    fields: dict[str, str] = Field(default_factory=dict)
    subscribers: tuple[SeedSubscriber, ...] = ()


class SeedClient(Part):
    """One client with its lists and the addresses of its suppression list."""

    name: str
    lists: tuple[SeedList, ...] = ()
    suppressed: tuple[str, ...] = ()


class SeedAccount(Part):
    """One account; its keys see every client."""

    name: str
    keys: tuple[str, ...] = ()
    clients: tuple[SeedClient, ...] = ()


class CampaignMonitorSwitches(Switches):
    """What the vendor does now and then, or leaves undocumented; see account.Switches for the names."""

    repeat_is_203: bool | None = None
    exact_case: bool | None = None
    suppression_sets_state: bool | None = None
    deleted_is_fixed: bool | None = None
    adds_wait: bool | None = None
    delete_fires: bool | None = None
    no_permission: bool | None = None
    refresh_stays: bool | None = None
    collation: Literal["plain", "letters"] | None = None
    webhooks_duplicated: bool | None = None


class CampaignMonitorSection(Section):
    """What a scenario says of Campaign Monitor."""

    accounts: tuple[SeedAccount, ...] = ()
    switches: CampaignMonitorSwitches = CampaignMonitorSwitches()


class PersonActs(Part):
    """Something done by hand, by the person through a link or by somebody in the web app. `name`: of a `rename`."""

    address: str
    act: Acts
    list_id: str | None = None
    name: str = ""
