"""What fills the imitated Eventbrite and acts in it by hand: a scenario, switches, people, the privacy desk."""

from typing import Literal

from pydantic import Field

from dpsync.sandbox.eventbrite.records import Shape
from dpsync.sandbox.vendor import Part, Section, Switches


class SeedGuest(Part):
    """Somebody on another's order, who gave their own details: no search by address finds them."""

    email: str
    first_name: str = "Guest"
    last_name: str = "Guest"
    answers: dict[str, str] = Field(default_factory=dict)


class SeedOrder(Part):
    """One order with the buyer's ticket and those of the guests. `answers`: by question, of the buyer's ticket."""

    email: str
    first_name: str = ""
    last_name: str = ""
    status: Literal["placed", "refunded", "cancelled", "deleted"] = "placed"
    expired: bool = False
    opted_in: bool = True
    profile: dict[str, str] = Field(default_factory=dict)
    answers: dict[str, str] = Field(default_factory=dict)
    guests: tuple[SeedGuest, ...] = ()


class SeedEvent(Part):
    """One event."""

    name: str
    orders: tuple[SeedOrder, ...] = ()


class SeedOrganization(Part):
    """One organisation, and the private tokens that open it."""

    name: str
    tokens: tuple[str, ...] = ()
    events: tuple[SeedEvent, ...] = ()


class EventbriteSwitches(Switches):
    """What the vendor does now and then, or leaves undocumented.

    `drop_access`: the token lives, the organisation's rights are gone; lists answer 403, records 404. `hourly_limit`:
    calls a token and hour. `page_size`, `continuation_seconds`: of lists. `auth_400`: an unknown token is a 400, as the
    vendor's table has it. `anonymise_after_ack`: its privacy desk erases whom a letter names once it has answered;
    with `ack_but_do_nothing` it only answers. `anonymised_shape`: what is left of an erased record.
    """

    anonymise_after_ack: bool | None = None
    ack_but_do_nothing: bool | None = None
    drop_access: bool | None = None
    expansion_failed: bool | None = None
    webhooks_duplicated: bool | None = None
    without_counts: bool | None = None
    auth_400: bool | None = None
    hourly_limit: int | None = Field(default=None, ge=0)
    page_size: int | None = Field(default=None, ge=1)
    continuation_seconds: float | None = Field(default=None, ge=0)
    anonymised_shape: Shape | None = None


class EventbriteSection(Section):
    """What a scenario says of Eventbrite."""

    organizations: tuple[SeedOrganization, ...] = ()
    public_tokens: tuple[str, ...] = ()
    api_keys: tuple[str, ...] = ()
    switches: EventbriteSwitches = EventbriteSwitches()


class PersonActs(Part):
    """Something done by hand: by the privacy desk, the person, or the organiser in the web app."""

    address: str
    act: Literal["anonymise", "rectify", "unsubscribe", "cancel", "refund"]
    to: str = ""
    first_name: str = ""
    last_name: str = ""
