"""What fills the imitated Campaign Monitor: a scenario's section, switches, and what people do by hand."""

from typing import Literal

from pydantic import Field

from dpsync.sandbox.asked import Json
from dpsync.sandbox.campaign_monitor.account import CampaignMonitorSwitches, Subscriber, made_id
from dpsync.sandbox.campaign_monitor.rules import Acts
from dpsync.sandbox.vendor import Part, Section

State = Literal["Active", "Unconfirmed", "Unsubscribed", "Bounced", "Deleted"]


class SeedAction(Part):
    """What a subscriber did with one campaign."""

    event: Literal["Open", "Click"] = "Open"
    date: str
    ip_address: str = "203.0.113.9"
    detail: str = ""


class SeedCampaign(Part):
    """One campaign that was sent to a subscriber."""

    name: str
    actions: tuple[SeedAction, ...] = ()


class SeedSubscriber(Part):
    """One address in one list. `fields`: value, or several options, by the name of the custom field."""

    email: str
    name: str = ""
    state: State = "Active"
    fields: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    history: tuple[SeedCampaign, ...] = ()


class SeedField(Part):
    """A custom field that has options."""

    type: Literal["MultiSelectOne", "MultiSelectMany"]
    options: tuple[str, ...]


class SeedList(Part):
    """One list. `reach`: how far an unsubscribe goes; `fields`: type by name, or type and options."""

    title: str
    reach: Literal["AllClientLists", "OnlyThisList"] = "AllClientLists"
    fields: dict[str, str | SeedField] = Field(default_factory=dict)
    subscribers: tuple[SeedSubscriber, ...] = ()


class SeedClient(Part):
    """One client with its lists and the addresses of its suppression list."""

    name: str
    lists: tuple[SeedList, ...] = ()
    suppressed: tuple[str, ...] = ()


class SeedAccount(Part):
    """One account; its keys see every client. `zone`: its time zone, in which the vendor tells every time."""

    name: str
    zone: str = "UTC"
    keys: tuple[str, ...] = ()
    clients: tuple[SeedClient, ...] = ()


def subscriber(one: SeedSubscriber) -> Subscriber:
    """The subscriber that a scenario describes."""
    fields = [
        (name, value)
        for name, values in one.fields.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    history: list[Json] = [
        {
            "ID": made_id(one.email, campaign.name),
            "Type": "Campaign",
            "Name": campaign.name,
            "Actions": [
                {"Event": deed.event, "Date": deed.date, "IPAddress": deed.ip_address, "Detail": deed.detail}
                for deed in campaign.actions
            ],
        }
        for campaign in one.history
    ]
    return Subscriber(one.email, one.name, one.state, fields, history=history)


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
